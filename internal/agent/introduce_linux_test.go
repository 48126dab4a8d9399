package agent

import (
	"slices"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
)

const statusText = "Name:\tcat\nTgid:\t40\nPPid:\t39\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nCapEff:\t00000000a80425fb\n"

// hostWorld has a /proc of its own to write to.
func hostWorld(t *testing.T) (*world, procTree) {
	t.Helper()
	w := newWorld(t)
	return w, procTree{string(w.core.proc)}
}

// A process whose only event was lost is told by the kernel's count, and by /proc
// as long as it lives.
func TestProcessWithoutAnEvent(t *testing.T) {
	for name, c := range map[string]struct {
		alive   bool
		partial []string
	}{
		"alive": {true, []string{partialAncestors, partialFile}},
		"gone":  {false, []string{partialExecutable, partialArgs, partialCwd, partialIDs, partialAncestors, partialFile}},
	} {
		w, proc := hostWorld(t)
		w.lossless = false
		e := by(40, w.now)
		e.StartTime = 80 * time.Second
		if c.alive {
			proc.process(t, 40, "cat", 8000, "0::/\n")
			proc.write(t, "40/status", statusText)
			proc.write(t, "40/loginuid", "9")
			proc.link(t, "40/cwd", "/srv")
		}
		for range 3 {
			w.sensor.Act(e, false)
		}
		began := w.now
		w.end()
		w.check()
		w.wantGaps()
		if len(w.sink.got) != 1 {
			t.Fatalf("%s: got %+v", name, w.sink.got)
		}
		a := w.sink.got[0]
		if a.Count != 3 || a.Kind != beesting.AccessOpen || a.Actor != beesting.ActorHost || a.Ongoing || a.ID == (beesting.AccessID{}) ||
			a.Incident == (beesting.IncidentID{}) || a.ObservedTime.Sub(a.Time) < 5*time.Second || a.Time.Before(a.Process.StartTime) ||
			a.Time.Sub(a.Process.StartTime) != began-80*time.Second || !slices.Equal(a.Partial, c.partial) {
			t.Errorf("%s: got %+v", name, a)
		}
		p := a.Process
		if c.alive && (p.Executable != "/usr/bin/cat" || len(p.Args) != 2 || p.WorkingDirectory != "/srv" || p.Comm != "cat" || p.ParentPID != 39 ||
			p.UID != 1 || p.EUID != 2 || p.GID != 5 || p.EGID != 6 || p.LoginUID != 9 || p.Capabilities != 0xa80425fb) {
			t.Errorf("%s: process %+v", name, p)
		}
		if !c.alive && (p.PID != 40 || p.EUID != ^uint32(0) || p.GID != ^uint32(0) || p.Executable != "" || p.Args != nil) {
			t.Errorf("%s: process %+v", name, p)
		}
	}
}

// What an event told of the process before names its entry process.
func TestProcessWithoutAnEventIsOfItsIncident(t *testing.T) {
	w := newWorld(t)
	w.sensor.Act(by(40, w.now), true)
	other := by(40, w.now)
	other.Kind, other.Variant = bpf.KindStat, variantDenied
	w.sensor.Act(other, false)
	w.lossless = false
	w.read(1)
	w.end()
	w.check()
	if len(w.sink.got) != 2 {
		t.Fatalf("got %+v", w.sink.got)
	}
	event, count := w.sink.got[0], w.sink.got[1]
	if count.Kind != beesting.AccessStat || count.Incident != event.Incident || count.Process.CgroupID != 8 || count.Outcome != beesting.OutcomeDenied {
		t.Errorf("got %+v", count)
	}
}

// The event comes after its touches were told: it adds nothing, and what comes
// later is told with all that it says.
func TestLateEventIsNotToldTwice(t *testing.T) {
	w := newWorld(t)
	e, _ := w.sensor.Tally(by(40, w.now), true)
	for range 2 {
		w.now += time.Second
		w.balance(nil)
	}
	if len(w.sink.got) != 1 || w.sink.got[0].Count != 1 {
		t.Fatalf("got %+v", w.sink.got)
	}
	w.sensor.Events <- e
	w.read(1)
	if len(w.sink.got) != 1 {
		t.Errorf("told twice: %+v", w.sink.got)
	}
	w.sensor.Act(by(40, w.now), true)
	w.end()
	w.check()
	w.wantGaps()
	if len(w.sink.got) != 2 || w.sink.got[1].Count != 1 || w.sink.got[1].Partial != nil {
		t.Errorf("got %+v", w.sink.got)
	}
}

func TestStatusOfAProcess(t *testing.T) {
	for _, bad := range []string{"", "PPid:\t1\n", "PPid:\t1\nUid:\tx\t2\t3\t4\nGid:\t5\t6\t7\t8\nCapEff:\t0\n", "Uid:\t1\t2\t3\t4\nGid:\t1\t2\t3\t4294967296\n"} {
		var e bpf.Event
		if status(bad, &e) {
			t.Errorf("%q: %+v", bad, e)
		}
	}
}
