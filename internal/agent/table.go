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
	files map[inode]beesting.PlacementID
	past  *fifo[beesting.PlacementID, beesting.Placement]
}

type armed struct {
	placement beesting.Placement
	watch     io.Closer // nil while it is being armed
	beside    []io.Closer
	name      string // that symbolic links are told for; empty if none
	inode     inode  // what the file is outside of the kernel; zero if unknown
}

// inode is what stat(2) tells a file by.
type inode struct {
	dev, ino uint64
}

func newTable(limit int) *table {
	return &table{
		limit: limit,
		armed: map[beesting.PlacementID]*armed{},
		files: map[inode]beesting.PlacementID{},
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
	entry := &armed{placement: p, inode: inodeOf(f)}
	// Before the watch, as its first event can come at once.
	if err := c.table.add(p.ID, entry); err != nil {
		return fmt.Errorf("arm token %s: %w", p.Token.Name, err)
	}
	c.stay(uint64(p.ID))
	watch, err := c.sensor.Watch(f, uint64(p.ID))
	if err != nil {
		c.table.remove(p.ID)
		return fmt.Errorf("arm token %s: %w", p.Token.Name, err)
	}
	name := c.watchName(p.Token)
	c.table.mu.Lock()
	entry.watch, entry.name = watch, name
	c.table.mu.Unlock()
	c.watched(uint64(p.ID))
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
	c.table.drop(id, entry)
	c.table.past.set(id, entry.placement)
	c.table.mu.Unlock()
	c.leave(uint64(id))
	if err := c.closeWatches(entry); err != nil {
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
	if _, taken := t.files[entry.inode]; !taken && entry.inode != (inode{}) {
		t.files[entry.inode] = id
	}
	return nil
}

// drop takes an entry out; t.mu is held.
func (t *table) drop(id beesting.PlacementID, entry *armed) {
	delete(t.armed, id)
	if t.files[entry.inode] == id {
		delete(t.files, entry.inode)
	}
}

// ids returns the armed placements in order.
func (t *table) ids() []uint64 {
	t.mu.Lock()
	ids := make([]uint64, 0, len(t.armed))
	for id := range t.armed {
		ids = append(ids, uint64(id))
	}
	t.mu.Unlock()
	slices.Sort(ids)
	return ids
}

// at returns the armed placement of a file.
func (t *table) at(i inode) (beesting.PlacementID, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	id, ok := t.files[i]
	return id, ok
}

func (t *table) remove(id beesting.PlacementID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if entry := t.armed[id]; entry != nil {
		t.drop(id, entry)
	}
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
