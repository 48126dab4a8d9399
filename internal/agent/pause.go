package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// pause is the time in which Run reads nothing.
type pause struct {
	once        sync.Once
	begun, over chan struct{}
}

var errResumed = errors.New("pause: ended before it began")

// Pause has Run leave in the kernel's buffer what is touched from now on, until
// Resume or the end of Run. When it returns nil the reader has stopped; what it has
// read before was given to the sink. A Run that is told to end meanwhile leaves
// the buffer, and what the kernel counted beside it, as they are: for the next
// Run, or for another process where the sensor is pinned. Pause returns ctx's
// error if that is over before the reader has stopped, as it will be without a
// Run, and nothing is paused then.
func (c *Core) Pause(ctx context.Context) error {
	c.mu.Lock()
	if c.pause == nil {
		c.pause = &pause{begun: make(chan struct{}), over: make(chan struct{})}
	}
	p := c.pause
	c.mu.Unlock()
	if err := c.sensor.Flush(); err != nil {
		c.Resume()
		return fmt.Errorf("pause: %w", err)
	}
	select {
	case <-p.begun:
		return nil
	case <-p.over:
		return errResumed
	case <-ctx.Done():
		c.Resume()
		return ctx.Err()
	}
}

// Resume ends a Pause, if there is one.
func (c *Core) Resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pause != nil {
		close(c.pause.over)
		c.pause = nil
	}
}

// Paused reports whether Run reads nothing.
func (c *Core) Paused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pause != nil
}

// rest is the reader's: it returns when there is no pause, or when Run ends.
func (c *Core) rest(ending <-chan struct{}) {
	c.mu.Lock()
	p := c.pause
	c.mu.Unlock()
	if p == nil {
		return
	}
	p.once.Do(func() {
		c.hurry(context.Background())
		close(p.begun)
	})
	select {
	case <-p.over:
	case <-ending:
	}
}
