// Package sensortest has a stand-in for the kernel side, for tests of what is
// built on it: the real one needs a kernel that lets programs attach.
package sensortest

import (
	"fmt"
	"io"
	"maps"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
)

// Fake keeps what is watched by inode and hands out the events that a test puts
// in; test/e2e and the tests of bpf in VMs have the real thing. Safe for
// concurrent use.
type Fake struct {
	Events chan bpf.Event // what Read is to return
	Errs   chan error     // errors that Read is to return
	// NoFlush makes Flush do nothing, DropCounts the end of a watch take the
	// placement's counters along. Set them before anything runs.
	NoFlush, DropCounts bool
	// Stays makes it claim to stay attached when the process ends.
	Stays bool

	flush  chan struct{}
	closed chan struct{}
	once   sync.Once

	flooding atomic.Bool
	retains  atomic.Bool
	made     atomic.Int64
	signs    atomic.Int64

	mu       sync.Mutex
	watching map[uint64]os.FileInfo
	refuse   error
	closeErr error
	counts   map[uint64]*bpf.Count
	accounts map[uint64]bpf.Account
	repeats  map[Key]*repeat
	exempt   []Exemption
	resumed  *bpf.Resumed
	beside   map[Beside]os.FileInfo
	names    map[string]int
}

// New makes a sensor with room for 1000 events.
func New() *Fake {
	return &Fake{
		Events: make(chan bpf.Event, 1000), Errs: make(chan error, 10), flush: make(chan struct{}, 10),
		closed: make(chan struct{}), watching: map[uint64]os.FileInfo{},
		counts: map[uint64]*bpf.Count{}, accounts: map[uint64]bpf.Account{}, repeats: map[Key]*repeat{},
		beside: map[Beside]os.FileInfo{}, names: map[string]int{},
	}
}

// Touch puts in the event of an open by process n.
func (s *Fake) Touch(placement uint64, n int) { s.Events <- open(placement, n) }

// Open counts an open by process n as the kernel does and puts in its event, like
// Act. With held the file stays open until Shut.
func (s *Fake) Open(placement uint64, n int, held bool) {
	e := open(placement, n)
	if held {
		e.Handle = uint64(n) //nolint:gosec // small numbers
	}
	s.Act(e, true)
}

// Shut puts in the close of what process n holds open.
func (s *Fake) Shut(placement uint64, n int) {
	e := open(placement, n)
	s.Events <- bpf.Event{
		Kind: bpf.KindClose, Placement: placement, Handle: uint64(n), //nolint:gosec // small numbers
		OpenTime: e.Time, Time: e.Time + time.Second, Reads: 1,
	}
}

func open(placement uint64, n int) bpf.Event {
	at := time.Minute + time.Duration(n)*time.Millisecond
	return bpf.Event{
		Kind: bpf.KindOpen, Placement: placement, Time: at, StartTime: at - time.Millisecond,
		PID: uint32(n), TID: uint32(n), Comm: "cat", Executable: "/bin/cat", Cwd: "/", Total: 1, Args: []string{"cat", fmt.Sprint(n)}, //nolint:gosec // small numbers
	}
}

// Flood begins or ends a time in which Read always finds another event, of
// placement 1, from number 1 on. It returns how many there have been.
func (s *Fake) Flood(on bool) int {
	s.flooding.Store(on)
	return int(s.made.Load())
}

// Next makes the sensor of another process that finds this one's programs attached
// after its end: with its counters and accounts, and none of its watches. What was
// not read here is there too; this one must not be used any more.
func (s *Fake) Next(since time.Duration) *Fake {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := New()
	next.Stays, next.resumed = s.Stays, &bpf.Resumed{Since: since}
	for id, n := range s.counts {
		count := *n
		next.counts[id] = &count
	}
	maps.Copy(next.accounts, s.accounts)
	for k, r := range s.repeats {
		one := *r
		next.repeats[k] = &one
	}
	for len(s.Events) > 0 {
		next.Events <- <-s.Events
	}
	return next
}

// Refuse makes Watch fail from now on, or work again.
func (s *Fake) Refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = err
}

// RefuseClose is what closing a watch will return.
func (s *Fake) RefuseClose(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeErr = err
}

// Watches returns the file that is watched for a placement, or nil.
func (s *Fake) Watches(id beesting.PlacementID) os.FileInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watching[uint64(id)]
}

// Closed is closed when the sensor is.
func (s *Fake) Closed() <-chan struct{} { return s.closed }

// Mode implements agent.Sensor, as all below.
func (*Fake) Mode() bpf.Mode { return bpf.ModeLSM }

// watch is what ends a watch.
type watch func() error

// Close implements io.Closer.
func (w watch) Close() error { return w() }

// Watch notes the file and refuses one that another placement watches.
func (s *Fake) Watch(f *os.File, id uint64) (io.Closer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return nil, s.refuse
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	for other, seen := range s.watching {
		if other != id && os.SameFile(fi, seen) {
			return nil, &bpf.WatchedError{Placement: other}
		}
	}
	s.watching[id] = fi
	s.counter(id)
	return watch(func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watching, id)
		if s.DropCounts {
			s.drop(id)
		}
		return s.closeErr
	}), nil
}

// Read returns what is there before it heeds a flush.
func (s *Fake) Read() (bpf.Event, error) {
	if s.flooding.Load() {
		time.Sleep(50 * time.Microsecond)
		return open(1, int(s.made.Add(1))), nil
	}
	select {
	case e := <-s.Events:
		return e, nil
	default:
	}
	select {
	case e := <-s.Events:
		return e, nil
	case err := <-s.Errs:
		return bpf.Event{}, err
	case <-s.flush:
		select {
		case e := <-s.Events: // came before the flush, after the look at the top
			_ = s.Flush()
			return e, nil
		default:
			return bpf.Event{}, bpf.ErrFlushed
		}
	case <-s.closed:
		return bpf.Event{}, os.ErrClosed
	}
}

// Retain is what Retained returns.
func (s *Fake) Retain(on bool) { s.retains.Store(on) }

// Retained reports whether events are to stay for another process.
func (s *Fake) Retained() bool { return s.retains.Load() }

// Flush ends a Read.
func (s *Fake) Flush() error {
	if s.NoFlush {
		return nil
	}
	select {
	case s.flush <- struct{}{}:
	default: // one that is under way says the same
	}
	return nil
}

// Stats returns fixed counts.
func (*Fake) Stats() (bpf.Stats, error) {
	return bpf.Stats{Lost: map[string]uint64{bpf.LostRingFull: 7}, DecodeErrors: 2}, nil
}

// Close ends Read for good.
func (s *Fake) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}
