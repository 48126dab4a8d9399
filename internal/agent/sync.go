package agent

import (
	"context"
	"fmt"
)

// Sync waits until the accesses that happened before it have been given to the
// sink: an event waits in the kernel's buffer until Run reads it. It returns
// ctx's error if that is over before, as it will be without a Run.
func (c *Core) Sync(ctx context.Context) error {
	through := make(chan struct{})
	c.mu.Lock()
	c.syncs = append(c.syncs, through)
	c.mu.Unlock()
	if err := c.sensor.Flush(); err != nil {
		return fmt.Errorf("flush events: %w", err)
	}
	select {
	case <-through:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
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
