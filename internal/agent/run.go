package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/beesting-otel/beesting/bpf"
)

// Run delivers accesses until ctx ends or the sensor is closed; both give nil.
// When ctx ends, the events that are in the kernel's buffer are delivered first,
// and what the kernel counted beside them; later ones wait there, up to its
// size, for another Run; so does all that comes while there is a [Core.Pause].
// Opens whose end was not seen are closed off. It returns
// [ErrUndrained] when tokens are touched so fast that this takes longer than the
// drain time: what is left waits too. After any other error, which says that
// events can't be read any more, the sensor is of no more use.
func (c *Core) Run(ctx context.Context) error {
	// What has happened is told also after ctx has ended.
	tell := context.WithoutCancel(ctx)
	defer c.Resume()
	err := c.run(ctx, tell)
	c.closeOff(tell)
	return err
}

func (c *Core) run(ctx, tell context.Context) error {
	work, stop := context.WithCancel(ctx)
	defer stop()
	var books sync.WaitGroup
	defer books.Wait()
	defer stop()
	books.Go(func() { c.keepBooks(work, tell) })
	books.Go(func() { c.keepWaiting(work, tell) })
	c.setWaiting(tell, true)

	r := reading{done: make(chan error, 1), late: make(chan struct{}), ending: make(chan struct{})}
	go func() { r.done <- c.read(tell, r) }()
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
	}
	books.Wait()
	c.setWaiting(tell, false) // nobody is left to let it go
	if c.Paused() {
		close(r.ending)
		return c.drainEvents(r) // at rest it has nothing to drain, and just ends
	}
	last, any := c.lastSnapshot()
	close(r.ending)
	if err := c.drainEvents(r); err != nil {
		return err
	}
	if any {
		c.settle(tell, last, true)
	}
	return nil
}

// reading is one Run's reader. It ends at the first word that the buffer is
// empty after ending is closed, or after any event once late is; done has its
// result.
type reading struct {
	done         chan error
	late, ending chan struct{}
}

// drainEvents has the reader deliver what is in the buffer.
func (c *Core) drainEvents(r reading) error {
	err := c.sensor.Flush()
	if err == nil {
		timer := time.NewTimer(c.drain)
		defer timer.Stop()
		select {
		case err := <-r.done:
			return err
		case <-timer.C:
		}
		// The ring is never empty while it is filled as fast as it is read.
		close(r.late)
		timer.Reset(time.Second)
		select {
		case err := <-r.done:
			return err
		case <-timer.C: // a read that hangs
			err = fmt.Errorf("not finished after %v", c.drain)
		}
	}
	// Closing is what ends a read that nothing else ends.
	errClose := c.sensor.Close()
	errRead := <-r.done
	if errors.Is(err, os.ErrClosed) {
		return errors.Join(errClose, errRead)
	}
	return errors.Join(fmt.Errorf("drain events: %w", err), errClose, errRead)
}

// ErrUndrained says that events are left in the kernel's buffer.
var ErrUndrained = errors.New("events are left in the kernel: tokens are touched faster than that can be reported")

func (c *Core) read(tell context.Context, r reading) error {
	for {
		e, err := c.sensor.Read()
		var bad *bpf.DecodeError
		switch {
		case err == nil:
			c.take(tell, e)
			c.readTo.Store(int64(e.Time))
			select {
			case <-r.late:
				return ErrUndrained
			default:
			}
		case errors.Is(err, os.ErrClosed):
			return nil
		case errors.Is(err, bpf.ErrFlushed):
			c.synced()
			c.rest(r.ending)
			select {
			case <-r.ending:
				return nil
			default: // that of Sync
			}
		case errors.As(err, &bad): // the sensor counts them
			c.log.Error("event dropped", slog.Any("error", err))
		default:
			return fmt.Errorf("read events: %w", err)
		}
	}
}
