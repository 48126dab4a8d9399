package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
)

// A process that was seen once keeps its paths, when it is gone and the place in
// the kernel that saw it again can't tell them.
func TestPathsOfAProcessThatWasSeen(t *testing.T) {
	f := newFixture(t)
	if err := f.core.Arm(placement(1), file(t)); err != nil {
		t.Fatal(err)
	}
	f.core.attribute(event(1))
	lacking := event(1)
	lacking.Kind, lacking.Cwd, lacking.Executable, lacking.ExecutableTruncated = bpf.KindStat, "", "", true
	for name, c := range map[string]struct {
		change func(*bpf.Event)
		known  bool
	}{
		"same":            {func(*bpf.Event) {}, true},
		"another pid":     {func(e *bpf.Event) { e.PID++ }, false},
		"another start":   {func(e *bpf.Event) { e.StartTime++ }, false},
		"another program": {func(e *bpf.Event) { e.Comm = "dog" }, false},
	} {
		e := lacking
		c.change(&e)
		a := f.core.attribute(e)
		if c.known && (a.Partial != nil || a.Process.Executable != "/bin/cat" || a.Process.ExecutableTruncated || a.Process.WorkingDirectory != "/home") {
			t.Errorf("%s: %+v", name, a)
		}
		if !c.known && !slices.Equal(a.Partial, []string{partialExecutable, partialCwd}) {
			t.Errorf("%s: partial %v", name, a.Partial)
		}
	}
	// Its end differs: not the program that was seen.
	lacking.Executable = "bin/dog"
	if a := f.core.attribute(lacking); !slices.Equal(a.Partial, []string{partialExecutable}) {
		t.Errorf("another program: partial %v", a.Partial)
	}
	for i := range 2 * maxSightings {
		e := event(1)
		e.PID = uint32(i) //nolint:gosec // small numbers
		f.core.attribute(e)
	}
	if n := len(f.core.seen.last.values); n != maxSightings {
		t.Errorf("%d processes are remembered", n)
	}
}

func TestWorkingDirectoryComesFromProc(t *testing.T) {
	f := newFixture(t)
	if err := f.core.Arm(placement(1), file(t)); err != nil {
		t.Fatal(err)
	}
	f.proc.process(t, 40, "cat", 8000, "0::/\n")
	cwd := filepath.Join(f.proc.dir, "40", "cwd")
	e := event(1)
	e.Cwd = ""
	for i, dir := range []string{"/srv", "/srv/below (deleted)"} { // it has moved on meanwhile
		_ = os.Remove(cwd)
		if err := os.Symlink(dir, cwd); err != nil {
			t.Fatal(err)
		}
		want := []string{"/srv", "/srv/below"}[i]
		if a := f.core.attribute(e); a.Process.WorkingDirectory != want || a.Partial != nil {
			t.Errorf("%q, %v, want %q", a.Process.WorkingDirectory, a.Partial, want)
		}
	}
}

// The text of every kind is the telemetry's.
func TestKinds(t *testing.T) {
	f := newFixture(t)
	want := []beesting.AccessKind{
		beesting.AccessOpen, beesting.AccessExec, beesting.AccessOpenPath, beesting.AccessRead, beesting.AccessWrite,
		beesting.AccessReceive, beesting.AccessMmap, beesting.AccessStat, beesting.AccessAccess, beesting.AccessReadlink,
		beesting.AccessHandle, beesting.AccessXattr, beesting.AccessSetattr, beesting.AccessLink, beesting.AccessSymlink,
		beesting.AccessRename, beesting.AccessUnlink, beesting.AccessMount, beesting.AccessWatch, beesting.AccessLock,
		beesting.AccessList,
	}
	if len(want) != int(bpf.KindClose)-1 {
		t.Fatalf("%d kinds are known here, %d to the sensor", len(want), bpf.KindClose-1)
	}
	for i, kind := range want {
		e := event(1)
		e.Kind = bpf.Kind(i + 1) //nolint:gosec // small numbers
		if a := f.core.attribute(e); a.Kind != kind || a.Outcome != beesting.OutcomeAllowed || a.ErrorType != "" {
			t.Errorf("kind %d: %+v", i+1, a)
		}
	}
}

func TestDenied(t *testing.T) {
	f := newFixture(t)
	for errno, want := range map[uint16]string{1: "EPERM", 13: "EACCES", 16: "EBUSY", 18: "EXDEV", 30: "EROFS", 4000: "errno 4000"} {
		e := event(1)
		e.Errno, e.Detail, e.DetailTruncated = errno, "user.x", true
		a := f.core.attribute(e)
		if a.Outcome != beesting.OutcomeDenied || a.ErrorType != want || a.Detail != "user.x" || !slices.Contains(a.Partial, partialDetail) {
			t.Errorf("%d: %+v", errno, a)
		}
	}
}

// Who is recognised by its binary stays that, wherever it is.
func TestRecognisedActors(t *testing.T) {
	f := newFixture(t)
	own, other := &beesting.Container{ID: "8d3e"}, &beesting.Container{ID: "ffff"}
	f.core.AddContainer(own)
	f.core.AddContainer(other)
	for actor, want := range map[bpf.Actor]beesting.ActorClass{
		bpf.ActorRuntime: beesting.ActorRuntime, bpf.ActorKubelet: beesting.ActorKubelet, bpf.ActorAllowed: beesting.ActorAllowed,
	} {
		for in, container := range map[string]*beesting.Container{"8d3e": nil, "ffff": other, "none": nil} {
			f.proc.process(t, 40, "runc", 8000, fmt.Sprintf("5:cpu:/kubepods/%s\n", in))
			e := event(1)
			e.Actor = actor
			a := beesting.Access{Placement: beesting.Placement{Container: own}}
			f.core.actor(&a, e)
			if a.Actor != want || a.Partial != nil || a.ActorContainer != container {
				t.Errorf("actor %d in %s: %+v", actor, in, a)
			}
		}
		e := event(1)
		e.PID, e.Actor = 4711, actor // gone
		a := beesting.Access{Placement: beesting.Placement{Container: own}}
		if f.core.actor(&a, e); a.Actor != want || a.Partial != nil {
			t.Errorf("actor %d, gone: %+v", actor, a)
		}
	}
}
