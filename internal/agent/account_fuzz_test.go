package agent

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/internal/agent/sensortest"
)

// world is a kernel side that loses events as told, and agents that come and go
// over it. Everything happens in the order of the steps; its clock stands still
// between them.
type world struct {
	t      *testing.T
	sensor *sensortest.Fake
	sink   *memory
	core   *Core
	now    time.Duration
	late   []bpf.Event // counted and not sent yet

	// lossless: nothing has happened that could cost an event. twice are the
	// touches that may have been told more than once.
	lossless bool
	twice    uint64
	begun    int
}

const worldPlacements = 3

func newWorld(t *testing.T) *world {
	w := &world{t: t, sensor: sensortest.New(), sink: &memory{}, now: time.Hour, lossless: true}
	w.start()
	return w
}

// start makes an agent; the one before, if any, is dead.
func (w *world) start() {
	base := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f := newFixture(w.t, func(o *CoreOptions) {
		o.Sensor, o.Sink = w.sensor, w.sink
		o.Clock = Clock{Now: func() time.Time { return base.Add(w.now) }, Boot: func() (time.Duration, error) { return w.now, nil }}
	})
	w.core = f.core
	for id := range beesting.PlacementID(worldPlacements) {
		if err := w.core.Arm(placement(id+1), file(w.t)); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) touch(b byte, room bool) {
	w.begun++
	e := event(uint64(b%worldPlacements) + 1)
	e.PID = 40 + uint32(b>>2%4)
	e.StartTime = time.Duration(e.PID)
	e.Time = w.now
	e.Variant = b >> 5 & 1
	if b>>6&1 == 1 {
		e.Kind = bpf.KindStat
	}
	switch {
	case len(w.sensor.Events) > 900:
		room = false
	case b>>7 == 1 && len(w.late) < 20: // the kernel is slow
		if e, sent := w.sensor.Tally(e, room); sent {
			w.late = append(w.late, e)
		}
		w.lossless = w.lossless && room
		return
	}
	w.lossless = w.lossless && room
	w.sensor.Act(e, room)
}

func (w *world) read(n int) {
	for range min(n, len(w.sensor.Events)) {
		w.core.take(w.t.Context(), <-w.sensor.Events)
	}
}

// catchUp sends what was late.
func (w *world) catchUp() {
	for _, e := range w.late {
		w.sensor.Events <- e
	}
	w.late = nil
}

// balance settles; touches that happen meanwhile are told by the next bytes.
func (w *world) balance(meanwhile []byte) {
	snap, any := w.core.snapshot()
	for _, b := range meanwhile {
		w.touch(b, true)
	}
	w.read(len(w.sensor.Events))
	if any {
		w.core.settle(w.t.Context(), snap, false)
	}
	// What was given up as lost twice over may be on its way yet.
	for range w.late {
		w.twice += 1 << 20
		w.lossless = false
	}
}

// die ends the agent as kill -9 does: in the middle of an event, or after the
// sink has it and before the account says so.
func (w *world) die(how byte) {
	if len(w.sensor.Events) > 0 {
		switch how % 3 {
		case 1: // read and not told
			<-w.sensor.Events
		case 2: // told and not noted
			e := <-w.sensor.Events
			before, err := w.sensor.Account(e.Placement)
			if err != nil {
				w.t.Fatal(err)
			}
			w.core.take(w.t.Context(), e)
			w.twice += e.Total
			if err := w.sensor.SetAccount(e.Placement, before); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	w.lossless = false
	w.sensor.Resume(w.now)
	if err := w.core.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.start()
}

func (w *world) step(op, arg byte, rest []byte) {
	switch op % 12 {
	case 0, 1, 2, 3:
		w.touch(arg, true)
	case 4:
		for range 1 + int(arg%50) {
			w.touch(arg, true)
		}
	case 5:
		w.touch(arg, false)
	case 6:
		w.now += time.Duration(arg) * 10 * time.Millisecond
	case 7:
		w.read(1 + int(arg%8))
	case 8, 9:
		w.now += time.Second
		w.balance(rest[:min(len(rest), int(arg%4))])
	case 10:
		w.odd(arg)
	case 11:
		w.catchUp()
	}
}

// odd is what happens seldom.
func (w *world) odd(arg byte) {
	switch arg % 4 {
	case 0:
		w.die(arg >> 2)
	case 1:
		w.sink.refuse = errors.New("full")
	case 2:
		w.sink.refuse = nil
	case 3:
		w.lossless = false
		w.sensor.Evict(sensortest.Key{Placement: uint64(arg>>2%worldPlacements) + 1, PID: 40 + uint32(arg>>4%4), Start: time.Duration(40 + arg>>4%4), Kind: bpf.KindOpen})
	}
}

// end lets everything come to rest.
func (w *world) end() {
	w.sink.refuse = nil
	w.catchUp()
	w.read(len(w.sensor.Events))
	for range 4 {
		w.now += 5 * time.Second
		w.core.look(false)
		w.balance(nil)
	}
}

func (w *world) told(id beesting.PlacementID, k bpf.Kind) (touches, lost uint64, byProcess map[string]uint64) {
	byProcess = map[string]uint64{}
	for _, a := range w.sink.got {
		if a.Placement.ID == id && string(a.Kind) == k.String() {
			touches += a.Count
			byProcess[fmt.Sprint(a.Process.PID)] += a.Count
		}
	}
	for _, g := range w.sink.gaps {
		if g.Placement.ID == id && string(g.Kind) == k.String() {
			lost += g.Count
		}
	}
	return touches, lost, byProcess
}

func (w *world) check() {
	w.t.Helper()
	for id := range uint64(worldPlacements) {
		id++
		n, err := w.sensor.Count(id)
		a, errAccount := w.sensor.Account(id)
		if err := errors.Join(err, errAccount); err != nil {
			w.t.Fatal(err)
		}
		for _, k := range []bpf.Kind{bpf.KindOpen, bpf.KindStat} {
			if a.Delivered[k]+a.Coalesced[k]+a.Lost[k] != n.Seen[k] {
				w.t.Errorf("placement %d, %s: seen %d, delivered %d, coalesced %d, lost %d", id, k, n.Seen[k], a.Delivered[k], a.Coalesced[k], a.Lost[k])
			}
			touches, lost, _ := w.told(beesting.PlacementID(id), k)
			if sum := touches + lost; sum < n.Seen[k] || sum > n.Seen[k]+w.twice {
				w.t.Errorf("placement %d, %s: seen %d, told %d and %d lost (%d may be twice)", id, k, n.Seen[k], touches, lost, w.twice)
			}
			if w.lossless && lost > 0 {
				w.t.Errorf("placement %d, %s: %d lost and nothing could be", id, k, lost)
			}
		}
	}
	if w.lossless {
		w.checkProcesses()
	}
	if len(w.core.dirty) > 0 {
		w.t.Errorf("at rest, and still to be settled: %v", w.core.dirty)
	}
}

// checkProcesses: with no event lost, each process has what it did.
func (w *world) checkProcesses() {
	w.t.Helper()
	did := map[string]uint64{}
	repeats, err := w.sensor.Repeats()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range repeats {
		did[fmt.Sprint(r.Placement, r.Kind, r.PID)] += r.Total
	}
	got := map[string]uint64{}
	for id := range beesting.PlacementID(worldPlacements) {
		for _, k := range []bpf.Kind{bpf.KindOpen, bpf.KindStat} {
			_, _, by := w.told(id+1, k)
			for pid, n := range by {
				got[fmt.Sprint(uint64(id+1), k, " ", pid)] += n
			}
		}
	}
	if fmt.Sprint(did) != fmt.Sprint(got) {
		w.t.Errorf("processes did %v and were told of for %v", did, got)
	}
}

func (w *world) play(steps []byte) {
	for i := 0; i+1 < len(steps) && w.begun < 5000; i += 2 {
		w.step(steps[i], steps[i+1], steps[i+2:])
	}
	w.end()
	w.check()
}

func FuzzAccounts(f *testing.F) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		steps := make([]byte, 50*(1+seed))
		for i := range steps {
			steps[i] = byte(random.Uint32())
		}
		f.Add(steps)
	}
	f.Add([]byte{0, 0, 4, 0, 6, 30, 8, 0})          // repeats that end
	f.Add([]byte{0, 0, 10, 4, 0, 0, 8, 0})          // read, not told, killed
	f.Add([]byte{4, 40, 7, 1, 10, 8, 4, 40, 8, 0})  // told, not noted, killed
	f.Add([]byte{5, 0, 6, 200, 0, 0, 8, 0, 8, 0})   // the first is lost
	f.Add([]byte{0, 128, 8, 0, 8, 0, 8, 0, 11, 0})  // slower than patience
	f.Add([]byte{0, 0, 10, 1, 0, 1, 0, 2, 10, 2})   // refused
	f.Add([]byte{0, 0, 4, 0, 10, 3, 4, 0, 8, 0, 8}) // evicted
	f.Fuzz(func(t *testing.T, steps []byte) { newWorld(t).play(steps) })
}
