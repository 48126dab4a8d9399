//go:build linux && (amd64 || arm64)

package bpf

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Sensor is a set of attached programs. They stay attached until Close, or until
// the process ends, or beyond both with Options.Pin. All methods may be called
// concurrently, but Read by one goroutine only.
type Sensor struct {
	mode    Mode
	tier    Tier
	refused []Attempt
	absent  []string // programs that this kernel has no place for
	locked  bool     // lockdown=confidentiality

	coll         *ebpf.Collection
	links        map[string]link.Link
	generation   uint32
	build        uint64 // see adopt.go
	filterOffset int64
	pins         *pins
	resumed      *Resumed
	ring         *ring
	record       []byte
	copies       *copyUps

	decodeErrors atomic.Uint64

	mu          sync.Mutex // guards the enrolment variable and what follows
	closed      bool
	watches     map[*Watch]struct{}
	byPlacement map[uint64]*Watch
	names       map[string]int // how many want symbolic links to a name told
	earlier     earlier
}

// Mode returns the mode the sensor is attached in.
func (s *Sensor) Mode() Mode { return s.mode }

// Tier returns what the sensor was told to see.
func (s *Sensor) Tier() Tier { return s.tier }

// Refused returns the modes that were tried before Mode, and why each was
// refused.
func (s *Sensor) Refused() []Attempt { return s.refused }

// Resumed says what an earlier process left behind in Options.Pin and this
// sensor took over: its programs watched until this sensor's did, and Read
// returns the events since. Watches have to be set again; what is not is still
// counted and told until Forget.
func (s *Sensor) Resumed() (Resumed, bool) {
	if s.resumed == nil {
		return Resumed{}, false
	}
	return *s.resumed, true
}

// Pinned says whether the programs go on after Close.
func (s *Sensor) Pinned() bool { return s.pins != nil }

// Coverage says which kinds of touches are seen on this kernel.
func (s *Sensor) Coverage() []KindSupport {
	all := CoverageOf(s.mode, s.tier)
	for i := range all {
		k := &all[i]
		if k.Kind == KindSymlink && s.locked {
			k.Seen, k.Note = false, noteLockdown
		}
		programs := programsOf(k.Kind)
		var missing []string
		for _, name := range programs {
			if _, attached := s.links[name]; !attached {
				missing = append(missing, strings.TrimSuffix(name, "_exit"))
			}
		}
		if !k.Seen || len(missing) == 0 {
			continue
		}
		k.Seen = len(missing) < len(programs)
		k.Note = "this kernel has no " + strings.Join(missing, ", ") + " to attach to"
	}
	return all
}

// Read waits for the next event. It returns a *DecodeError for a record that
// makes no sense, after which reading goes on; ErrFlushed when a Flush has been
// answered in full; an error that is os.ErrClosed after Close.
//
// To ask for an event is to say that the one before has been dealt with. One that
// a killed process was dealing with is the first that the sensor gives which takes
// over what is pinned; its Position tells whether that was done after all.
func (s *Sensor) Read() (Event, error) {
	for {
		record, position, err := s.ring.next(s.record)
		switch {
		case errors.Is(err, ErrFlushed):
			s.signOfLife()
			s.lookForCopyUps()
			return Event{}, ErrFlushed
		case err != nil:
			return Event{}, fmt.Errorf("read: %w", err)
		}
		s.record = record
		e, err := decode(record)
		e.Position = position
		switch {
		case err != nil:
			s.decodeErrors.Add(1)
			return Event{}, err
		case e.Kind == kindCopyUp:
			s.copies.announced(e.Placement)
			continue
		case e.Variant == variantWrite && e.Kind == KindOpen, e.Kind == KindLock:
			s.unlock(e.Placement)
		}
		if e.Variant == variantWrite {
			s.copies.written(e.Placement)
		}
		return e, nil
	}
}

// Flush makes Read return the events that are in the ring now, and then
// ErrFlushed, instead of waiting for more.
func (s *Sensor) Flush() error {
	if err := s.ring.requestFlush(); err != nil {
		return fmt.Errorf("flush event ring: %w", err)
	}
	return nil
}

// Retain says whether events that Read gives from now on stay in the ring until
// the first Read after Retain(false), although the next one is asked for: they
// wait for something that a killed process would have to wait for again. They do
// not stay where that takes more than half of the ring.
func (s *Sensor) Retain(on bool) { s.ring.retain.Store(on) }

// SignOfLife says to the process that takes over what is pinned that until now
// everything was read and accounted for: see [Resumed].Since. Reading does so too,
// at each ErrFlushed; this is for when nothing happens.
func (s *Sensor) SignOfLife() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.signOfLife()
	}
}

// signOfLife notes the time for whoever comes after this process.
func (s *Sensor) signOfLife() {
	var ts unix.Timespec
	if s.pins == nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return
	}
	// Worst case the next process takes an earlier time for the last one.
	_ = s.coll.Variables["alive"].Set(uint64(ts.Nano())) //nolint:gosec // since boot
}

// Stats returns the counters of loss.
func (s *Sensor) Stats() (Stats, error) {
	var full, skipped uint64
	if err := s.coll.Variables["lost_ring_full"].Get(&full); err != nil {
		return Stats{}, fmt.Errorf("count of lost events: %w", err)
	}
	for name, p := range s.coll.Programs {
		// Kept by the kernel since 5.12; zero before.
		ps, err := p.Stats()
		switch {
		case err == nil:
			skipped += ps.RecursionMisses
		case !errors.Is(err, ebpf.ErrNotSupported):
			return Stats{}, fmt.Errorf("count of skipped runs of %s: %w", name, err)
		}
	}
	return Stats{
		Lost:         map[string]uint64{LostRingFull: full, LostRecursion: skipped},
		DecodeErrors: s.decodeErrors.Load(),
	}, nil
}

// Close ends Read and lets go of every watched file. Without Options.Pin it
// detaches the programs. A second Close does nothing.
func (s *Sensor) Close() error {
	s.copies.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.coll != nil {
		s.signOfLife()
	}
	// Before the watched files go: from here on no inode is looked up any more,
	// unless the links are pinned.
	errs := []error{closeLinks(s.links)}
	for w := range s.watches {
		errs = append(errs, w.pin.Close())
	}
	s.watches, s.byPlacement = nil, nil
	if s.ring != nil {
		errs = append(errs, s.ring.close())
	}
	if s.coll != nil {
		s.coll.Close()
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close sensor: %w", err)
	}
	return nil
}

// ProgramInfo describes a loaded program.
type ProgramInfo struct {
	Name string
	// Section says what it is attached to.
	Translated, JITed int // bytes
	// Verified are the instructions that the verifier went through; zero before
	// 5.16.
	Verified uint32
	Load     time.Duration
}

// Programs describes the loaded programs, in no order.
func (s *Sensor) Programs() ([]ProgramInfo, error) {
	all := make([]ProgramInfo, 0, len(s.coll.Programs))
	for name, p := range s.coll.Programs {
		info, err := p.Info()
		if err != nil {
			return nil, fmt.Errorf("program %s: %w", name, err)
		}
		d := ProgramInfo{Name: name}
		d.Verified, _ = info.VerifiedInstructions()
		d.Translated, _ = info.TranslatedSize()
		if size, err := info.JitedSize(); err == nil {
			d.JITed = int(size)
		}
		d.Load, _ = info.LoadTime()
		all = append(all, d)
	}
	return all, nil
}

// checkOpen is called with the mutex held.
func (s *Sensor) checkOpen() error {
	if s.closed {
		return fmt.Errorf("sensor: %w", os.ErrClosed)
	}
	return nil
}
