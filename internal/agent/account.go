package agent

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/agent/account"
)

// maxAccountErrors is how many of them are worth a warning: they can come once a
// second for each placement.
const maxAccountErrors = 10

// accountError counts and logs that the kernel's books could not be had.
func (c *Core) accountError(what string, err error) {
	level := slog.LevelDebug
	c.count(func(s *CoreStats) {
		if s.AccountErrors++; s.AccountErrors <= maxAccountErrors {
			level = slog.LevelWarn
		}
	})
	c.log.Log(context.Background(), level, "account of touches", slog.String("problem", what), slog.Any("error", err))
}

// begin opens the account of a placement, and returns false if the kernel counts
// no such placement; c.out is held.
func (c *Core) begin(placement uint64) bool {
	if c.book.Known(placement) {
		return true
	}
	if _, err := c.sensor.Count(placement); err != nil {
		return false // disarmed, or of a sensor that counts nothing
	}
	kept, err := c.sensor.Account(placement)
	if err != nil {
		c.accountError("account of a placement not found", err)
		return false
	}
	o := account.Origin{Account: kept}
	if _, o.Inherited = c.inherited.placements[placement]; o.Inherited {
		o.Even = c.inherited.since - settledBefore
		o.Repeats = c.inherited.repeats[placement]
		delete(c.inherited.repeats, placement)
	} else if now, err := c.clock.Boot(); err == nil {
		o.Even = now
	}
	c.book.Begin(placement, o)
	c.dirty[placement] = struct{}{}
	return true
}

// keepAccount writes the account beside the kernel's counters, where another
// agent finds it.
func (c *Core) keepAccount(placement uint64) {
	if err := c.sensor.SetAccount(placement, c.book.Account(placement)); err != nil {
		c.accountError("account of a placement not kept", err)
	}
}

// watched opens the account of a placement that has just been armed, and
// delivers what waited for it.
func (c *Core) watched(placement uint64) {
	c.out.Lock()
	defer c.out.Unlock()
	c.begin(placement)
	c.release(context.Background(), placement)
}

// departure is a placement whose counters are to be forgotten. They were taken
// down before its watch ended.
type departure struct {
	snap account.Snapshot
	// rounds is after how many settlements: the first can't tell a loss from an
	// event under way.
	rounds int
}

// leave has the counters of a placement forgotten that is not watched any
// longer from now on, once they are accounted for; stay takes that back.
func (c *Core) leave(placement uint64) {
	c.out.Lock()
	defer c.out.Unlock()
	if !c.begin(placement) {
		return
	}
	now, err := c.clock.Boot()
	n, errCount := c.sensor.Count(placement)
	if err := errors.Join(err, errCount); err != nil {
		c.accountError("count of a placement not found", err)
		c.close(placement)
		return
	}
	d := &departure{snap: c.book.Mark(now), rounds: 2}
	d.snap.Counts[placement] = n
	if told(n, c.book.Account(placement)) {
		d.rounds = 1
	} else {
		c.repeats(&d.snap)
	}
	c.leaving[placement] = d
	delete(c.dirty, placement)
}

// stay is for a placement that is armed again: its account is opened anew.
func (c *Core) stay(placement uint64) {
	c.out.Lock()
	defer c.out.Unlock()
	if c.leaving[placement] != nil {
		c.close(placement)
	}
}

// repeats adds the repeats of the placements that a snapshot counts.
func (c *Core) repeats(snap *account.Snapshot) bool {
	repeats, err := c.sensor.Repeats()
	if err != nil {
		c.accountError("books not kept: repeats", err)
		return false
	}
	for _, r := range repeats {
		if _, ok := snap.Counts[r.Placement]; ok {
			snap.Repeats[r.Placement] = append(snap.Repeats[r.Placement], r)
		}
	}
	return true
}

