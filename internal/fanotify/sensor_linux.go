//go:build linux && (amd64 || arm64)

package fanotify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/internal/proc"
)

// Sensor watches inodes by fanotify marks until Close, or until the process
// ends. All methods may be called concurrently, but Read by one goroutine only.
type Sensor struct {
	options Options
	eye     *eye
	self    identity
	events  *queue
	looks   chan look
	recent  *recent
	changes *changes // nil where the kernel can't tell truthfully who did them

	ctx    context.Context //nolint:containedctx // the sensor's life, ended by Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	marking sync.Mutex // one mark at a time; taken before mu
	mu      sync.Mutex // guards what follows
	guard   *guard
	closed  bool
	numbers openKey // of watches
	watches map[*Watch]struct{}
	byInode map[inodeKey]*Watch
	counts  map[uint64]*counter
	exempt  map[inodeKey]*Exemption
	groups  map[uint64]struct{}
	repeats *repeats
	opens   *opens
	swept   time.Duration      // when opens were looked through for processes that ended
	execs   map[uint32]openKey // threads whose exec goes on to an open
	// readers read through a file that another process opened, by permission.
	readers map[reader]struct{}
	// pending are the looks that are not finished, by their number.
	pending map[uint64]struct{}
	looked  uint64
	idle    *sync.Cond // some look is finished
	stats   bpf.Stats
	late    uint64
}

type reader struct {
	watch openKey
	who   identity
}

// maxLooks and lookers bound the tasks that are looked at: more than can wait.
const (
	maxLooks = 256
	lookers  = 8
)

// Open starts the guard and proves that it works: a mark is set on a file of its
// own. It fails where fanotify or its permission events are refused.
func Open(o Options) (*Sensor, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("fanotify: %w", err)
	}
	s := &Sensor{
		options: o, looks: make(chan look, maxLooks), events: newQueue(o.MaxEvents),
		eye:     newEye(procFS{proc.FS(o.ProcRoot)}, findCgroups(o.CgroupRoot)),
		watches: make(map[*Watch]struct{}), byInode: make(map[inodeKey]*Watch),
		counts: make(map[uint64]*counter), exempt: make(map[inodeKey]*Exemption),
		groups: make(map[uint64]struct{}), execs: make(map[uint32]openKey),
		readers: make(map[reader]struct{}),
		repeats: newRepeats(o.RepeatInterval, maxRepeats), opens: newOpens(maxOpens),
		stats: bpf.Stats{Lost: map[string]uint64{
			bpf.LostRingFull: 0, LostQueueOverflow: 0, LostUnanswered: 0, LostGuard: 0,
		}},
	}
	s.recent = newRecent(s.eye.proc)
	if s.self, err = ownIdentity(s.eye.proc); err != nil {
		return nil, fmt.Errorf("fanotify: %w", err)
	}
	s.pending, s.idle = make(map[uint64]struct{}), sync.NewCond(&s.mu)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if s.guard, err = startGuard(s.ctx); err != nil {
		s.cancel()
		return nil, fmt.Errorf("fanotify: %w", err)
	}
	s.changes = openChanges()
	s.work.Go(s.run)
	for range lookers {
		s.work.Go(s.lookAtAll)
	}
	if s.changes != nil {
		s.work.Go(func() { s.changes.run(s.change) })
	}
	if err := s.selfTest(); err != nil {
		return nil, errors.Join(fmt.Errorf("fanotify: %w", err), s.Close())
	}
	return s, nil
}

// ownIdentity also finds out whether the proc file system is that of this
// process' pid namespace: the ids in events are.
func ownIdentity(fs procFS) (identity, error) {
	pid := os.Getpid()
	if self, err := os.Readlink(fs.name(uint32(pid), "../self")); err != nil {
		return identity{}, fmt.Errorf("own process: %w", err)
	} else if self != strconv.Itoa(pid) {
		return identity{}, fmt.Errorf("proc file system %s: of another pid namespace", fs.FS)
	}
	stat, err := fs.stat(uint32(pid))
	if err != nil {
		return identity{}, err
	}
	return identity{uint32(pid), stat.start}, nil
}

