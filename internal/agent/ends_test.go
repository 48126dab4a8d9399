package agent

import (
	"errors"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/bpf"
)

// opened makes the event of an open whose end will be told.
func opened(handle uint64, at time.Duration) bpf.Event {
	e := by(40+uint32(handle), at) //nolint:gosec // small numbers
	e.Handle = handle
	return e
}

func closed(handle uint64, open, at time.Duration) bpf.Event {
	return bpf.Event{Kind: bpf.KindClose, Placement: 1, Handle: handle, OpenTime: open, Time: at, Reads: 3, Writes: 2}
}

func take(t *testing.T, f *fixture, events ...bpf.Event) {
	t.Helper()
	for _, e := range events {
		f.core.take(t.Context(), e)
	}
}

func TestOpenEnds(t *testing.T) {
	f := newFixture(t)
	if err := f.core.Arm(placement(1), file(t)); err != nil {
		t.Fatal(err)
	}
	const at = 90 * time.Second
	take(t, f, opened(1, at), opened(2, at+1), closed(1, at, at+1500*time.Millisecond))
	if got := f.sink.got; len(got) != 2 || !got[0].Ongoing || !got[0].EndTime.IsZero() || got[0].Reads != 0 {
		t.Fatalf("delivered %+v", got)
	}
	if len(f.sink.ends) != 1 {
		t.Fatalf("ends %+v", f.sink.ends)
	}
	end := f.sink.ends[0]
	if end.ID != f.sink.got[0].ID || end.Ongoing || end.EndTime.Sub(end.Time) != 1500*time.Millisecond || end.Reads != 3 || end.Writes != 2 {
		t.Errorf("end %+v", end)
	}
	s, err := f.core.Stats()
	if err != nil || s.OpenFiles != 1 || s.Ends != 1 || s.Delivered != 2 {
		t.Errorf("stats %+v, %v", s, err)
	}
}

// The end of another open at the same address, of one that was given up, and of
// one that an earlier agent told, end nothing.
func TestEndsOfOthers(t *testing.T) {
	f := newFixture(t)
	const at = 90 * time.Second
	take(t, f, opened(1, at), closed(1, at-1, at+5), closed(9, at, at+5))
	if len(f.sink.ends) != 0 {
		t.Fatalf("ends %+v", f.sink.ends)
	}
	take(t, f, opened(1, at+7)) // so the first has ended, and nobody said so
	if len(f.sink.ends) != 1 || !f.sink.ends[0].EndTime.IsZero() || f.sink.ends[0].ID != f.sink.got[0].ID {
		t.Fatalf("ends %+v", f.sink.ends)
	}
	if s, err := f.core.Stats(); err != nil || s.EndsUnmatched != 2 || s.EndsUnseen != 1 || s.OpenFiles != 1 {
		t.Errorf("stats %+v, %v", s, err)
	}
}

func TestEndsAreGivenUp(t *testing.T) {
	f := newFixture(t, func(o *CoreOptions) { o.OpenTimeout = 10 * time.Second }) // it is 100 s
	take(t, f, opened(1, 89*time.Second), opened(2, 91*time.Second))
	f.core.expire(t.Context())
	if len(f.sink.ends) != 1 || f.sink.ends[0].Process.PID != 41 || !f.sink.ends[0].EndTime.IsZero() {
		t.Fatalf("ends %+v", f.sink.ends)
	}
	take(t, f, closed(1, 89*time.Second, 99*time.Second)) // late
	for n := range uint64(maxOpens) {
		take(t, f, opened(10+n, 92*time.Second+time.Duration(n)))
	}
	if len(f.sink.ends) != 2 || f.sink.ends[1].Process.PID != 42 {
		t.Fatalf("the oldest has not made room: %d ends", len(f.sink.ends))
	}
	// The end of a Run closes off all.
	if err := runCore(t, f)(); err != nil {
		t.Fatal(err)
	}
	s, err := f.core.Stats()
	if err != nil || len(f.sink.ends) != 2+maxOpens || s.OpenFiles != 0 || s.EndsUnseen != 2+maxOpens || len(f.core.ends.open) != 0 {
		t.Errorf("%d ends, stats %+v, %v", len(f.sink.ends), s, err)
	}
}

// What the sink has not taken it is not told the end of.
func TestNoEndOfWhatWasRefused(t *testing.T) {
	f := newFixture(t)
	f.sink.refuse = errors.New("full")
	take(t, f, opened(1, time.Second))
	f.sink.refuse = nil
	take(t, f, closed(1, time.Second, 2*time.Second))
	f.core.closeOff(t.Context())
	if len(f.sink.ends) != 0 {
		t.Errorf("ends %+v", f.sink.ends)
	}
}