// snapshot takes down what the kernel counted of the placements that are to be
// settled, and false if there are none.
func (c *Core) snapshot() (account.Snapshot, bool) {
	now, err := c.clock.Boot()
	if err != nil {
		c.accountError("books not kept", err)
		return account.Snapshot{}, false
	}
	c.out.Lock()
	snap := c.book.Mark(now)
	wanted := make([]uint64, 0, len(c.dirty))
	for id := range c.dirty {
		if !c.untold(id) && c.leaving[id] == nil {
			wanted = append(wanted, id)
		}
	}
	for id := range c.leaving {
		snap.Leaving = append(snap.Leaving, id)
	}
	c.out.Unlock()
	for _, id := range snap.Leaving { // what an earlier agent watched is watched still
		if n, err := c.sensor.Count(id); err == nil {
			snap.Counts[id] = n
		}
	}
	for _, id := range wanted {
		n, err := c.sensor.Count(id)
		if err != nil {
			c.uncounted(id, err)
			continue
		}
		snap.Counts[id] = n
	}
	if len(snap.Counts) == 0 {
		return snap, len(snap.Leaving) > 0
	}
	return snap, c.repeats(&snap)
}

// uncounted closes the account of a placement whose counters are gone.
func (c *Core) uncounted(placement uint64, err error) {
	if c.Armed(beesting.PlacementID(placement)) {
		c.accountError("count of a placement not found", err)
		return
	}
	c.out.Lock()
	defer c.out.Unlock()
	c.close(placement)
}

func (c *Core) close(placement uint64) {
	c.book.Drop(placement)
	delete(c.dirty, placement)
	delete(c.leaving, placement)
}

// settle tells what a snapshot counted and no event did, and what was counted of
// placements that are leaving. The events that were under way at the time have
// been read.
func (c *Core) settle(tell context.Context, snap account.Snapshot, final bool) {
	now, err := c.clock.sample()
	if err != nil {
		c.accountError("books not kept", err)
		return
	}
	t := teller{Core: c, ctx: tell, now: now}
	terms := c.terms
	terms.Final = final
	for id := range snap.Counts {
		c.settleOne(t, id, snap, terms)
	}
	for _, id := range snap.Leaving {
		c.settleLeaving(t, id, snap, terms)
	}
}

// settleEarly tells the repeats that a snapshot counted.
func (c *Core) settleEarly(tell context.Context, snap account.Snapshot) {
	now, err := c.clock.sample()
	if err != nil {
		c.accountError("repeats not told early", err)
		return
	}
	terms := c.terms
	terms.Early = true
	for id := range snap.Counts {
		c.settleOne(teller{Core: c, ctx: tell, now: now}, id, snap, terms)
	}
}

// settleOne leaves room between placements for the events of others.
func (c *Core) settleOne(t teller, id uint64, snap account.Snapshot, terms account.Terms) {
	c.out.Lock()
	defer c.out.Unlock()
	if !c.book.Known(id) || c.leaving[id] != nil || c.untold(id) {
		return
	}
	if c.settleAs(t, id, snap, terms) {
		delete(c.dirty, id)
	}
}

// settleLeaving settles by what was counted last.
func (c *Core) settleLeaving(t teller, id uint64, snap account.Snapshot, terms account.Terms) {
	c.out.Lock()
	defer c.out.Unlock()
	d := c.leaving[id]
	if d == nil || c.waiting.queues[id] != nil {
		return
	}
	d.rounds--
	if _, counted := snap.Counts[id]; !counted {
		snap = d.snap
	}
	terms.Final = terms.Final || d.rounds <= 0
	c.settleAs(t, id, snap, terms)
	if terms.Final {
		c.forget(id)
	}
}

func (c *Core) settleAs(t teller, id uint64, snap account.Snapshot, terms account.Terms) (quiet bool) {
	before := c.book.Account(id)
	quiet = c.book.Settle(id, snap, terms, t)
	if c.book.Account(id) != before {
		c.keepAccount(id)
	}
	return quiet
}

// forget drops the counters of a placement; c.out is held.
func (c *Core) forget(id uint64) {
	if err := c.sensor.Forget(id); err != nil {
		c.accountError("counters of a placement not forgotten", err)
	}
	c.close(id)
}

// lastSnapshot is that of the end of a Run, taken long enough before its last
// reading for every event that it counts to be in the buffer by then.
func (c *Core) lastSnapshot() (account.Snapshot, bool) {
	c.look(true)
	snap, any := c.snapshot()
	if any {
		time.Sleep(50 * time.Millisecond)
	}
	return snap, any
}

var _ account.Outside = teller{}
