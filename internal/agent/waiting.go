package agent

import (
	"context"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
)

const (
	// maxWaiting bounds the accesses that wait for a pod, at 4 KiB each.
	maxWaiting = 4096
	// maxInVain bounds how many pods are remembered that were waited for in vain:
	// nobody waits for them again.
	maxInVain = 1024
)

// waiting are the accesses whose pod the API server is about to tell of. They are
// attributed already, since what is known of a process goes with it, and in no book:
// after a kill, the kernel has the events still. One queue for each placement keeps
// its accesses in order, and lets all others go ahead.
type waiting struct {
	on     bool // while Run reads
	queues map[uint64]*queue
	total  int
	inVain *fifo[string, struct{}] // uids of pods
}

type queue struct {
	until time.Time
	items []attributed
}

// attributed is an event and the access that was made of it; none for a close.
type attributed struct {
	event   bpf.Event
	access  beesting.Access
	counted bool
}

func newWaiting() waiting {
	return waiting{queues: map[uint64]*queue{}, inVain: newFIFO[string, struct{}](maxInVain)}
}

// wait keeps an access back if a pod of it may be known in a moment, or if earlier
// ones of the placement wait; c.out is held.
func (c *Core) wait(tell context.Context, x attributed) bool {
	from, w := c.workloads.Load(), &c.waiting
	q := w.queues[x.event.Placement]
	if q == nil {
		if from == nil || !w.on || from.wait <= 0 || !c.soon(from, &x.access) {
			return false
		}
		q = &queue{until: time.Now().Add(from.wait)}
		w.queues[x.event.Placement] = q
		c.lookAtWaiting()
	}
	if w.total >= maxWaiting {
		c.letGo(tell, x.event.Placement)
		return false
	}
	q.items = append(q.items, x)
	w.total++
	c.retain()
	c.count(func(s *CoreStats) { s.Waited++ })
	return true
}

// soon reports whether it is worth waiting for a pod of an access; c.out is held.
func (c *Core) soon(from *enrichment, a *beesting.Access) bool {
	for _, container := range []*beesting.Container{a.Placement.Container, a.ActorContainer} {
		if container == nil {
			continue
		}
		if _, inVain := c.waiting.inVain.get(container.Pod.UID); inVain {
			continue
		}
		if _, soon := from.Workload(container.Pod); soon {
			return true
		}
	}
	return false
}

// letGo tells what waits of a placement; c.out is held.
func (c *Core) letGo(tell context.Context, placement uint64) {
	q := c.waiting.queues[placement]
	if q == nil {
		return
	}
	delete(c.waiting.queues, placement)
	c.waiting.total -= len(q.items)
	for _, x := range q.items {
		if x.event.Kind == bpf.KindClose {
			c.ended(tell, x.event)
		} else {
			c.pass(tell, x)
		}
	}
	c.retain()
}

// letAllGo tells everything that waits; c.out is held.
func (c *Core) letAllGo(tell context.Context) {
	for placement := range c.waiting.queues {
		c.letGo(tell, placement)
	}
}

// letReadyGo tells what has waited long enough or needs not any more, and returns
// when the next will have; c.out is held.
func (c *Core) letReadyGo(tell context.Context, now time.Time) (next time.Time) {
	from := c.workloads.Load()
	for placement, q := range c.waiting.queues {
		late := !now.Before(q.until)
		switch {
		case late || from == nil || !c.anySoon(from, q):
			if late && from != nil {
				c.giveUpOn(from, q)
			}
			c.letGo(tell, placement)
		case next.IsZero() || q.until.Before(next):
			next = q.until
		}
	}
	return next
}

func (c *Core) anySoon(from *enrichment, q *queue) bool {
	for i := range q.items {
		if c.soon(from, &q.items[i].access) {
			return true
		}
	}
	return false
}

// giveUpOn remembers the pods that were waited for.
func (c *Core) giveUpOn(from *enrichment, q *queue) {
	for _, x := range q.items {
		for _, container := range []*beesting.Container{x.access.Placement.Container, x.access.ActorContainer} {
			if container == nil {
				continue
			}
			if _, soon := from.Workload(container.Pod); soon {
				c.waiting.inVain.set(container.Pod.UID, struct{}{})
			}
		}
	}
}

// keepWaiting lets accesses go when it is time, until ctx ends.
func (c *Core) keepWaiting(ctx, tell context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var changed <-chan struct{}
		if from := c.workloads.Load(); from != nil {
			changed = from.Changed()
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-c.waits:
		case <-timer.C:
		}
		c.out.Lock()
		next := c.letReadyGo(tell, time.Now())
		c.out.Unlock()
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// lookAtWaiting has keepWaiting look.
func (c *Core) lookAtWaiting() {
	select {
	case c.waits <- struct{}{}:
	default: // the word is out
	}
}

// setWaiting begins or ends that anything waits.
func (c *Core) setWaiting(tell context.Context, on bool) {
	c.out.Lock()
	defer c.out.Unlock()
	c.waiting.on = on
	if !on {
		c.letAllGo(tell)
	}
}

// hurry tells everything that waits; what comes next may wait again.
func (c *Core) hurry(tell context.Context) {
	c.out.Lock()
	defer c.out.Unlock()
	c.letAllGo(tell)
}

// untold reports whether events of a placement wait, for it or for its pod; c.out is
// held.
func (c *Core) untold(placement uint64) bool {
	return len(c.held.events[placement]) > 0 || c.waiting.queues[placement] != nil
}
