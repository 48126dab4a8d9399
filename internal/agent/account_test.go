package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
)

// Random lives of kernel and agents, for every run of the tests; FuzzAccounts
// looks for more. In every second one no event is lost.
func TestAccountsAtRandom(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 2))
		steps := make([]byte, 20+random.IntN(600))
		for i := range steps {
			steps[i] = byte(random.Uint32())
			if seed%2 == 0 {
				steps[i] &= 0x7f
			}
			if lossy := steps[i] % 12; seed%2 == 0 && i%2 == 0 && (lossy == 5 || lossy == 10) {
				steps[i] = 0
			}
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t)
			w.play(steps)
			if w.lossless != (seed%2 == 0) && seed%2 == 0 {
				t.Error("an event was lost")
			}
		})
	}
}

// by makes a touch of placement 1 by a process.
func by(pid uint32, at time.Duration) bpf.Event {
	e := event(1)
	e.PID, e.TID, e.StartTime, e.Time = pid, pid, time.Duration(pid), at
	return e
}

func (w *world) wantGaps(causes ...string) {
	w.t.Helper()
	var got []string
	for _, g := range w.sink.gaps {
		got = append(got, fmt.Sprint(g.Cause, " ", g.Count))
		if g.Placement.TokenID != "canary" || g.Kind != beesting.AccessOpen || g.From.IsZero() || !g.To.After(g.From) {
			w.t.Errorf("gap %+v", g)
		}
	}
	if !slices.Equal(got, causes) {
		w.t.Errorf("gaps %v, want %v", got, causes)
	}
}

// Repeats that end are one access, of the time of the last.
func TestRepeatsAreToldWhenTheyEnd(t *testing.T) {
	w := newWorld(t)
	for range 10 {
		w.sensor.Act(by(40, w.now), true)
		w.now += 50 * time.Millisecond
	}
	w.read(1)
	w.balance(nil)
	if len(w.sink.got) != 1 || w.sink.got[0].Count != 1 {
		t.Fatalf("while it goes on: %+v", w.sink.got)
	}
	w.now += 2 * time.Second
	w.balance(nil)
	if len(w.sink.got) != 2 {
		t.Fatalf("%d accesses, want 2", len(w.sink.got))
	}
	first, rest := w.sink.got[0], w.sink.got[1]
	if rest.Count != 9 || rest.Time.Sub(first.Time) != 450*time.Millisecond || rest.ID == first.ID ||
		rest.Process.PID != 40 || rest.Incident != first.Incident || rest.Partial != nil || rest.Ongoing {
		t.Errorf("got %+v", rest)
	}
	w.end()
	w.check()
	w.wantGaps()
}

// The event of a process's only touches was lost: nobody knows who it was.
func TestLostFirstTouchIsAGap(t *testing.T) {
	w := newWorld(t)
	w.lossless = false
	w.sensor.Act(by(40, w.now), false)
	w.end()
	w.check()
	w.wantGaps("ring_full 1")
	w.sensor.Miscount(1, bpf.KindOpen, 3)
	w.end()
	w.check()
	w.wantGaps("ring_full 1", "unknown 3")
	if s, err := w.core.Stats(); err != nil || s.Gaps["ring_full"] != 1 || s.Gaps["unknown"] != 3 {
		t.Errorf("stats %+v, %v", s, err)
	}
}

// Its first event was lost and a later one came: the process is known after all.
func TestLostFirstTouchIsToldLater(t *testing.T) {
	w := newWorld(t)
	w.lossless = false
	w.sensor.Act(by(40, w.now), false)
	w.sensor.Act(by(40, w.now), true)
	w.end()
	w.check()
	w.wantGaps()
	if len(w.sink.got) != 2 || w.sink.got[1].Count != 1 || w.sink.got[1].Process.PID != 40 || w.sink.got[1].Partial != nil {
		t.Errorf("got %+v", w.sink.got)
	}
}

// kill -9 between two touches of a flood: the new agent goes on with the sum, and
// with one process it is exact who did what.
func TestKilledInAFlood(t *testing.T) {
	w := newWorld(t)
	flood := func(n int) {
		for range n {
			w.sensor.Act(by(40, w.now), true)
			w.now += 10 * time.Millisecond
		}
	}
	flood(500)
	w.read(3) // 1, 101, 201 touches
	w.die(1)  // the event of touch 301 is read and not told
	flood(300)
	w.end()
	w.check()
	w.wantGaps()
	var sum uint64
	for _, a := range w.sink.got {
		sum += a.Count
	}
	if sum != 800 {
		t.Errorf("%d of 800 told", sum)
	}
}

// An event was read by an agent that was killed, and its process is gone.
func TestTakenByAKilledAgent(t *testing.T) {
	w := newWorld(t)
	w.sensor.Act(by(40, w.now), true)
	w.die(1)
	w.end()
	w.check()
	w.wantGaps("restart 1")
}

