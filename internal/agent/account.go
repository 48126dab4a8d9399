package agent

import (
	"context"
	"log/slog"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/agent/account"
)

// accountError counts and logs that the kernel's books could not be had.
func (c *Core) accountError(what string, err error) {
	c.count(func(s *CoreStats) { s.AccountErrors++ })
	c.log.Warn(what, slog.Any("error", err))
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

// leave has the counters of a placement that is watched no longer forgotten,
// once they are accounted for; stay takes that back.
func (c *Core) leave(placement uint64) {
	c.out.Lock()
	defer c.out.Unlock()
	if c.begin(placement) {
		// Twice, as the first can't tell a loss from an event under way.
		c.leaving[placement], c.dirty[placement] = 2, struct{}{}
	}
}

func (c *Core) stay(placement uint64) {
	c.out.Lock()
	defer c.out.Unlock()
	delete(c.leaving, placement)
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
		if len(c.held.events[id]) == 0 {
			wanted = append(wanted, id)
		}
	}
	c.out.Unlock()
	for _, id := range wanted {
		n, err := c.sensor.Count(id)
		if err != nil {
			c.uncounted(id, err)
			continue
		}
		snap.Counts[id] = n
	}
	if len(snap.Counts) == 0 {
		return snap, false
	}
	repeats, err := c.sensor.Repeats()
	if err != nil {
		c.accountError("books not kept: repeats", err)
		return snap, false
	}
	for _, r := range repeats {
		if _, ok := snap.Counts[r.Placement]; ok {
			snap.Repeats[r.Placement] = append(snap.Repeats[r.Placement], r)
		}
	}
	return snap, true
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

// settle tells what a snapshot counted and no event did. The events that were
// under way at its time have been read.
func (c *Core) settle(tell context.Context, snap account.Snapshot, final bool) {
	now, err := c.clock.sample()
	if err != nil {
		c.accountError("books not kept", err)
		return
	}
	for id := range snap.Counts {
		c.settleOne(teller{Core: c, ctx: tell, now: now}, id, snap, final)
	}
}

// settleOne leaves room between placements for the events of others.
func (c *Core) settleOne(t teller, id uint64, snap account.Snapshot, final bool) {
	c.out.Lock()
	defer c.out.Unlock()
	if !c.book.Known(id) || len(c.held.events[id]) > 0 {
		return
	}
	rounds, leaving := c.leaving[id]
	terms := c.terms
	terms.Final = final || leaving && rounds <= 1
	before := c.book.Account(id)
	quiet := c.book.Settle(id, snap, terms, t)
	if c.book.Account(id) != before {
		c.keepAccount(id)
	}
	switch {
	case !leaving && quiet:
		delete(c.dirty, id)
	case leaving && rounds > 1:
		c.leaving[id] = rounds - 1
	case leaving:
		c.forget(id)
	}
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
