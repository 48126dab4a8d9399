package agent

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/internal/agent/sensortest"
)

func event(id uint64) bpf.Event {
	return bpf.Event{
		Kind: bpf.KindOpen, Placement: id, Time: 90 * time.Second,
		PID: 40, TID: 41, ParentPID: 39, StartTime: 80 * time.Second, ParentStartTime: 70 * time.Second,
		EntryPID: 38, EntryStartTime: 60 * time.Second,
		UID: 1, EUID: 2, GID: 3, EGID: 4, LoginUID: 5, AuditSession: 6, SessionLeaderPID: 7, CgroupID: 8,
		Flags: 9, DevMajor: 10, DevMinor: 11, Inode: 12, Generation: 13,
		Comm: "cat", Executable: "/bin/cat", Args: []string{"cat", "/token"}, Cwd: "/home", Total: 1,
		Capabilities: 14, MountNS: 15, PIDNS: 16, NetNS: 17, UserNS: 18, CgroupNS: 19,
		Ancestors: []bpf.Ancestor{{PID: 39, StartTime: 70 * time.Second, Comm: "sh"}, {PID: 38, StartTime: 60 * time.Second, Comm: "init"}},
	}
}

func placement(id beesting.PlacementID) beesting.Placement {
	return beesting.Placement{
		ID: id, TokenID: "canary", HostPath: "/state/file",
		Token: beesting.Token{Name: "aws", Kind: "aws-credentials", Path: "/token", Content: []byte("secret")},
	}
}