// What could have been two processes is shared out, and marked.
func TestSharedTouchesAreMarked(t *testing.T) {
	w := newWorld(t)
	for range 300 {
		w.sensor.Act(by(40, w.now), true)
		w.sensor.Act(by(41, w.now), true)
		w.now += 10 * time.Millisecond
	}
	w.read(2)
	w.die(1) // touch 101 of process 40
	w.die(1) // and of the other
	w.read(len(w.sensor.Events))
	w.end()
	w.check()
	w.wantGaps()
	shares := 0
	for _, a := range w.sink.got {
		if slices.Contains(a.Partial, partialCount) {
			shares++
		}
	}
	if shares != 2 {
		t.Errorf("%d shares, want one of each process", shares)
	}
}

// A placement that is disarmed is accounted for and forgotten.
func TestDisarmedPlacementIsSettled(t *testing.T) {
	w := newWorld(t)
	for range 5 {
		w.sensor.Act(by(40, w.now), true)
	}
	if err := w.core.Disarm(1); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w.balance(nil)
	}
	if _, err := w.sensor.Count(1); err == nil {
		t.Error("counters not forgotten")
	}
	if w.core.book.Known(1) || len(w.core.leaving) != 0 {
		t.Error("account not closed")
	}
	var sum uint64
	for _, a := range w.sink.got {
		sum += a.Count
	}
	if sum != 5 {
		t.Errorf("%d of 5 told", sum)
	}
	w.wantGaps()
}

// Armed again before its counters were forgotten: they go on.
func TestArmedAgainStays(t *testing.T) {
	w := newWorld(t)
	if err := w.core.Disarm(1); err != nil {
		t.Fatal(err)
	}
	w.balance(nil)
	if err := w.core.Arm(placement(1), file(t)); err != nil {
		t.Fatal(err)
	}
	w.sensor.Act(by(40, w.now), true)
	w.end()
	if _, err := w.sensor.Count(1); err != nil {
		t.Error(err)
	}
	if len(w.sink.got) != 1 {
		t.Errorf("got %+v", w.sink.got)
	}
}

// The goroutines of a Run do it by themselves, and its end tells the rest.
func TestRunKeepsTheBooks(t *testing.T) {
	f := newFixture(t, func(o *CoreOptions) { o.Clock = SystemClock(); o.RepeatInterval = 10 * time.Millisecond })
	f.core.booksEvery = 5 * time.Millisecond
	if err := f.core.Arm(placement(1), file(t)); err != nil {
		t.Fatal(err)
	}
	stop := runCore(t, f)
	touch := func(n int) {
		now, err := f.core.clock.Boot()
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			f.sensor.Act(by(40, now), true)
		}
	}
	sum := func() (n uint64) {
		for _, a := range f.sink.accesses() {
			n += a.Count
		}
		return n
	}
	touch(50)
	until(t, "all 50 told", func() bool { return sum() == 50 })
	touch(30)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if sum() != 80 || len(f.sink.gaps) != 0 {
		t.Errorf("%d of 80 told, gaps %v", sum(), f.sink.gaps)
	}
	if s, err := f.core.Stats(); err != nil || s.Delivered+s.Coalesced != 80 || s.AccountErrors != 0 {
		t.Errorf("stats %+v, %v", s, err)
	}
}

// A token whose event never came is found without it.
func TestSweepFindsWhatNoEventTold(t *testing.T) {
	w := newWorld(t)
	w.lossless = false
	w.sensor.Miscount(2, bpf.KindOpen, 4)
	for range sweepIn {
		w.core.look(false)
	}
	for range 2 {
		w.balance(nil)
	}
	w.check()
	if len(w.sink.gaps) != 1 || w.sink.gaps[0].Count != 4 || w.sink.gaps[0].Placement.ID != 2 {
		t.Errorf("gaps %+v", w.sink.gaps)
	}
}

func TestBooksWithoutASink(t *testing.T) {
	w := newWorld(t)
	w.sink.refuse = context.Canceled
	w.touch(0, true)
	w.read(1)
	w.balance(nil)
	if got := w.core.book.Account(1); got != (bpf.Account{}) {
		t.Errorf("account %+v", got)
	}
	w.end()
	w.check()
}

// Where nothing is touched nothing is read, and the next agent still learns that
// this one was there.
func TestSignOfLifeWhenIdle(t *testing.T) {
	f := newFixture(t, func(o *CoreOptions) { o.Clock = SystemClock() })
	f.core.booksEvery = 5 * time.Millisecond
	stop := runCore(t, f)
	until(t, "signs of life", func() bool { return f.sensor.SignsOfLife() > 3 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
