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
	"github.com/beesting-otel/beesting/internal/cgroup"
	"github.com/beesting-otel/beesting/internal/proc"
)

// CoreOptions set up a Core. Sensor and Sink are needed, the zero value of the
// others means the default.
type CoreOptions struct {
	Sensor Sensor
	Sink   Sink
	// Log takes warnings and errors; none are written if nil.
	Log *slog.Logger
	// ProcRoot is where the host's proc file system is; "/proc" if empty.
	ProcRoot string
	// CgroupRoot is where the host's cgroups are; "/sys/fs/cgroup" if empty.
	CgroupRoot string
	// Clock is SystemClock if its functions are nil.
	Clock Clock
	// MaxPlacements bounds the armed placements; 16384 if zero.
	MaxPlacements int
	// Exempt says which actors the kernel is to recognise.
	Exempt Exempt
	// OpenTimeout is for how long the end of an open is waited for; 1 min if
	// zero.
	OpenTimeout time.Duration
	// RepeatInterval is the sensor's: how often repeats are told; 1 s if zero.
	RepeatInterval time.Duration
	// DrainTimeout bounds how long Run goes on reading events that are there
	// when it is told to end; 5 s if zero.
	DrainTimeout time.Duration
}

// Core watches placements and delivers accesses. Its methods may be called
// concurrently, also before, during and after Run; one Run at a time.
type Core struct {
	sensor     Sensor
	sink       Sink
	log        *slog.Logger
	clock      Clock
	drain      time.Duration
	bootID     string
	proc       proc.FS
	cgroups    *cgroup.FS
	table      *table
	containers *containers
	argsReads  *patience

	mu     sync.Mutex
	syncs  []chan struct{} // who waits in Sync
	stats  CoreStats
	kernel bpf.Stats // as it was last known
}

// NewCore checks the options and what it needs of the machine.
func NewCore(o CoreOptions) (*Core, error) {
	if o.Sensor == nil || o.Sink == nil {
		return nil, errors.New("agent core: no sensor or no sink")
	}
	c := &Core{
		sensor: o.Sensor, sink: o.Sink, log: o.Log, clock: o.Clock, drain: o.DrainTimeout,
		proc: proc.FS(o.ProcRoot), table: newTable(o.MaxPlacements),
		argsReads: newPatience(4, 50*time.Millisecond),
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.proc == "" {
		c.proc = "/proc"
	}
	if c.clock.Now == nil || c.clock.Boot == nil {
		c.clock = SystemClock()
	}
	if c.table.limit <= 0 {
		c.table.limit = 1 << 14
	}
	if c.drain <= 0 {
		c.drain = 5 * time.Second
	}
	var err error
	if c.bootID, err = c.proc.BootID(); err != nil {
		return nil, fmt.Errorf("agent core: %w", err)
	}
	cgroupRoot := o.CgroupRoot
	if cgroupRoot == "" {
		cgroupRoot = "/sys/fs/cgroup"
	}
	// Without it only processes that are still alive can be told apart.
	if c.cgroups, err = cgroup.Open(cgroupRoot); err != nil {
		c.log.Warn("containers of short-lived processes can't be told", slog.Any("error", err))
	}
	c.containers = newContainers(c.proc, c.cgroups)
	return c, nil
}

// Close lets go of what NewCore opened. The sensor is the caller's to close,
// which also ends all watches.
func (c *Core) Close() error {
	if c.cgroups == nil {
		return nil
	}
	return c.cgroups.Close()
}

// Run delivers accesses until ctx ends or the sensor is closed; both give nil.
// When ctx ends, the events that are in the kernel's buffer are delivered first;
// later ones wait there, up to its size, for another Run. It returns
// [ErrUndrained] when tokens are touched so fast that this takes longer than the
// drain time: what is left waits too. After any other error, which says that
// events can't be read any more, the sensor is of no more use.
func (c *Core) Run(ctx context.Context) error {
	done := make(chan error, 1)
	late := make(chan struct{})
	go func() { done <- c.read(ctx, late) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	err := c.sensor.Flush()
	if err == nil {
		timer := time.NewTimer(c.drain)
		defer timer.Stop()
		select {
		case err := <-done:
			return err
		case <-timer.C:
		}
		// The ring is never empty while it is filled as fast as it is read.
		close(late)
		timer.Reset(time.Second)
		select {
		case err := <-done:
			return err
		case <-timer.C: // a read that hangs
			err = fmt.Errorf("not finished after %v", c.drain)
		}
	}
	// Closing is what ends a read that nothing else ends.
	errClose := c.sensor.Close()
	errRead := <-done
	if errors.Is(err, os.ErrClosed) {
		return errors.Join(errClose, errRead)
	}
	return errors.Join(fmt.Errorf("drain events: %w", err), errClose, errRead)
}

// ErrUndrained says that events are left in the kernel's buffer.
var ErrUndrained = errors.New("events are left in the kernel: tokens are touched faster than that can be reported")

func (c *Core) read(ctx context.Context, late <-chan struct{}) error {
	// What has happened is delivered also after ctx has ended.
	deliver := context.WithoutCancel(ctx)
	for {
		e, err := c.sensor.Read()
		var bad *bpf.DecodeError
		switch {
		case err == nil:
			c.deliver(deliver, e)
			select {
			case <-late:
				return ErrUndrained
			default:
			}
		case errors.Is(err, os.ErrClosed):
			return nil
		case errors.Is(err, bpf.ErrFlushed):
			c.synced()
			select {
			case <-ctx.Done():
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

func (c *Core) deliver(ctx context.Context, e bpf.Event) {
	a := c.attribute(e)
	err := c.sink.Deliver(ctx, a)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(a.Partial) > 0 {
		c.stats.Partial++
	}
	if len(a.Partial) > 0 && a.Partial[0] == partialPlacement {
		c.stats.WithoutPlacement++
	}
	if err != nil {
		c.stats.SinkErrors++
		c.log.Error("access not delivered", slog.String("token", a.Placement.Token.Name), slog.Any("error", err))
		return
	}
	c.stats.Delivered++
}
