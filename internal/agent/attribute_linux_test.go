package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
)

func (p procTree) process(t testing.TB, pid int, comm string, startTicks int, cgroup string) {
	t.Helper()
	p.write(t, fmt.Sprintf("%d/stat", pid), fmt.Sprintf("%d (%s) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %d 0 0\n", pid, comm, startTicks))
	p.write(t, fmt.Sprintf("%d/comm", pid), comm+"\n")
	p.write(t, fmt.Sprintf("%d/cmdline", pid), comm+"\x00-x\x00")
	p.write(t, fmt.Sprintf("%d/cgroup", pid), cgroup)
	exe := filepath.Join(p.dir, fmt.Sprint(pid), "exe")
	_ = os.Remove(exe)
	if err := os.Symlink("/usr/bin/"+comm, exe); err != nil {
		t.Fatal(err)
	}
}

func TestMissingPartsComeFromProc(t *testing.T) {
	lacking := event(1)
	lacking.Executable, lacking.ExecutableTruncated = "bin/cat", true
	lacking.Args, lacking.ArgsMissing = nil, true

	for name, c := range map[string]struct {
		comm  string
		start int
		want  []string
	}{
		"same process":    {"cat", 8000, nil},
		"pid reused":      {"cat", 8001, []string{partialExecutable, partialArgs}},
		"another program": {"dog", 8000, []string{partialExecutable, partialArgs}},
	} {
		f := newFixture(t)
		if err := f.core.Arm(placement(1), file(t)); err != nil {
			t.Fatal(err)
		}
		f.proc.process(t, 40, c.comm, c.start, "0::/\n")
		a := f.core.attribute(lacking)
		if !slices.Equal(a.Partial, c.want) {
			t.Errorf("%s: partial %v, want %v", name, a.Partial, c.want)
		}
		if c.want == nil && (a.Process.Executable != "/usr/bin/cat" || a.Process.ExecutableTruncated || !slices.Equal(a.Process.Args, []string{"cat", "-x"})) {
			t.Errorf("%s: %+v", name, a.Process)
		}
		if c.want != nil && (a.Process.Executable != "bin/cat" || !a.Process.ExecutableTruncated || a.Process.Args != nil) {
			t.Errorf("%s: %+v", name, a.Process)
		}
	}

	gone := newFixture(t)
	if err := gone.core.Arm(placement(1), file(t)); err != nil {
		t.Fatal(err)
	}
	if a := gone.core.attribute(lacking); !slices.Equal(a.Partial, []string{partialExecutable, partialArgs}) {
		t.Errorf("gone: partial %v", a.Partial)
	}
}

func actorOf(f *fixture, own *beesting.Container, cgroup uint64) beesting.Access {
	a := beesting.Access{Placement: beesting.Placement{Container: own}}
	f.core.actor(&a, bpf.Event{CgroupID: cgroup, PID: 40, StartTime: 80 * time.Second})
	return a
}

// On cgroup v1 the kernel's id is the same for all; living processes can be
// told by the v1 paths.
func TestActorOnCgroupV1(t *testing.T) {
	const id = "8d3e"
	f := newFixture(t)
	f.proc.process(t, 7, "init", 100, "5:cpu:/kubepods/pod1/"+id+"\n0::/\n")
	own := &beesting.Container{ID: id, PID: 7, CgroupPath: "/kubepods/pod1/" + id}
	other := &beesting.Container{ID: "ffff"}
	f.core.AddContainer(own)
	f.core.AddContainer(other)

	for cgroup, want := range map[string]beesting.ActorClass{
		"5:cpu:/kubepods/pod1/" + id + "\n0::/\n":                                     beesting.ActorWorkload,
		"5:cpu:/kubepods/pod1/" + id + "/sub\n":                                       beesting.ActorWorkload,
		"5:cpu:/kubepods.slice/cri-containerd-" + id + ".scope\n":                     beesting.ActorWorkload,
		"5:cpu:/kubepods.slice/cri-containerd-ffff.scope\n":                           beesting.ActorOtherContainer,
		"5:cpu:/user.slice/user-0.slice/session-" + id + ".service\n0::/user.slice\n": beesting.ActorHost,
	} {
		f.proc.process(t, 40, "cat", 8000, cgroup)
		if a := actorOf(f, own, 1); a.Actor != want || a.Partial != nil {
			t.Errorf("%s: %q, %v", cgroup, a.Actor, a.Partial)
		}
	}
	f.proc.process(t, 40, "cat", 8001, "5:cpu:/kubepods/pod1/"+id+"\n") // reused pid
	if a := actorOf(f, own, 1); a.Actor != "" || !slices.Equal(a.Partial, []string{"actor"}) {
		t.Errorf("reused pid: %+v", a)
	}
	// Gone, but its parent is the container's first process.
	a := beesting.Access{Placement: beesting.Placement{Container: own}}
	f.core.actor(&a, bpf.Event{PID: 41, StartTime: time.Second, ParentPID: 7, ParentStartTime: time.Second})
	if a.Actor != beesting.ActorWorkload || a.Partial != nil {
		t.Errorf("child of the first process: %+v", a)
	}
	a = beesting.Access{Placement: beesting.Placement{Container: own}}
	f.core.actor(&a, bpf.Event{PID: 41, StartTime: time.Second, ParentPID: 7, ParentStartTime: 2 * time.Second})
	if a.Actor != "" {
		t.Errorf("child of another process with that pid: %+v", a)
	}
}

func TestGoneContainersAreForgotten(t *testing.T) {
	f := newFixture(t)
	for i := range 2 * maxGone {
		r := &resident{container: &beesting.Container{ID: fmt.Sprint(i)}, cgroupID: uint64(i + 1), path: fmt.Sprint("/", i)}
		s := f.core.containers
		s.byID[r.container.ID], s.byCgroup[r.cgroupID], s.byPath[r.path] = r, r, r
		s.remove(r.container.ID)
	}
	s := f.core.containers
	if len(s.byID) != 0 || len(s.byCgroup) != 0 || len(s.byPath) != 0 || len(s.gone.values) != maxGone || s.unknown != 0 {
		t.Errorf("%d, %d, %d, %d, %d", len(s.byID), len(s.byCgroup), len(s.byPath), len(s.gone.values), s.unknown)
	}
}

// A FIFO without a writer stands for a process whose memory never answers.
func TestStuckArgumentsDelayNothing(t *testing.T) {
	f := newFixture(t)
	f.proc.process(t, 40, "cat", 8000, "0::/\n")
	cmdline := filepath.Join(f.proc.dir, "40", "cmdline")
	if err := errors.Join(os.Remove(cmdline), syscall.Mkfifo(cmdline, 0o600)); err != nil {
		t.Fatal(err)
	}
	lacking := event(1)
	lacking.Args, lacking.ArgsMissing = nil, true
	began := time.Now()
	for range 100 {
		if a := f.core.attribute(lacking); !slices.Contains(a.Partial, partialArgs) {
			t.Fatalf("partial %v", a.Partial)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("100 events took %v", took)
	}
	w, err := os.OpenFile(cmdline, os.O_RDWR, 0) // lets the stuck ones go
	if err != nil {
		t.Fatal(err)
	}
	until(t, "all readers gone", func() bool { return len(f.core.argsReads.places) == 0 || writeNone(w) })
	_ = w.Close()
}

// writeNone wakes readers with something to read.
func writeNone(w *os.File) bool {
	_, _ = w.Write(make([]byte, maxLateArgs))
	return false
}
