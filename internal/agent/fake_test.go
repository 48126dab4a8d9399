package agent

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/agent/sensortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a sink that keeps what it gets, and refuses when told to.
type memory struct {
	mu     sync.Mutex
	got    []beesting.Access
	ends   []beesting.Access
	gaps   []beesting.Gap
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

func (m *memory) End(_ context.Context, a beesting.Access) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse == nil {
		m.ends = append(m.ends, a)
	}
	return m.refuse
}

func (m *memory) Gap(_ context.Context, g beesting.Gap) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse == nil {
		m.gaps = append(m.gaps, g)
	}
	return m.refuse
}

func (m *memory) accesses() []beesting.Access {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.got
}

// procTree is a directory that stands for /proc.
type procTree struct{ dir string }

func newProcTree(t testing.TB) procTree {
	t.Helper()
	p := procTree{t.TempDir()}
	p.write(t, "sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n")
	return p
}

func (p procTree) write(t testing.TB, name, content string) {
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
	sensor *sensortest.Fake
	sink   *memory
	proc   procTree
}

func newFixture(t testing.TB, edit ...func(*CoreOptions)) *fixture {
	t.Helper()
	f := &fixture{sensor: sensortest.New(), sink: &memory{}, proc: newProcTree(t)}
	o := CoreOptions{Sensor: f.sensor, Sink: f.sink, ProcRoot: f.proc.dir, CgroupRoot: t.TempDir(), Clock: stopped(), Exempt: noBinaries()}
	for _, e := range edit {
		e(&o)
	}
	if fake, ok := o.Sensor.(*sensortest.Fake); ok {
		f.sensor = fake
	}
	var err error
	if f.core, err = NewCore(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.core.Close() })
	return f
}

// noBinaries keeps what is installed on the machine out of a test.
func noBinaries() Exempt { return Exempt{Runtimes: []string{}, Kubelets: []string{}} }

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
