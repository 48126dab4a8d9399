package nri

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"
)

// maxStuck bounds the calls of the planter at a time. The runtime sends one
// request after the other, so more than one at a time are calls whose answer
// was given without them, as a rule stuck in a disk that doesn't answer.
const maxStuck = 32

// within calls f and returns its result, or, after the budget, without it and
// false. A call that is given up goes on by itself and keeps its slot: no one
// can stop a thread that waits for a disk.
func within[T any](ctx context.Context, p *Plugin, c Container, r Request, f func(context.Context) T) (T, bool) {
	var none T
	select {
	case p.slots <- struct{}{}:
	default:
		p.missed(c, r, ErrBusy)
		return none, false
	}
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	began := p.now()
	// Not the request's context: it ends when the answer is sent, and with it
	// would the clearing up of a call that is late.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.budget)
	go func() {
		defer func() { <-p.slots }()
		defer cancel()
		value, err := protect(func() T { return f(ctx) })
		done <- result{value, err}
		if took := p.now().Sub(began); took > p.budget {
			p.log.Warn("call of the planter ended late", slog.String("request", string(r)),
				slog.String("container", c.ID), slog.Duration("took", took))
		}
	}()
	timer := time.NewTimer(p.budget)
	defer timer.Stop()
	select {
	case got := <-done:
		if got.err != nil {
			p.missed(c, r, got.err)
			return none, false
		}
		p.log.Debug("request of the runtime answered", slog.String("request", string(r)), slog.Duration("took", p.now().Sub(began)))
		return got.value, true
	case <-timer.C:
		p.missed(c, r, ErrLate)
		return none, false
	}
}

// protect turns a panic of f into an error.
func protect[T any](f func() T) (value T, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return f(), nil
}

// missed counts a call that did not come to its end, and tells the planter.
func (p *Plugin) missed(c Container, r Request, err error) {
	p.mu.Lock()
	p.state.Missed[r]++
	p.mu.Unlock()
	p.log.Error("request of the runtime answered without the planter", slog.String("request", string(r)),
		slog.String("container", c.ID), slog.String("name", c.Name), slog.String("pod", c.Pod.Name),
		slog.String("namespace", c.Pod.Namespace), slog.Any("error", err))
	_, again := protect(func() struct{} {
		p.planter.Missed(c, r, err)
		return struct{}{}
	})
	if again != nil {
		p.log.Error("planter's Missed", slog.Any("error", again))
	}
}