func TestAccess(t *testing.T) {
	f := newFixture(t)
	if err := f.core.Arm(placement(1), file(t)); err != nil {
		t.Fatal(err)
	}
	got := f.core.attribute(event(1))
	now := stopped().Now()
	want := beesting.Access{
		ID: got.ID, Incident: got.Incident, Kind: beesting.AccessOpen, Outcome: beesting.OutcomeAllowed,
		Time: now.Add(-10 * time.Second), ObservedTime: now, Placement: placement(1),
		File:  beesting.File{DevMajor: 10, DevMinor: 11, Inode: 12, Generation: 13, Flags: 9},
		Actor: beesting.ActorHost,
		Process: beesting.Process{
			PID: 40, TID: 41, ParentPID: 39, StartTime: now.Add(-20 * time.Second), ParentStartTime: now.Add(-30 * time.Second),
			EntryPID: 38, EntryBootTime: 60e9, UID: 1, EUID: 2, GID: 3, EGID: 4, LoginUID: 5, SessionLeaderPID: 7,
			AuditSession: 6, CgroupID: 8, Comm: "cat", Executable: "/bin/cat", Args: []string{"cat", "/token"},
			WorkingDirectory: "/home", Capabilities: 14, Namespaces: beesting.Namespaces{Mount: 15, PID: 16, Net: 17, User: 18, Cgroup: 19},
			Ancestors: []beesting.Ancestor{
				{PID: 39, StartTime: now.Add(-30 * time.Second), Comm: "sh"}, {PID: 38, StartTime: now.Add(-40 * time.Second), Comm: "init"},
			},
		},
		Count: 1,
	}
	want.Placement.Token.Content = nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestIDs(t *testing.T) {
	f := newFixture(t)
	if err := f.core.Arm(placement(1), file(t)); err != nil {
		t.Fatal(err)
	}
	base := f.core.attribute(event(1))
	if again := f.core.attribute(event(1)); again.ID != base.ID || again.Incident != base.Incident {
		t.Error("the same touch has two ids")
	}
	for name, change := range map[string]func(*bpf.Event){
		"kind":  func(e *bpf.Event) { e.Kind++ },
		"pid":   func(e *bpf.Event) { e.PID++ },
		"tid":   func(e *bpf.Event) { e.TID++ },
		"start": func(e *bpf.Event) { e.StartTime++ },
		"time":  func(e *bpf.Event) { e.Time++ },
		"token": func(e *bpf.Event) { e.Placement++ },
	} {
		e := event(1)
		change(&e)
		if a := f.core.attribute(e); a.ID == base.ID {
			t.Errorf("another %s, the same id", name)
		} else if a.Incident != base.Incident {
			t.Errorf("another %s, another incident", name)
		}
	}
	e := event(1)
	e.EntryStartTime++
	if a := f.core.attribute(e); a.Incident == base.Incident || a.ID != base.ID {
		t.Error("entry process: incident must differ, id must not")
	}
	e.EntryPID = 0
	if a := f.core.attribute(e); a.Incident == (beesting.IncidentID{}) || a.Incident == base.Incident {
		t.Error("incident without entry process")
	}

	i, j := NewIdentity([]byte("key")), NewIdentity([]byte("other"))
	if i.TokenID("c", "t") != NewIdentity([]byte("key")).TokenID("c", "t") || len(i.TokenID("c", "t")) != 26 {
		t.Error("token id not stable or not of 26 characters")
	}
	if i.TokenID("c", "t") == j.TokenID("c", "t") || i.TokenID("ct", "") == i.TokenID("c", "t") || i.PlacementID("c", "t") == i.PlacementID("c", "u") {
		t.Error("ids of different placements are the same")
	}
}

func TestUnknownPlacementIsDelivered(t *testing.T) {
	f := newFixture(t)
	a := f.core.attribute(event(99))
	if a.Placement.ID != 99 || !slices.Equal(a.Partial, []string{"placement"}) || a.Process.PID != 40 || a.ID == (beesting.AccessID{}) {
		t.Errorf("got %+v", a)
	}
}

func TestDisarmedPlacementIsStillKnown(t *testing.T) {
	f := newFixture(t)
	if err := f.core.Arm(placement(1), file(t)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.core.Disarm(1); err != nil {
			t.Fatal(err)
		}
	}
	if f.core.Armed(1) || f.sensor.Watches(1) != nil {
		t.Error("still armed")
	}
	if a := f.core.attribute(event(1)); a.Placement.Token.Name != "aws" || a.Partial != nil {
		t.Errorf("late event: %+v", a)
	}
}

func TestArmErrors(t *testing.T) {
	f := newFixture(t, func(o *CoreOptions) { o.MaxPlacements = 2 })
	one := file(t)
	if err := f.core.Arm(placement(1), one); err != nil {
		t.Fatal(err)
	}
	if err := f.core.Arm(placement(1), file(t)); !errors.Is(err, ErrArmed) {
		t.Errorf("twice: %v", err)
	}
	var watched *bpf.WatchedError
	if err := f.core.Arm(placement(2), one); !errors.As(err, &watched) || watched.Placement != 1 {
		t.Errorf("same inode: %v", err)
	}
	if err := f.core.Arm(placement(2), file(t)); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
	if err := f.core.Arm(placement(3), file(t)); !errors.Is(err, ErrFull) {
		t.Errorf("full: %v", err)
	}
	if got := f.core.Placements(); len(got) != 2 || got[0].ID != 1 || got[1].ID != 2 || got[0].Token.Content != nil {
		t.Errorf("placements %+v", got)
	}
	f.sensor.RefuseClose(errors.New("boom"))
	if err := f.core.Disarm(1); err == nil || f.core.Armed(1) {
		t.Errorf("disarm: %v", err)
	}
}

func runCore(t *testing.T, f *fixture) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	done := make(chan error, 1)
	go func() { done <- f.core.Run(ctx) }()
	return func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(20 * time.Second):
			t.Fatal("Run did not end")
			return nil
		}
	}
}

// What the kernel had when the agent was told to end is delivered.
func TestRunDrains(t *testing.T) {
	f := newFixture(t)
	for range 500 {
		f.sensor.Events <- event(1)
	}
	stop := runCore(t, f)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := f.sink.accesses(); len(got) != 500 {
		t.Errorf("%d of 500 delivered", len(got))
	}
}

func TestRunDrainIsBounded(t *testing.T) {
	f := newFixture(t, func(o *CoreOptions) { o.DrainTimeout = 10 * time.Millisecond })
	f.sensor.NoFlush = true
	if err := runCore(t, f)(); err == nil || !strings.Contains(err.Error(), "drain events") {
		t.Errorf("error %v, want one that says that events may be left", err)
	}
}

// A token that is opened without a pause must not keep the agent from ending,
// nor cost it the sensor: what is left is for the next run.
func TestRunEndsUnderAFlood(t *testing.T) {
	f := newFixture(t, func(o *CoreOptions) { o.DrainTimeout = 20 * time.Millisecond })
	f.sensor.Flood(true)
	if err := runCore(t, f)(); !errors.Is(err, ErrUndrained) {
		t.Errorf("ended with %v, want %v", err, ErrUndrained)
	}
	n := f.sensor.Flood(false)
	f.sensor.Events <- event(1)
	if err := runCore(t, f)(); err != nil {
		t.Fatal(err)
	}
	if got := len(f.sink.accesses()); n == 0 || got != n+1 {
		t.Errorf("%d delivered, want the %d of the flood and the one after it", got, n)
	}
}

