package collectorreceiver

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/beesting-otel/beesting/exporter"
)

// metricsTimeout bounds one hand-over of metrics: there is always a next one,
// which says all that this one did. The last one has leastMetrics, though the time
// for delivery may have been used up by a signal whose pipeline refuses.
const (
	metricsTimeout = 5 * time.Second
	leastMetrics   = 500 * time.Millisecond
)

// metricsLoop hands metrics over at an interval, and once at the end. The zero
// value hands nothing over. Safe for concurrent use.
type metricsLoop struct {
	mu   sync.Mutex // held during a push
	push func(context.Context)

	cancel context.CancelFunc
	done   chan struct{}
}

// attach begins to hand over to push, unless there is another one.
func (l *metricsLoop) attach(push func(context.Context)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.push != nil {
		return fmt.Errorf("%s: %w", signalMetrics, exporter.ErrAttached)
	}
	l.push = push
	return nil
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
	l.last(ctx)
}

// last hands over for as long as ctx lasts, and at least for a moment.
func (l *metricsLoop) last(ctx context.Context) {
	until := time.Now().Add(leastMetrics)
	if given, ok := ctx.Deadline(); ok && given.After(until) {
		until = given
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), until)
	defer cancel()
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
