package collectorreceiver

import (
	"context"
	"sync"
	"time"
)

// metricsTimeout bounds one hand-over of metrics: there is always a next one,
// which says all that this one did.
const metricsTimeout = 5 * time.Second

// metricsLoop hands metrics over at an interval, and once at the end. The zero
// value hands nothing over. Safe for concurrent use.
type metricsLoop struct {
	mu   sync.Mutex // held during a push
	push func(context.Context)

	cancel context.CancelFunc
	done   chan struct{}
}

// set changes where metrics go; nil means nowhere. When it returns, the push
// before is not called any more.
func (l *metricsLoop) set(push func(context.Context)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.push = push
}

func (l *metricsLoop) start(ctx context.Context, interval time.Duration) {
	ctx, l.cancel = context.WithCancel(ctx)
	l.done = make(chan struct{})
	go func() {
		defer close(l.done)
		for wait := min(firstMetrics, interval); ; wait = interval {
			select {
			case <-time.After(wait):
				l.once(ctx)
			case <-ctx.Done():
				return
			}
		}
	}()
}

// stop hands over a last time and waits for the goroutine.
func (l *metricsLoop) stop(ctx context.Context) {
	l.cancel()
	<-l.done
	l.once(ctx)
}

func (l *metricsLoop) once(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, metricsTimeout)
	defer cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.push != nil {
		l.push(ctx)
	}
}
