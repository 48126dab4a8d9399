//go:build linux && (amd64 || arm64)

package bpf

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
)

// objects are the maps, variables and the program that each of the three
// objects brings under the same names.
type objects struct {
	FileOpen     *ebpf.Program  `ebpf:"file_open"`
	Events       *ebpf.Map      `ebpf:"events"`
	Counts       *ebpf.Map      `ebpf:"counts"`
	Watches      *ebpf.Map      `ebpf:"watches"`
	Enrol        *ebpf.Variable `ebpf:"enrol"`
	LostRingFull *ebpf.Variable `ebpf:"lost_ring_full"`
}

func (o *objects) close() error {
	return errors.Join(o.FileOpen.Close(), o.Events.Close(), o.Counts.Close(), o.Watches.Close())
}

// Sensor is an attached program. It stays attached until Close, or until the
// process ends. All methods may be called concurrently, but Read by one
// goroutine only.
type Sensor struct {
	mode    Mode
	refused []Attempt
	objs    objects
	link    link.Link
	reader  *ringbuf.Reader
	record  ringbuf.Record

	decodeErrors atomic.Uint64

	mu      sync.Mutex // guards the enrolment variable and closed
	closed  bool
	watches map[*Watch]struct{}
}

// Mode returns the mode the sensor is attached in.
func (s *Sensor) Mode() Mode { return s.mode }

// Refused returns the modes that were tried before Mode, and why each was
// refused.
func (s *Sensor) Refused() []Attempt { return s.refused }

// Read waits for the next event. It returns a *DecodeError for a record that
// makes no sense, after which reading goes on; ErrFlushed when a Flush has been
// answered in full; an error that is os.ErrClosed after Close.
func (s *Sensor) Read() (Event, error) {
	err := s.reader.ReadInto(&s.record)
	switch {
	case errors.Is(err, ringbuf.ErrFlushed):
		return Event{}, ErrFlushed
	case err != nil:
		return Event{}, fmt.Errorf("read event ring: %w", err)
	}
	e, err := decode(s.record.RawSample)
	if err != nil {
		s.decodeErrors.Add(1)
	}
	return e, err
}

// Flush makes Read return the events that are in the ring now, and then
// ErrFlushed, instead of waiting for more.
func (s *Sensor) Flush() error {
	if err := s.reader.Flush(); err != nil {
		return fmt.Errorf("flush event ring: %w", err)
	}
	return nil
}

// Count returns what the kernel counted for a placement that is being watched.
func (s *Sensor) Count(placement uint64) (Count, error) {
	var c lsmCount
	if err := s.objs.Counts.Lookup(placement, &c); err != nil {
		return Count{}, fmt.Errorf("count of placement %#x: %w", placement, err)
	}
	return Count{Seen: c.Seen, Lost: c.Lost}, nil
}

// Stats returns the counters of loss.
func (s *Sensor) Stats() (Stats, error) {
	var full, skipped uint64
	if err := s.objs.LostRingFull.Get(&full); err != nil {
		return Stats{}, fmt.Errorf("count of lost events: %w", err)
	}
	// Kept by the kernel since 5.12; zero before.
	ps, err := s.objs.FileOpen.Stats()
	switch {
	case err == nil:
		skipped = ps.RecursionMisses
	case !errors.Is(err, ebpf.ErrNotSupported):
		return Stats{}, fmt.Errorf("count of skipped runs: %w", err)
	}
	return Stats{
		Lost:         map[string]uint64{LostRingFull: full, LostRecursion: skipped},
		DecodeErrors: s.decodeErrors.Load(),
	}, nil
}

// Close detaches the program, lets go of every watched file and ends Read. A
// second Close does nothing.
func (s *Sensor) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true

	var errs []error
	if s.link != nil {
		// Before the pins go: from here on no inode is looked up any more.
		errs = append(errs, s.link.Close())
	}
	for w := range s.watches {
		errs = append(errs, w.pin.Close())
	}
	s.watches = nil
	errs = append(errs, s.reader.Close(), s.objs.close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close sensor: %w", err)
	}
	return nil
}

// Watch is one watched inode. It keeps the file open until Close.
type Watch struct {
	sensor    *Sensor
	placement uint64
	pin       *os.File
	inodes    uint32 // how many it took; two for an overlay file
	once      sync.Once
	err       error
}
