package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/beesting-otel/beesting"
)

// Errors to tell apart with errors.Is.
var (
	// ErrArmed: a placement with that id is armed already.
	ErrArmed = errors.New("already armed")
	// ErrFull: as many placements are armed as the configuration allows.
	ErrFull = errors.New("no room for another placement")
)

// maxPast bounds how many disarmed placements are remembered for the events
// that were in the ring when they were disarmed.
const maxPast = 4096

// table holds the armed placements.
type table struct {
	limit int

	mu    sync.Mutex
	armed map[beesting.PlacementID]*armed
	past  *fifo[beesting.PlacementID, beesting.Placement]
}

type armed struct {
	placement beesting.Placement
	watch     io.Closer // nil while it is being armed
}

func newTable(limit int) *table {
	return &table{
		limit: limit,
		armed: map[beesting.PlacementID]*armed{},
		past:  newFIFO[beesting.PlacementID, beesting.Placement](maxPast),
	}
}

// Arm starts watching f for the placement. f may be open with O_PATH and can be
// closed afterwards. The token's content is not kept. From the return on every
// touch is delivered with this placement.
//
// Errors: ErrArmed, ErrFull, or what the sensor said.
func (c *Core) Arm(p beesting.Placement, f *os.File) error {
	p.Token.Content = nil
	entry := &armed{placement: p}
	// Before the watch, as its first event can come at once.
	if err := c.table.add(p.ID, entry); err != nil {
		return fmt.Errorf("arm token %s: %w", p.Token.Name, err)
	}
	watch, err := c.sensor.Watch(f, uint64(p.ID))
	if err != nil {
		c.table.remove(p.ID)
		return fmt.Errorf("arm token %s: %w", p.Token.Name, err)
	}
	c.table.mu.Lock()
	entry.watch = watch
	c.table.mu.Unlock()
	return nil
}

// Disarm stops watching. Events that the kernel has sent before are still
// delivered with the placement. An unknown id is no error.
func (c *Core) Disarm(id beesting.PlacementID) error {
	c.table.mu.Lock()
	entry := c.table.armed[id]
	if entry == nil || entry.watch == nil {
		c.table.mu.Unlock()
		return nil
	}
	delete(c.table.armed, id)
	c.table.past.set(id, entry.placement)
	c.table.mu.Unlock()
	if err := entry.watch.Close(); err != nil {
		return fmt.Errorf("disarm token %s: %w", entry.placement.Token.Name, err)
	}
	return nil
}

// Armed reports whether the placement is armed.
func (c *Core) Armed(id beesting.PlacementID) bool {
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	return c.table.armed[id] != nil
}

// armedTotal counts the armed placements.
func (c *Core) armedTotal() int {
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	return len(c.table.armed)
}

// Placements returns the armed placements, ordered by id.
func (c *Core) Placements() []beesting.Placement {
	c.table.mu.Lock()
	all := make([]beesting.Placement, 0, len(c.table.armed))
	for _, entry := range c.table.armed {
		all = append(all, entry.placement)
	}
	c.table.mu.Unlock()
	slices.SortFunc(all, func(a, b beesting.Placement) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return all
}

func (t *table) add(id beesting.PlacementID, entry *armed) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.armed[id] != nil:
		return fmt.Errorf("placement %#x: %w", uint64(id), ErrArmed)
	case len(t.armed) >= t.limit:
		return fmt.Errorf("%w: %d are armed", ErrFull, t.limit)
	}
	t.armed[id] = entry
	return nil
}

func (t *table) remove(id beesting.PlacementID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.armed, id)
}

// find returns the placement, armed or not long disarmed.
func (t *table) find(id beesting.PlacementID) (beesting.Placement, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if entry := t.armed[id]; entry != nil {
		return entry.placement, true
	}
	return t.past.get(id)
}

// Settled says that whatever an earlier agent armed has been armed again by now
// or is gone. Until then, and for a bounded time, events of placements that
// aren't armed wait, when the sensor was found attached; from then on their
// counters are closed and forgotten.
func (c *Core) Settled() {}
