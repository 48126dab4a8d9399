package agent

import (
	"context"
	"log/slog"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/internal/agent/account"
)

// take deals with an event.
func (c *Core) take(tell context.Context, e bpf.Event) {
	counted := true
	if e.Kind == bpf.KindSymlink && e.Placement == 0 {
		placement, ok := c.pointsAt(e)
		if !ok {
			return
		}
		// The kernel saw a name and not the token, so its count has no such touch.
		e.Placement, counted = uint64(placement), false
	}
	c.out.Lock()
	defer c.out.Unlock()
	if c.hold(e) {
		return
	}
	if _, known := c.table.find(beesting.PlacementID(e.Placement)); known {
		c.release(tell, e.Placement) // before what comes after it
	}
	c.deliver(tell, e, counted)
}

// deliver tells an event; c.out is held.
func (c *Core) deliver(tell context.Context, e bpf.Event, counted bool) {
	x := attributed{event: e, counted: counted}
	switch {
	case e.Kind != bpf.KindClose:
		x.access = c.attribute(e)
		x.access.Ongoing = e.Handle != 0
		if !c.wait(tell, x) {
			c.pass(tell, x)
		}
	case c.waiting.queues[e.Placement] == nil || !c.wait(tell, x): // its open may wait
		c.ended(tell, e)
	}
}

// pass tells an access, with what is known of its pods by now; c.out is held.
func (c *Core) pass(tell context.Context, x attributed) {
	e, a := x.event, x.access
	counted := x.counted && c.begin(e.Placement)
	c.enrich(&a)
	if counted && c.book.Told(e) { // by an agent that was killed right after it
		c.book.Again(e, a)
		c.await(tell, e, a)
		return
	}
	if counted {
		a.Count = c.book.Stands(e)
		c.dirty[e.Placement] = struct{}{}
	}
	if err := c.give(tell, a); err != nil {
		if counted {
			c.book.Refused(e, a)
		}
		c.noteRefused(a, counted, err)
		return
	}
	c.await(tell, e, a)
	if counted {
		c.book.Delivered(e, a.Count, a)
		c.keepAccount(e.Placement)
	}
}

// noteRefused counts and logs what the sink refused when it happened. That is
// once for each: when the books come again with it, nobody counts or complains.
func (c *Core) noteRefused(a beesting.Access, counted bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	token := slog.String("token", a.Placement.Token.Name)
	if counted {
		c.stats.Deferred++
		c.complaints.deferred.note(err, token)
		return
	}
	c.refused++
	c.complaints.lost.note(err, token)
}

// give has the sink take an access.
func (c *Core) give(tell context.Context, a beesting.Access) error {
	if survey(a) {
		c.count(func(s *CoreStats) { s.Surveyed += a.Count })
		return nil
	}
	err := c.sink.Deliver(tell, a)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(a.Partial) > 0 {
		c.stats.Partial++
	}
	if len(a.Partial) > 0 && a.Partial[0] == partialPlacement {
		c.stats.WithoutPlacement++
	}
	if err != nil {
		c.stats.SinkErrors++
		return err
	}
	if why := unresolved(a.Placement); why != "" {
		if c.stats.Unresolved == nil {
			c.stats.Unresolved = map[string]uint64{}
		}
		c.stats.Unresolved[string(why)]++
	}
	c.stats.Delivered++
	c.stats.Coalesced += a.Count - 1
	return nil
}

// count changes the counters.
func (c *Core) count(f func(*CoreStats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
}

// teller is what the books tell through. Tell and Lose are called with c.out
// held.
type teller struct {
	*Core
	ctx context.Context //nolint:containedctx // lives as long as one settlement
	now wall
}

// Tell delivers repeats of a process as one access.
func (t teller) Tell(s account.Summary) bool {
	a := s.Access
	a.Ongoing, a.Count = false, s.Count
	a.Time, a.ObservedTime = t.now.at(s.Last), t.now.now
	a.ID = summaryID(t.bootID, a.Placement, s)
	if s.Estimate {
		a.Partial = append(a.Partial[:len(a.Partial):len(a.Partial)], partialCount)
	}
	if p, ok := t.table.find(a.Placement.ID); ok {
		a.Placement = p // it may have been told before it was armed
	}
	t.enrich(&a)
	return t.give(t.ctx, a) == nil
}

// Lose tells that touches are missing.
func (t teller) Lose(l account.Loss) bool {
	p, ok := t.table.find(beesting.PlacementID(l.Placement))
	if !ok {
		p.ID = beesting.PlacementID(l.Placement)
	}
	p.Container = t.withWorkload(p.Container)
	g := beesting.Gap{
		Placement: p, Kind: beesting.AccessKind(l.Kind.String()), Count: l.Count,
		From: t.now.at(l.From), To: t.now.at(l.To), Cause: l.Cause,
	}
	err := t.sink.Gap(t.ctx, g)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.stats.SinkErrors++
		t.complaints.gaps.note(err, slog.String("token", p.Token.Name))
		return false
	}
	t.stats.Gaps[l.Cause] += l.Count
	t.log.Warn("touches were counted and can't be told",
		slog.String("token", p.Token.Name), slog.String("kind", string(g.Kind)), slog.Uint64("touches", g.Count), slog.String("cause", g.Cause))
	return true
}

// Recount asks the kernel.
func (t teller) Recount(placement uint64) (bpf.Count, bool) {
	n, err := t.sensor.Count(placement)
	return n, err == nil
}
