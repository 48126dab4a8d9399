package agent

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
)

// Every lookEvery rounds a part of the placements is looked at, whether an event
// came of them or not, as an event can be lost; after sweepIn parts it was all.
const (
	lookEvery = 10
	sweepIn   = 6
)

// sweep is the slow look at all placements.
type sweep struct {
	next uint64 // placement to go on with
	full uint64 // the kernel's count of events lost to a full buffer
}

// keepBooks compares what the kernel counts with what was told, and gives up
// what is waited for too long, until ctx ends.
func (c *Core) keepBooks(ctx, tell context.Context) {
	ticker := time.NewTicker(c.booksEvery)
	defer ticker.Stop()
	hold := time.NewTimer(c.holdTime)
	defer hold.Stop()
	exempt := time.NewTicker(exemptEvery)
	defer exempt.Stop()
	for round := 1; ; {
		select {
		case <-ctx.Done():
			return
		case <-hold.C:
			c.releaseLate(tell)
		case <-exempt.C:
			c.exempt.refresh()
		case <-ticker.C:
			c.expire(tell)
			c.settleIn(tell)
			if round++; round%lookEvery == 0 {
				c.look(false)
			}
			if c.balance(ctx, tell) {
				c.sensor.SignOfLife()
			}
		}
	}
}

// balance is one settlement. It returns false if there is one to be made that
// could not be.
func (c *Core) balance(ctx, tell context.Context) bool {
	snap, any := c.snapshot()
	if !any {
		return true
	}
	if !c.through(ctx, snap.At) {
		return false
	}
	c.settle(tell, snap, false)
	return true
}

// throughTime bounds the wait for the events that are under way.
const throughTime = 3 * time.Second

// through waits until the events from before a time on the boot clock have been
// told. A buffer that is filled as fast as it is read is never empty; then it is
// enough that events from well after that time have been read.
func (c *Core) through(ctx context.Context, at time.Duration) bool {
	wait, cancel := context.WithTimeout(ctx, throughTime)
	defer cancel()
	err := c.Sync(wait)
	late := errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil
	return err == nil || late && time.Duration(c.readTo.Load()) > at+time.Second
}

func (c *Core) releaseLate(tell context.Context) {
	c.out.Lock()
	defer c.out.Unlock()
	c.releaseAll(tell)
}

// settleIn ends the waiting for placements after Settled, and has those that
// nobody armed again leave.
func (c *Core) settleIn(tell context.Context) {
	c.out.Lock()
	settled := c.held.settled
	c.held.settled = false
	if settled {
		c.releaseAll(tell)
	}
	c.out.Unlock()
	if !settled {
		return
	}
	for id := range c.inherited.placements {
		if _, known := c.table.find(beesting.PlacementID(id)); !known {
			c.leave(id)
		}
	}
}

// look finds placements whose touches nothing told of, among those whose turn it
// is or among all.
func (c *Core) look(all bool) {
	ids := c.table.ids()
	if !all {
		ids = c.part(ids)
	}
	for _, id := range ids {
		n, err := c.sensor.Count(id)
		if err != nil {
			continue // snapshot says so, if it is asked for
		}
		c.out.Lock()
		if c.begin(id) && !told(n, c.book.Account(id)) {
			c.dirty[id] = struct{}{}
		}
		c.out.Unlock()
	}
}

// part is the part of the placements that is looked at in this round: all after
// the buffer was full. ids are in order.
func (c *Core) part(ids []uint64) []uint64 {
	if stats, err := c.sensor.Stats(); err == nil && stats.Lost[bpf.LostRingFull] != c.sweep.full {
		c.sweep.full = stats.Lost[bpf.LostRingFull]
		return ids
	}
	from, _ := slices.BinarySearch(ids, c.sweep.next)
	to := min(from+(len(ids)+sweepIn-1)/sweepIn, len(ids))
	c.sweep.next = 0
	if to < len(ids) {
		c.sweep.next = ids[to]
	}
	return ids[from:to]
}

// told reports whether an account has all that was counted.
func told(n bpf.Count, a bpf.Account) bool {
	for k := range bpf.Kinds {
		if n.Seen[k] != a.Delivered[k]+a.Coalesced[k]+a.Lost[k] {
			return false
		}
	}
	return true
}
