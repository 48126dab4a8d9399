package agent

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeSensor stands in for the kernel side, which needs a kernel that lets
// programs attach; test/e2e and the tests of bpf in VMs have the real one. It
// keeps what is watched by inode and hands out the events a test puts in.
type fakeSensor struct {
	events  chan bpf.Event
	errs    chan error
	flush   chan struct{}
	closed  chan struct{}
	once    sync.Once
	noFlush bool

	mu       sync.Mutex
	watching map[uint64]os.FileInfo
	refuse   error
	closeErr error
}

func newFakeSensor() *fakeSensor {
	return &fakeSensor{
		events: make(chan bpf.Event, 1000), errs: make(chan error, 10), flush: make(chan struct{}, 10),
		closed: make(chan struct{}), watching: map[uint64]os.FileInfo{},
	}
}

func (*fakeSensor) Mode() bpf.Mode { return bpf.ModeLSM }

type fakeWatch func() error

func (w fakeWatch) Close() error { return w() }

func (s *fakeSensor) Watch(f *os.File, id uint64) (io.Closer, error) {
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
		if os.SameFile(fi, seen) {
			return nil, &bpf.WatchedError{Placement: other}
		}
	}
	s.watching[id] = fi
	return fakeWatch(func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watching, id)
		return s.closeErr
	}), nil
}

func (s *fakeSensor) watches(id beesting.PlacementID) os.FileInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watching[uint64(id)]
}

func (s *fakeSensor) Read() (bpf.Event, error) {
	select { // what is there comes before a flush
	case e := <-s.events:
		return e, nil
	default:
	}
	select {
	case e := <-s.events:
		return e, nil
	case err := <-s.errs:
		return bpf.Event{}, err
	case <-s.flush:
		return bpf.Event{}, bpf.ErrFlushed
	case <-s.closed:
		return bpf.Event{}, os.ErrClosed
	}
}

func (s *fakeSensor) Flush() error {
	if !s.noFlush {
		s.flush <- struct{}{}
	}
	return nil
}

func (s *fakeSensor) Count(id uint64) (bpf.Count, error) {
	if s.watches(beesting.PlacementID(id)) == nil {
		return bpf.Count{}, errors.New("no such placement")
	}
	return bpf.Count{Seen: 3, Lost: 1}, nil
}

func (*fakeSensor) Stats() (bpf.Stats, error) {
	return bpf.Stats{Lost: map[string]uint64{bpf.LostRingFull: 7}, DecodeErrors: 2}, nil
}

func (s *fakeSensor) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// memory is a sink that keeps what it gets, and refuses when told to.
type memory struct {
	mu     sync.Mutex
	got    []beesting.Access
	refuse error
}

func (m *memory) Deliver(ctx context.Context, a beesting.Access) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if m.refuse != nil {
		return m.refuse
	}
	m.got = append(m.got, a)
	return nil
}

func (m *memory) accesses() []beesting.Access {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.got
}

// procTree is a directory that stands for /proc.
type procTree struct{ dir string }

func newProcTree(t *testing.T) procTree {
	t.Helper()
	p := procTree{t.TempDir()}
	p.write(t, "sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n")
	return p
}

func (p procTree) write(t *testing.T, name, content string) {
	t.Helper()
	name = filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// stopped is a clock at boot time 100 s.
func stopped() Clock {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return Clock{Now: func() time.Time { return now }, Boot: func() (time.Duration, error) { return 100 * time.Second, nil }}
}

type fixture struct {
	core   *Core
	sensor *fakeSensor
	sink   *memory
	proc   procTree
}

func newFixture(t *testing.T, edit ...func(*CoreOptions)) *fixture {
	t.Helper()
	f := &fixture{sensor: newFakeSensor(), sink: &memory{}, proc: newProcTree(t)}
	o := CoreOptions{Sensor: f.sensor, Sink: f.sink, ProcRoot: f.proc.dir, CgroupRoot: t.TempDir(), Clock: stopped()}
	for _, e := range edit {
		e(&o)
	}
	var err error
	if f.core, err = NewCore(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.core.Close() })
	return f
}

// file makes a file and opens it.
func file(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "token"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// until waits for a condition that another goroutine brings about.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
