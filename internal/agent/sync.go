package agent

import (
	"context"
	"fmt"
	"slices"
)

// Sync waits until the events that happened before it have been given to the
// sink: an event waits in the kernel's buffer until Run reads it. Repeats that
// the kernel only counted come later. It returns
// ctx's error if that is over before, as it will be without a Run.
func (c *Core) Sync(ctx context.Context) error {
	// The buffer may have been found empty, for another Sync, before this one began
	// and be told of after. Not so the second time.
	for range 2 {
		if err := c.syncOnce(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *Core) syncOnce(ctx context.Context) error {
	through := make(chan struct{})
	c.mu.Lock()
	c.syncs = append(c.syncs, through)
	c.mu.Unlock()
	if err := c.sensor.Flush(); err != nil {
		c.unsync(through)
		return fmt.Errorf("flush events: %w", err)
	}
	select {
	case <-through:
		return nil
	case <-ctx.Done():
		c.unsync(through)
		return ctx.Err()
	}
}

// unsync forgets one who waits no longer.
func (c *Core) unsync(through chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.syncs = slices.DeleteFunc(c.syncs, func(s chan struct{}) bool { return s == through })
}

// synced tells those who wait in Sync that the kernel's buffer was empty.
func (c *Core) synced() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, through := range c.syncs {
		close(through)
	}
	c.syncs = nil
}
