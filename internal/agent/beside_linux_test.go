package agent

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/internal/agent/sensortest"
	"github.com/beesting-otel/beesting/nri"
)

func TestBesideAToken(t *testing.T) {
	f := newFixture(t)
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	covered := file(t)
	if err := f.core.ArmDirectory(1, dir); !errors.Is(err, errNotArmed) {
		t.Errorf("before the token: %v", err)
	}
	for id := range beesting.PlacementID(2) {
		if err := f.core.Arm(placement(id+1), file(t)); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.sensor.Names("token"); n != 2 {
		t.Errorf("name watched %d times", n)
	}
	if err := errors.Join(f.core.ArmDirectory(1, dir), f.core.ArmCovered(1, covered)); err != nil {
		t.Fatal(err)
	}
	if err := f.core.ArmDirectory(2, dir); err != nil {
		t.Errorf("two tokens in a directory: %v", err)
	}
	for _, what := range []string{"covered", "directory"} {
		if f.sensor.Beside(sensortest.Beside{Placement: 1, What: what}) == nil {
			t.Errorf("%s is not watched", what)
		}
	}
	for id := range beesting.PlacementID(2) {
		if err := f.core.Disarm(id + 1); err != nil {
			t.Fatal(err)
		}
	}
	for _, what := range []string{"covered", "directory"} {
		if f.sensor.Beside(sensortest.Beside{Placement: 1, What: what}) != nil {
			t.Errorf("%s is still watched", what)
		}
	}
	if n := f.sensor.Names("token"); n != 0 {
		t.Errorf("name still watched %d times", n)
	}
}

// A sensor that has nothing but what every sensor has.
type plainSensor struct{ Sensor }

func TestSensorThatSeesNothingBeside(t *testing.T) {
	f := newFixture(t, func(o *CoreOptions) { o.Sensor = plainSensor{sensortest.New()} })
	if err := f.core.Arm(placement(1), file(t)); err != nil {
		t.Fatal(err)
	}
	if err := f.core.ArmCovered(1, file(t)); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("covered: %v", err)
	}
	if err := f.core.Disarm(1); err != nil {
		t.Error(err)
	}
}

// A token that asks for it has its directory watched, as the container sees it;
// also when another agent planted it, who wrote nothing down of that.
func TestDirectoryOfAToken(t *testing.T) {
	for _, again := range []bool{false, true} {
		n := newNode(t)
		n.tokens[0].WatchDirectory = true
		c := testContainer("c1")
		id := uint64(n.launch(&c, 7))
		c.State = nri.StateRunning
		if again {
			n.restart()
			n.synchronize(c)
		}
		want, err := os.Stat(filepath.Join(n.proc.dir, "7", "root", filepath.Dir(n.tokens[0].Path)))
		if err != nil {
			t.Fatal(err)
		}
		got := n.sensor.Beside(sensortest.Beside{Placement: id, What: "directory"})
		if got == nil || !os.SameFile(got, want) {
			t.Errorf("after a restart %v: %v", again, got)
		}
	}
	n := newNode(t)
	c := testContainer("c1")
	id := uint64(n.launch(&c, 7))
	if n.sensor.Beside(sensortest.Beside{Placement: id, What: "directory"}) != nil {
		t.Error("watched without having been asked for")
	}
}

// The end of a watch can take the counters along: what they said is told.
func TestCountersThatEndWithTheWatch(t *testing.T) {
	w := newWorld(t)
	w.sensor.DropCounts = true
	for range 5 {
		w.sensor.Act(by(40, w.now), true)
	}
	w.sensor.Miscount(1, bpf.KindOpen, 2)
	w.now += time.Second
	if err := w.core.Disarm(1); err != nil {
		t.Fatal(err)
	}
	w.touch(1, true)
	for range 2 {
		w.balance(nil)
	}
	var sum uint64
	for _, a := range w.sink.got {
		if a.Placement.ID == 1 {
			sum += a.Count
		}
	}
	if sum != 5 || w.core.book.Known(1) {
		t.Errorf("%d of 5 told", sum)
	}
	w.wantGaps("unknown 2")
}
