package agent

import (
	"testing"
	"time"

	"github.com/beesting-otel/beesting/bpf"
)

// resumed has placement 1 from an earlier agent.
func resumed(t *testing.T) *fixture {
	t.Helper()
	return newFixture(t, func(o *CoreOptions) {
		f := newFixture(t)
		f.sensor.Act(by(40, time.Second), true)
		<-f.sensor.Events
		if err := f.sensor.SetAccount(1, bpf.Account{Delivered: [bpf.Kinds]uint64{bpf.KindOpen: 1}}); err != nil {
			t.Fatal(err)
		}
		f.sensor.Resume(90 * time.Second)
		o.Sensor = f.sensor
	})
}

func drain(t *testing.T, f *fixture) {
	t.Helper()
	for {
		if err := f.core.sensor.Flush(); err != nil {
			t.Fatal(err)
		}
		e, err := f.core.sensor.Read()
		if err != nil {
			return
		}
		take(t, f, e)
	}
}

// Touches from while the agent was away wait for their placement.
func TestEventsWaitForTheirPlacement(t *testing.T) {
	f := resumed(t)
	s := f.sensor
	s.Act(by(40, 95*time.Second), true)
	s.Act(by(41, 96*time.Second), true)
	drain(t, f)
	if len(f.sink.got) != 0 || !s.Retained() {
		t.Fatalf("went out without placement, or lost with the process: %+v, %v", f.sink.got, s.Retained())
	}
	if err := f.core.Arm(placement(1), file(t)); err != nil {
		t.Fatal(err)
	}
	s.Act(by(42, 97*time.Second), true)
	drain(t, f)
	if len(f.sink.got) != 3 || s.Retained() {
		t.Fatalf("%d accesses, want 3; retained %v", len(f.sink.got), s.Retained())
	}
	for i, a := range f.sink.got {
		if a.Placement.TokenID != "canary" || a.Count != 1 || a.Process.PID != 40+uint32(i) || a.Partial != nil {
			t.Errorf("access %d: %+v", i, a)
		}
	}
	if st, err := f.core.Stats(); err != nil || st.Held != 2 || f.core.held.total != 0 {
		t.Errorf("stats %+v, %v", st, err)
	}
}

// What nobody arms goes out without placement, and its counters are forgotten.
func TestPlacementsThatNobodyArms(t *testing.T) {
	f := resumed(t)
	s := f.sensor
	s.Act(by(40, 95*time.Second), true)
	drain(t, f)
	f.core.settleIn(t.Context())
	if len(f.sink.got) != 0 {
		t.Fatal("did not wait")
	}
	f.core.Settled()
	f.core.settleIn(t.Context())
	if len(f.sink.got) != 1 || f.sink.got[0].Placement.ID != 1 || f.sink.got[0].Partial[0] != partialPlacement {
		t.Fatalf("got %+v", f.sink.got)
	}
	s.Act(by(41, 98*time.Second), false)
	for range 2 {
		snap, any := f.core.snapshot()
		drain(t, f)
		if any {
			f.core.settle(t.Context(), snap, false)
		}
	}
	if _, err := s.Count(1); err == nil {
		t.Error("counters are kept")
	}
	if len(f.sink.gaps) != 1 || f.sink.gaps[0].Count != 1 || f.sink.gaps[0].Placement.ID != 1 {
		t.Errorf("gaps %+v", f.sink.gaps)
	}
	// Another one isn't waited for any more.
	take(t, f, event(1))
	if len(f.sink.got) != 2 {
		t.Error("still waits")
	}
}

// Only the placements of the earlier agent are waited for, so many events, and
// so long.
func TestWaitingIsBounded(t *testing.T) {
	f := resumed(t)
	take(t, f, event(77))
	if len(f.sink.got) != 1 {
		t.Fatal("waits for a placement that nobody had")
	}
	for range maxHeld + 1 {
		take(t, f, event(1))
	}
	if len(f.sink.got) != 2 {
		t.Fatalf("%d accesses with %d held", len(f.sink.got), f.core.held.total)
	}
	f.core.releaseLate(t.Context())
	if len(f.sink.got) != 2+maxHeld || f.core.held.total != 0 {
		t.Errorf("%d accesses, %d held", len(f.sink.got), f.core.held.total)
	}
}

// What an agent told and was killed before it gave the event back is not told by
// the next; its end is.
func TestEventThatWasToldBefore(t *testing.T) {
	f := resumed(t)
	kept, err := f.sensor.Account(1)
	if err != nil {
		t.Fatal(err)
	}
	kept.Position = 500
	if err := f.sensor.SetAccount(1, kept); err != nil {
		t.Fatal(err)
	}
	if err := f.core.Arm(placement(1), file(t)); err != nil {
		t.Fatal(err)
	}
	e := by(40, time.Second)
	e.Position, e.Handle, e.Total = 500, 77, 1
	take(t, f, e)
	if len(f.sink.got) != 0 {
		t.Errorf("told again: %+v", f.sink.got)
	}
	end := bpf.Event{Kind: bpf.KindClose, Placement: 1, Handle: 77, OpenTime: e.Time, Time: e.Time + time.Second, Position: 600}
	take(t, f, end)
	if len(f.sink.ends) != 1 {
		t.Errorf("ends %+v", f.sink.ends)
	}
	e.Position, e.Time, e.PID = 700, e.Time+2*time.Second, 41
	take(t, f, e)
	if a, err := f.sensor.Account(1); err != nil || len(f.sink.got) != 1 || a.Position != 700 {
		t.Errorf("got %+v, account %+v, %v", f.sink.got, a, err)
	}
}
