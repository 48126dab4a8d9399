package agent

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
)

// cluster is a Workloads that knows what a test tells it.
type cluster struct {
	mu      sync.Mutex
	known   map[string]*beesting.Workload
	soon    bool // of pods that aren't known
	changed chan struct{}
}

func newCluster(soon bool) *cluster {
	return &cluster{known: map[string]*beesting.Workload{}, soon: soon, changed: make(chan struct{}, 1)}
}

func (c *cluster) Workload(p beesting.Pod) (*beesting.Workload, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.Name == "" {
		return nil, false
	}
	if w := c.known[p.UID]; w != nil {
		return w, false
	}
	return &beesting.Workload{Unresolved: beesting.UnresolvedAbsent}, c.soon
}

func (c *cluster) Changed() <-chan struct{} { return c.changed }

func (c *cluster) tell(uid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known[uid] = &beesting.Workload{Owners: []beesting.Owner{{Group: "apps", Kind: "Deployment", Name: "of-" + uid}}}
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// inPod is a placement in a pod that is called like its uid.
func inPod(id beesting.PlacementID, uid string) beesting.Placement {
	p := placement(id)
	p.Container = &beesting.Container{ID: "c-" + uid, Pod: beesting.Pod{Namespace: "web", Name: uid, UID: uid}}
	return p
}

// running runs the core until the test ends, with placements 1 and 2 in pods a and b.
func running(t *testing.T, c *cluster, wait time.Duration) (f *fixture, stop func()) {
	t.Helper()
	f = newFixture(t)
	f.core.SetWorkloads(c, wait)
	for id, uid := range map[beesting.PlacementID]string{1: "a", 2: "b"} {
		if err := f.core.Arm(inPod(id, uid), file(t)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.core.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return f, stop
}

func workloadOf(a beesting.Access) beesting.Workload {
	if w := a.Placement.Container.Pod.Workload; w != nil {
		return *w
	}
	return beesting.Workload{Unresolved: "nil"}
}

func TestWorkloadIsTold(t *testing.T) {
	c := newCluster(false)
	c.tell("a")
	f, _ := running(t, c, time.Minute)
	f.sensor.Touch(1, 1)
	f.sensor.Touch(2, 1)
	until(t, "two accesses", func() bool { return len(f.sink.accesses()) == 2 })
	got := f.sink.accesses()
	if w := workloadOf(got[0]); len(w.Owners) != 1 || w.Owners[0].Name != "of-a" {
		t.Errorf("got %+v", w)
	}
	if w := workloadOf(got[1]); w.Unresolved != beesting.UnresolvedAbsent {
		t.Errorf("got %+v", w)
	}
	if p := f.core.Placements()[0]; p.Container.Pod.Workload != nil {
		t.Error("the container that all share was changed")
	}
	if s, err := f.core.Stats(); err != nil || s.Waited != 0 || s.Unresolved["absent"] != 1 {
		t.Errorf("stats %+v, %v", s, err)
	}
}

// An access whose pod comes a moment later waits for it; others go ahead.
func TestAccessWaitsForItsPod(t *testing.T) {
	c := newCluster(true)
	c.tell("b")
	f, _ := running(t, c, time.Minute)
	f.sensor.Touch(1, 1)
	f.sensor.Touch(1, 2)
	f.sensor.Touch(2, 1)
	until(t, "the other's access", func() bool { return len(f.sink.accesses()) == 1 })
	if a := f.sink.accesses()[0]; a.Placement.ID != 2 {
		t.Fatalf("placement %d did not wait", a.Placement.ID)
	}
	c.tell("a")
	until(t, "all three", func() bool { return len(f.sink.accesses()) == 3 })
	got := f.sink.accesses()
	if got[1].Process.PID > got[2].Process.PID || workloadOf(got[1]).Owners[0].Name != "of-a" || workloadOf(got[2]).Owners[0].Name != "of-a" {
		t.Errorf("got %+v, %+v", got[1], got[2])
	}
}

func TestWaitIsBounded(t *testing.T) {
	f, _ := running(t, newCluster(true), 100*time.Millisecond)
	began := time.Now()
	f.sensor.Touch(1, 1)
	until(t, "the access", func() bool { return len(f.sink.accesses()) == 1 })
	if d := time.Since(began); d < 100*time.Millisecond || d > 5*time.Second {
		t.Errorf("told after %v", d)
	}
	if w := workloadOf(f.sink.accesses()[0]); w.Unresolved != beesting.UnresolvedAbsent {
		t.Errorf("got %+v", w)
	}
	// Nobody waits for that pod again.
	for n := 2; n < 12; n++ {
		f.sensor.Touch(1, n)
	}
	until(t, "the others", func() bool { return len(f.sink.accesses()) == 11 })
	if s, err := f.core.Stats(); err != nil || s.Waited != 1 {
		t.Errorf("waited %d times, %v", s.Waited, err)
	}
}

// What waits is told when the agent ends, when somebody asks for all that there is,
// and when nobody knows workloads any more.
func TestNothingWaitsForTheEnd(t *testing.T) {
	for name, end := range map[string]func(f *fixture, stop func()){
		"end":   func(_ *fixture, stop func()) { stop() },
		"flush": func(f *fixture, _ func()) { _ = f.core.Flush(context.Background()) },
		"pause": func(f *fixture, _ func()) { _ = f.core.Pause(context.Background()) },
		"off":   func(f *fixture, _ func()) { f.core.SetWorkloads(nil, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			f, stop := running(t, newCluster(true), time.Hour)
			f.sensor.Touch(1, 1)
			until(t, "waiting", func() bool { s, _ := f.core.Stats(); return s.Waited == 1 })
			end(f, stop)
			until(t, "the access", func() bool { return len(f.sink.accesses()) == 1 })
		})
	}
}

// An open that waits and its end come in this order, and agree.
func TestEndWaitsWithItsOpen(t *testing.T) {
	c := newCluster(true)
	f := newFixture(t)
	if err := f.core.Arm(inPod(1, "a"), file(t)); err != nil {
		t.Fatal(err)
	}
	f.core.SetWorkloads(c, time.Hour)
	f.core.setWaiting(t.Context(), true)
	const at = 90 * time.Second
	take(t, f, opened(1, at), closed(1, at, at+5))
	if len(f.sink.got)+len(f.sink.ends) != 0 {
		t.Fatal("nothing waited")
	}
	c.tell("a")
	f.core.out.Lock()
	f.core.letReadyGo(t.Context(), time.Now())
	f.core.out.Unlock()
	if len(f.sink.got) != 1 || len(f.sink.ends) != 1 || f.sink.ends[0].ID != f.sink.got[0].ID {
		t.Fatalf("got %+v, %+v", f.sink.got, f.sink.ends)
	}
	if a, b := f.sink.got[0].Placement.Container.Pod.Workload, f.sink.ends[0].Placement.Container.Pod.Workload; a == nil || a != b {
		t.Errorf("the open has %+v, its end %+v", a, b)
	}
}

// The books balance over a wait: the kernel counts what is told later.
func TestBooksOverAWait(t *testing.T) {
	f := newFixture(t)
	c := newCluster(true)
	if err := f.core.Arm(inPod(1, "a"), file(t)); err != nil {
		t.Fatal(err)
	}
	f.core.SetWorkloads(c, time.Hour)
	f.core.setWaiting(t.Context(), true)
	e, _ := f.sensor.Tally(event(1), true)
	take(t, f, e)
	for range 3 { // more settlements than a loss takes
		snap, _ := f.core.snapshot()
		f.core.settle(t.Context(), snap, false)
	}
	if len(f.sink.gaps)+len(f.sink.got) != 0 {
		t.Fatalf("told %+v, %+v", f.sink.gaps, f.sink.got)
	}
	c.tell("a")
	f.core.setWaiting(t.Context(), false)
	snap, _ := f.core.snapshot()
	f.core.settle(t.Context(), snap, true)
	account, err := f.sensor.Account(1)
	if err != nil || len(f.sink.got) != 1 || len(f.sink.gaps) != 0 || account.Delivered[bpf.KindOpen] != 1 {
		t.Errorf("got %d accesses, %d gaps, account %+v, %v", len(f.sink.got), len(f.sink.gaps), account, err)
	}
}

// More than may wait don't.
func TestFewWaitAtATime(t *testing.T) {
	f := newFixture(t)
	if err := f.core.Arm(inPod(1, "a"), file(t)); err != nil {
		t.Fatal(err)
	}
	f.core.SetWorkloads(newCluster(true), time.Hour)
	f.core.setWaiting(t.Context(), true)
	for n := range maxWaiting + 1 {
		take(t, f, by(100+uint32(n), 90*time.Second)) //nolint:gosec // a small number
	}
	if got := len(f.sink.got); got != maxWaiting+1 {
		t.Errorf("%d told", got)
	}
}

// What the sink refuses while it is told late comes again, with the workload.
func TestRefusedAfterAWait(t *testing.T) {
	f := newFixture(t)
	c := newCluster(true)
	if err := f.core.Arm(inPod(1, "a"), file(t)); err != nil {
		t.Fatal(err)
	}
	f.core.SetWorkloads(c, time.Hour)
	f.core.setWaiting(t.Context(), true)
	e, _ := f.sensor.Tally(event(1), true)
	take(t, f, e)
	c.tell("a")
	f.sink.refuse = errors.New("full")
	f.core.setWaiting(t.Context(), false)
	f.sink.refuse = nil
	snap, _ := f.core.snapshot()
	f.core.settle(t.Context(), snap, true)
	if len(f.sink.got) != 1 || workloadOf(f.sink.got[0]).Owners[0].Name != "of-a" {
		t.Errorf("got %+v", f.sink.got)
	}
}

// Events that wait for their pod stay in the kernel, for an agent after a kill.
func TestWaitingEventsAreRetained(t *testing.T) {
	c := newCluster(true)
	f, _ := running(t, c, time.Minute)
	f.sensor.Events <- event(1)
	until(t, "an access that waits", f.sensor.Retained)
	c.tell("a")
	until(t, "nothing that waits", func() bool { return !f.sensor.Retained() })
	if n := len(f.sink.accesses()); n != 1 {
		t.Errorf("%d accesses", n)
	}
}
