package exporter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/beesting-otel/beesting"
)

// ErrAttached is returned where a signal is to be attached that is attached
// already.
var ErrAttached = errors.New("signal is attached already")

// delivery is one signal. Its queue and its counts outlive the goroutine that
// delivers, which is there from attach to detach only.
type delivery struct {
	name  string
	pace  pace
	tally *tally
	news  *news
	off   bool   // the signal is turned off
	queue buffer // nil if it is
	// in is where accesses are put; nil if it is turned off, and with a journal, which
	// all signals have in common.
	in *queue

	// wanted says whether accesses concern the signal at all: what comes
	// while it isn't set is neither queued nor counted.
	wanted atomic.Bool

	life sync.Mutex // one at a time attaches, or drops what is queued
	shut bool       // for good; guarded by life

	mu   sync.Mutex
	work *worker // nil while nobody delivers
}

// worker is the goroutine of an attached signal.
type worker struct {
	closing chan struct{}
	leaving bool // closing is closed; guarded by delivery.mu
	cancel  context.CancelFunc
	done    chan struct{}
	err     error // of closing the sender; to be read after done
}

// newDelivery makes one with a queue in memory, or with q nil one that is turned
// off.
func newDelivery(name string, log *slog.Logger, p pace, q *queue) *delivery {
	d := &delivery{name: name, pace: p, tally: newTally(), news: newNews(log, name, time.Now), in: q, off: q == nil}
	if q != nil {
		d.queue = q
	}
	return d
}

// takes says whether what is put goes anywhere.
func (d *delivery) takes() bool { return d.wanted.Load() && !d.off }

// offer queues it and never waits. After an error it is the caller's still, who
// is expected to come again with it or with a sum that it is part of: it counts
// as refused, not as dropped.
func (d *delivery) offer(it item) error {
	var accepted, open bool
	d.tally.offer(func() bool {
		accepted, open = d.in.put(it)
		return accepted
	})
	switch {
	case accepted:
		return nil
	case open:
		return ErrQueueFull
	default:
		return ErrShutdown
	}
}

// give queues it and never waits. What finds no room is lost, as nobody comes
// again with it: it is counted and logged here, and the error is for those who
// wish to know.
func (d *delivery) give(it item) error {
	switch {
	case !d.wanted.Load():
		return nil
	case d.off:
		d.tally.lose(causeDisabled)
		return nil
	}
	var accepted, open bool
	d.tally.give(func() (bool, string) {
		accepted, open = d.in.put(it)
		if open {
			return accepted, causeQueueFull
		}
		return accepted, causeShutdown
	})
	switch {
	case accepted:
		return nil
	case open:
		d.news.lost(1, causeQueueFull, ErrQueueFull)
		return ErrQueueFull
	default:
		return ErrShutdown
	}
}

// accessItem is the item of a. Where it is queued for two signals, both share it.
// The content has no place in telemetry, nor in a long queue.
func accessItem(a beesting.Access) item {
	a.Placement.Token.Content = nil
	return item{access: &a}
}

func gapItem(g beesting.Gap) item {
	g.Placement.Token.Content = nil
	return item{gap: &g}
}

// putAll queues it for several signals. The first of them that goes anywhere
// decides whether it is taken: where log records are wanted, these, which are what
// people are woken by. If that one has no room, nothing is queued and the error
// says so; what another one has no room for is its own loss.
//
// An error for any signal without room would have the caller tell the same again
// until that signal's back end returns, and the signals that took it would get it
// each time. To have all of them refuse together would leave out of the log
// records what only the spans have no room for.
func putAll(it item, signals ...*delivery) error {
	decides := slices.IndexFunc(signals, (*delivery).takes)
	if decides >= 0 {
		if err := signals[decides].offer(it); err != nil {
			return signals[decides].refused(it, err)
		}
	}
	for i, d := range signals {
		if i != decides {
			_ = d.give(it) // counted and logged there
		}
	}
	return nil
}

// putEnd queues the span of an access that has ended: nobody comes again with it.
func putEnd(it item, spans *delivery) error {
	if err := spans.give(it); err != nil {
		return spans.refused(it, err)
	}
	return nil
}

func (d *delivery) refused(it item, err error) error {
	return fmt.Errorf("%s of %s: %w", d.name, it, err)
}

// begun is what an access is queued for when it is reported: not for a span
// while its end is to come.
func begun(a *beesting.Access, logs, spans *delivery) []*delivery {
	if a.Ongoing {
		return []*delivery{logs}
	}
	return []*delivery{logs, spans}
}

// attach starts to deliver with snd, what is queued first. snd is closed when
// the goroutine ends.
func (d *delivery) attach(snd sender) error {
	d.life.Lock()
	defer d.life.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.shut:
		return ErrShutdown
	case d.work != nil:
		return ErrAttached
	}
	if err := d.queue.open(); err != nil {
		return err
	}
	d.queue.drain(false)
	d.wanted.Store(true)
	p := newPipeline(d.queue, snd, d.tally, d.news, d.pace)
	ctx, cancel := context.WithCancel(context.Background())
	w := &worker{closing: p.closing, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		p.run(ctx)
		// Not ctx, which may be over: closing needs no time.
		w.err = snd.close(context.WithoutCancel(ctx))
	}()
	d.work = w
	return nil
}

func (d *delivery) attached() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.work != nil
}

// detach delivers what is queued now for as long as ctx lasts, stops the
// goroutine and waits for it. What is left or came meanwhile, and so many it
// returns, stays queued. The
// error is that of closing the sender. It may be called at any time and by
// several at once: the one whose ctx ends first ends it for all.
func (d *delivery) detach(ctx context.Context) (left int, err error) {
	d.mu.Lock()
	w := d.work
	if w != nil && !w.leaving {
		w.leaving = true
		d.queue.drain(true)
		close(w.closing)
	}
	d.mu.Unlock()
	if w == nil {
		return d.queue.len(), nil
	}
	select {
	case <-w.done:
	case <-ctx.Done():
	}
	w.cancel()
	<-w.done
	d.mu.Lock()
	if d.work == w {
		d.work = nil
	}
	d.mu.Unlock()
	d.news.flush()
	return d.queue.len(), w.err
}

// stop turns new accesses away, detaches and drops with discard what is left,
// which is counted as lost.
func (d *delivery) stop(ctx context.Context, discard func() int) (lost int, err error) {
	d.queue.close()
	_, err = d.detach(ctx)
	if lost = discard(); lost > 0 {
		d.tally.settle(0, lost, causeShutdown)
		d.news.lost(lost, causeShutdown, fmt.Errorf("%d not delivered: %w", lost, context.Cause(ctx)))
		d.news.flush()
	}
	return lost, err
}

// forget is stop with no time to deliver. Until it is attached again, the
// signal concerns nobody.
func (d *delivery) forget() (lost int) {
	d.life.Lock()
	defer d.life.Unlock()
	d.wanted.Store(false)
	lost, _ = d.stop(ended(errForgotten), d.queue.forget)
	return lost
}

// end is forget for good: what comes later is turned away, and counted if the
// signal was wanted.
func (d *delivery) end() (lost int) {
	d.life.Lock()
	defer d.life.Unlock()
	d.shut = true
	lost, _ = d.stop(ended(ErrShutdown), d.queue.discard)
	return lost
}

// errForgotten is why forget drops what is queued.
var errForgotten = errors.New("nobody takes the signal any more")

// ended is a context that is over because of cause.
func ended(cause error) context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	return ctx
}
