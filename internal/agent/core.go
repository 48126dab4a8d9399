package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/internal/agent/account"
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

const (
	// maxKeys bounds how many processes' latest accesses are remembered, at
	// about 3 KiB each.
	maxKeys = 1 << 13
	// booksEvery is how often the kernel's counts are compared with what was
	// delivered while tokens are touched.
	booksEvery = time.Second
	// holdTime bounds for how long events wait for their placement.
	holdTime = 30 * time.Second
)

// Core watches placements and delivers accesses. Its methods may be called
// concurrently, also before, during and after Run; one Run at a time.
type Core struct {
	sensor     Sensor
	sink       Sink
	log        *slog.Logger
	clock      Clock
	drain      time.Duration
	terms      account.Terms
	booksEvery time.Duration
	holdTime   time.Duration
	bootID     string
	proc       proc.FS
	cgroups    *cgroup.FS
	table      *table
	containers *containers
	argsReads  *patience
	lookups    *patience
	turns      *fifo[string, *turn]       // of containers, at lookups; the reader's
	workloads  atomic.Pointer[enrichment] // nil for none
	waits      chan struct{}              // holds the word that an access has begun to wait
	inherited  inheritance
	exempt     *exemptions

	// readTo is the time of the latest event that was read, on the boot clock.
	readTo atomic.Int64

	// out is held while something is told, so that what the sink gets is in
	// order and agrees with the books.
	out     sync.Mutex
	book    *account.Book
	dirty   map[uint64]struct{} // placements to be settled
	leaving map[uint64]*departure
	owed    map[uint64]bpf.Account // whole accounts of which Owe left something out
	sweep   sweep
	ends    *ends
	held    held
	waiting waiting
	seen    *sightings

	mu     sync.Mutex
	syncs  []chan struct{} // who waits in Sync
	pause  *pause          // nil unless there is one
	stats  CoreStats
	kernel bpf.Stats // as it was last known
	// refused events were of touches that the kernel doesn't count.
	refused    uint64
	complaints complaints
}

// NewCore checks the options and what it needs of the machine.
func NewCore(o CoreOptions) (*Core, error) {
	if o.Sensor == nil || o.Sink == nil {
		return nil, errors.New("agent core: no sensor or no sink")
	}
	c := &Core{
		sensor: o.Sensor, sink: o.Sink, log: o.Log, clock: o.Clock, drain: o.DrainTimeout,
		terms: account.Terms{Interval: o.RepeatInterval}, booksEvery: booksEvery, holdTime: holdTime,
		proc: proc.FS(o.ProcRoot), table: newTable(o.MaxPlacements),
		argsReads: newPatience(4, 50*time.Millisecond), lookups: newPatience(16, 50*time.Millisecond),
		turns: newFIFO[string, *turn](maxTurns),
		book:  account.New(maxKeys), dirty: map[uint64]struct{}{}, leaving: map[uint64]*departure{}, owed: map[uint64]bpf.Account{},
		ends: newEnds(o.OpenTimeout), seen: newSightings(), waiting: newWaiting(), waits: make(chan struct{}, 1),
	}
	c.stats.Gaps = map[string]uint64{}
	c.defaults()
	c.complaints = newComplaints(c.log)
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
	c.inherit()
	c.exempt = newExemptions(o.Exempt, c.sensor, c.proc, c.cgroups, c.log)
	c.exempt.refresh()
	if err := c.sensor.ForgetEarlier(); err != nil {
		c.log.Warn("what an earlier agent exempted stays exempt", slog.Any("error", err))
	}
	return c, nil
}

func (c *Core) defaults() {
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
	if c.terms.Interval <= 0 {
		c.terms.Interval = time.Second
	}
}

// Close lets go of what NewCore opened. The sensor is the caller's to close,
// which also ends all watches and exemptions.
func (c *Core) Close() error {
	err := c.exempt.close()
	if c.cgroups == nil {
		return err
	}
	return errors.Join(err, c.cgroups.Close())
}
