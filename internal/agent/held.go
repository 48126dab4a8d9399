package agent

import (
	"context"
	"log/slog"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
)

// maxHeld bounds how many events wait for their placement, at 3 KiB each.
const maxHeld = 4096

// inheritance is what a sensor that was found attached has from an earlier agent.
type inheritance struct {
	resumed bool
	since   time.Duration
	// away is how long nobody read what was seen.
	away time.Duration
	// placements are those that stayed watched; not changed any more.
	placements map[uint64]struct{}
	// repeats are the counts of who touched them, as they were found; kept until
	// the placement's account is opened.
	repeats map[uint64][]bpf.Repeat
}

// settledBefore is how long before its last sign of life an earlier agent has
// told for certain what the kernel only counted: its books are at most a few
// seconds late.
const settledBefore = 5 * time.Second

// inherit takes down what was there before anything is read or armed.
func (c *Core) inherit() {
	r, ok := c.sensor.Resumed()
	c.inherited = inheritance{resumed: ok, since: r.Since, placements: map[uint64]struct{}{}, repeats: map[uint64][]bpf.Repeat{}}
	if !ok {
		return
	}
	for _, k := range r.Kept {
		c.log.Warn("a size of the earlier agent stays until nothing is pinned",
			slog.String("map", k.Map), slog.Uint64("size", uint64(k.Size)), slog.Uint64("wanted", uint64(k.Wanted)))
	}
	if now, err := c.clock.Boot(); err == nil {
		c.inherited.away = max(now-r.Since, 0)
	}
	c.held.holding = true
	ids, err := c.sensor.Placements()
	if err != nil {
		c.accountError("placements of the earlier agent not found", err)
	}
	for _, id := range ids {
		c.inherited.placements[id] = struct{}{}
	}
	repeats, err := c.sensor.Repeats()
	if err != nil {
		c.accountError("repeats of the earlier agent not found", err)
	}
	for _, r := range repeats {
		if _, ok := c.inherited.placements[r.Placement]; ok {
			c.inherited.repeats[r.Placement] = append(c.inherited.repeats[r.Placement], r)
		}
	}
}

// Resumed returns false if the sensor was attached anew, and otherwise for how
// long no agent read what it saw.
func (c *Core) Resumed() (away time.Duration, ok bool) { return c.inherited.away, c.inherited.resumed }

// stayed reports whether the placement was watched from the time of an earlier
// agent on.
func (c *Core) stayed(id beesting.PlacementID) bool {
	_, ok := c.inherited.placements[uint64(id)]
	return ok
}

// recall makes a placement known that an earlier agent armed and that is gone.
func (c *Core) recall(p beesting.Placement) {
	if !c.stayed(p.ID) {
		return
	}
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	if c.table.armed[p.ID] == nil {
		c.table.past.set(p.ID, p)
	}
}

// held are the events of placements that aren't armed again yet.
type held struct {
	holding bool
	settled bool // the placements that nobody armed are to be forgotten
	events  map[uint64][]bpf.Event
	total   int
}

// hold keeps an event back if its placement may still be armed; c.out is held.
func (c *Core) hold(e bpf.Event) bool {
	h := &c.held
	if !h.holding || h.total >= maxHeld || !c.stayed(beesting.PlacementID(e.Placement)) {
		return false
	}
	if _, ok := c.table.find(beesting.PlacementID(e.Placement)); ok {
		return false
	}
	if h.events == nil {
		h.events = map[uint64][]bpf.Event{}
	}
	h.events[e.Placement] = append(h.events[e.Placement], e)
	h.total++
	c.retain()
	c.count(func(s *CoreStats) { s.Held++ })
	return true
}

// retain has events stay in the kernel while any wait here: who is killed then leaves
// them to the next. c.out is held.
func (c *Core) retain() { c.sensor.Retain(c.held.total+c.waiting.total > 0) }

// release delivers what was held back of a placement; c.out is held.
func (c *Core) release(tell context.Context, placement uint64) {
	events := c.held.events[placement]
	delete(c.held.events, placement)
	c.held.total -= len(events)
	for _, e := range events {
		c.deliver(tell, e, true)
	}
	c.retain()
}

// releaseAll is for the end of waiting; c.out is held.
func (c *Core) releaseAll(tell context.Context) {
	c.held.holding = false
	unknown := 0
	for placement, events := range c.held.events {
		if _, known := c.table.find(beesting.PlacementID(placement)); !known {
			unknown += len(events)
		}
		c.release(tell, placement)
	}
	if unknown > 0 {
		c.log.Warn("accesses from before this start have no known placement", slog.Int("events", unknown))
	}
}

// Settled says that whatever an earlier agent armed has been armed again by now
// or is gone. Until then, and for half a minute at most, events of placements
// that stayed watched and aren't armed yet wait. From then on those that nobody
// armed are accounted for and forgotten.
func (c *Core) Settled() {
	c.out.Lock()
	defer c.out.Unlock()
	c.held.settled = true
}