// What happens between two runs waits for the second.
func TestRunAgain(t *testing.T) {
	f := newFixture(t)
	for i := range 5 {
		for range 10 {
			f.sensor.Events <- event(1)
		}
		if err := runCore(t, f)(); err != nil {
			t.Fatal(err)
		}
		if got := len(f.sink.accesses()); got != 10*(i+1) {
			t.Fatalf("%d delivered after %d runs, want %d", got, i+1, 10*(i+1))
		}
	}
}

func TestRunEndsWithTheSensor(t *testing.T) {
	f := newFixture(t)
	done := make(chan error, 1)
	go func() { done <- f.core.Run(t.Context()) }()
	if err := f.sensor.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestRunCounts(t *testing.T) {
	f := newFixture(t)
	stop := runCore(t, f)
	f.sensor.Errs <- &bpf.DecodeError{Reason: "short"}
	f.sensor.Errs <- bpf.ErrFlushed // somebody else's
	f.sensor.Events <- event(1)
	until(t, "delivered", func() bool { return len(f.sink.accesses()) == 1 })
	f.sink.mu.Lock()
	f.sink.refuse = errors.New("queue full")
	f.sink.mu.Unlock()
	f.sensor.Events <- event(1)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	got, err := f.core.Stats()
	want := CoreStats{Delivered: 1, SinkErrors: 1, Partial: 2, WithoutPlacement: 2, DecodeErrors: 2, Lost: map[string]uint64{"ring_full": 7, LostRefused: 1}, Gaps: map[string]uint64{}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("stats %+v, %v; want %+v", got, err, want)
	}
}

func TestRunReportsABrokenSensor(t *testing.T) {
	f := newFixture(t)
	f.sensor.Errs <- errors.New("epoll: bad")
	if err := f.core.Run(t.Context()); err == nil {
		t.Error("no error")
	}
}

func TestNewCoreRefuses(t *testing.T) {
	if _, err := NewCore(CoreOptions{}); err == nil {
		t.Error("accepted without sensor")
	}
	if _, err := NewCore(CoreOptions{Sensor: sensortest.New(), Sink: &memory{}, ProcRoot: t.TempDir()}); err == nil {
		t.Error("accepted without boot id")
	}
}

func TestFIFO(t *testing.T) {
	f := newFIFO[int, string](2)
	f.set(1, "a")
	f.set(2, "b")
	f.set(1, "c")
	if k, ok := f.set(3, "d"); !ok || k != 1 {
		t.Errorf("forgot %d, %v", k, ok)
	}
	if k, ok := f.set(4, "e"); !ok || k != 2 {
		t.Errorf("forgot %d, %v", k, ok)
	}
	if _, ok := f.get(1); ok || len(f.values) != 2 {
		t.Errorf("holds %v", f.values)
	}
	if v, ok := f.get(3); !ok || v != "d" {
		t.Errorf("3 is %q, %v", v, ok)
	}
}

// Sync returns when what happened before it is with the sink, and leaves Run as
// it is.
func TestSync(t *testing.T) {
	f := newFixture(t)
	stop := runCore(t, f)
	for i := range 20 {
		for range 50 {
			f.sensor.Events <- event(1)
		}
		if err := f.core.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(f.sink.accesses()); got != 50*(i+1) {
			t.Fatalf("%d delivered at sync %d, want %d", got, i+1, 50*(i+1))
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := f.core.Sync(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody reads, and sync says %v", err)
	}
}

// The end of a flush that began before a Sync does not let it go.
func TestSyncOutlastsAnEarlierFlush(t *testing.T) {
	f := newFixture(t)
	waiting := func() bool {
		f.core.mu.Lock()
		defer f.core.mu.Unlock()
		return len(f.core.syncs) == 1
	}
	done := make(chan error, 1)
	go func() { done <- f.core.Sync(t.Context()) }()
	for range 2 {
		for !waiting() {
			select {
			case err := <-done:
				t.Fatalf("let go early: %v", err)
			case <-time.After(time.Millisecond):
			}
		}
		f.core.synced()
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