// selfTest marks a file, opens it, and expects to be let through: a kernel
// without CONFIG_FANOTIFY_ACCESS_PERMISSIONS refuses the mark.
func (s *Sensor) selfTest() error {
	fd, err := unix.MemfdCreate("beesting-selftest", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	f := os.NewFile(uintptr(fd), "self-test")
	defer f.Close()
	s.marking.Lock()
	defer s.marking.Unlock()
	if err := s.guard.mark(toMark, permissionEvents, f); err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	start := time.Now()
	again, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	if took := time.Since(start); took > selfTestTime {
		err = fmt.Errorf("self-test: an open took %v", took)
	}
	return errors.Join(err, again.Close(), s.guard.mark(toUnmark, permissionEvents, f))
}

// selfTestTime is as long as an open may take at worst, and the time to get a
// processor on a machine that is busy.
const selfTestTime = 2 * time.Second

// Mode returns bpf.ModeFanotify.
func (s *Sensor) Mode() bpf.Mode { return bpf.ModeFanotify }

// Tier returns the tier of the options.
func (s *Sensor) Tier() bpf.Tier { return s.options.Tier }

// Read waits for the next event. It returns bpf.ErrFlushed when a Flush has been
// answered in full, os.ErrClosed after Close, and another error when no guard
// can be had any more.
func (s *Sensor) Read() (bpf.Event, error) {
	e, err := s.events.pull()
	if err != nil {
		return e, fmt.Errorf("read events: %w", err)
	}
	return e, nil
}

// Retain does nothing: the kernel keeps no event that was read.
func (*Sensor) Retain(bool) {}

// Flush makes Read return the events of what has happened until now, and then
// bpf.ErrFlushed, instead of waiting for more.
func (s *Sensor) Flush() error {
	s.mu.Lock()
	g, closed := s.guard, s.closed
	s.mu.Unlock()
	if closed {
		return fmt.Errorf("flush events: %w", os.ErrClosed)
	}
	g.barrier(func() {
		// Not here: this is the goroutine that hands out the looks.
		s.work.Go(func() {
			s.waitForLooks()
			s.events.flush()
		})
	})
	return nil
}

// Count returns what was counted for a placement, zeroes if none is known.
func (s *Sensor) Count(placement uint64) (bpf.Count, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.counts[placement]
	if !ok {
		return bpf.Count{}, fmt.Errorf("count of placement %#x: %w", placement, os.ErrNotExist)
	}
	return c.count, nil
}

// Account returns what was set, the zero value before that.
func (s *Sensor) Account(placement uint64) (bpf.Account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.counts[placement]; ok {
		return c.account, nil
	}
	return bpf.Account{}, nil
}

// SetAccount keeps a for a placement that is counted. Unlike with pinned maps it
// ends with the process, as the counters do.
func (s *Sensor) SetAccount(placement uint64, a bpf.Account) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.counts[placement]
	if !ok {
		return fmt.Errorf("account of placement %#x: %w", placement, os.ErrNotExist)
	}
	c.account = a
	return nil
}

// Repeats returns the counts of touches by process and kind.
func (s *Sensor) Repeats() ([]bpf.Repeat, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.repeats.all(), nil
}

// Placements returns those that are counted, in order.
func (s *Sensor) Placements() ([]uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.counts)), nil
}

// Forget drops the counters of a placement that nobody watches any more.
func (s *Sensor) Forget(placement uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.counts[placement]
	if !ok {
		return nil
	}
	if c.watches > 0 {
		return fmt.Errorf("forget placement %#x: still watched", placement)
	}
	delete(s.counts, placement)
	s.repeats.forget(placement)
	return nil
}

// SignOfLife does nothing: nobody takes over from this process.
func (*Sensor) SignOfLife() {}

// Resumed returns false: a fanotify group ends with its process.
func (s *Sensor) Resumed() (bpf.Resumed, bool) { return bpf.Resumed{}, false }

// Stats returns the counters of loss.
func (s *Sensor) Stats() (bpf.Stats, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stats
	out.Lost = maps.Clone(s.stats.Lost)
	return out, nil
}

// Late returns how many tasks the guard let go before they had been looked at to
// the end. They are told of all the same.
func (s *Sensor) Late() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.late
}

// GuardPID is the process id of the guard, for tests and for who wonders.
func (s *Sensor) GuardPID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.guard.process.Pid
}

// Close lets everybody go who waits, removes all marks and ends Read. A second
// Close does nothing.
func (s *Sensor) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	g := s.guard
	s.mu.Unlock()

	s.cancel()
	errs := []error{g.close()}
	if s.changes != nil {
		errs = append(errs, s.changes.close())
	}
	s.work.Wait()
	s.events.close(os.ErrClosed)
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watches {
		errs = append(errs, w.pin.Close())
	}
	for _, e := range s.exempt {
		errs = append(errs, e.pin.Close())
	}
	s.watches, s.exempt = nil, nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close fanotify sensor: %w", err)
	}
	return nil
}

// Coverage says which kinds are seen, how well, and why the others are not.
func (s *Sensor) Coverage() []bpf.KindSupport { return coverage(s.changes != nil) }

// Probe tries the sensor out and closes it again.
func Probe(o Options) error {
	s, err := Open(o)
	if err != nil {
		return err
	}
	return s.Close()
}
