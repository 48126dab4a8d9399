//go:build vmtest && linux

package agent

// What needs root and a kernel that lets programs attach: `make test-vm` runs
// these in a VM for each kernel.

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
)

// liveCgroup makes a cgroup of the running kernel and returns its path and id.
func liveCgroup(t *testing.T, parent string) (path string, id uint64) {
	t.Helper()
	root := "/sys/fs/cgroup"
	if _, err := os.Stat(root + "/unified"); err == nil {
		root += "/unified"
	}
	dir, err := os.MkdirTemp(filepath.Join(root, parent), "beesting-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	f := newFixture(t, func(o *CoreOptions) { o.CgroupRoot = "/sys/fs/cgroup" })
	path = filepath.Join("/", parent, filepath.Base(dir))
	if id, err = f.core.cgroups.ID(path); err != nil {
		t.Fatal(err)
	}
	return path, id
}

func TestActorByCgroup(t *testing.T) {
	f := newFixture(t, func(o *CoreOptions) { o.CgroupRoot = "/sys/fs/cgroup" })
	ownPath, ownID := liveCgroup(t, "")
	_, childID := liveCgroup(t, ownPath)
	otherPath, otherID := liveCgroup(t, "")
	_, hostID := liveCgroup(t, "")
	if a := actorOf(f, nil, hostID); a.Actor != beesting.ActorHost || a.Partial != nil {
		t.Errorf("without containers: %+v", a)
	}
	own := &beesting.Container{ID: "own", CgroupPath: ownPath}
	other := &beesting.Container{ID: "other", CgroupPath: otherPath}
	f.core.AddContainer(own)
	f.core.AddContainer(other)

	check := func(when string) {
		t.Helper()
		for name, c := range map[string]struct {
			id    uint64
			want  beesting.ActorClass
			other *beesting.Container
		}{
			"own":   {ownID, beesting.ActorWorkload, nil},
			"child": {childID, beesting.ActorWorkload, nil},
			"other": {otherID, beesting.ActorOtherContainer, other},
			"host":  {hostID, beesting.ActorHost, nil},
		} {
			if a := actorOf(f, own, c.id); a.Actor != c.want || a.ActorContainer != c.other || a.Partial != nil {
				t.Errorf("%s, %s: %q, %+v, %v", when, name, a.Actor, a.ActorContainer, a.Partial)
			}
		}
	}
	check("running")
	f.core.AddContainer(own) // as at every event of its life
	check("again")
	// A cgroup that nobody knows and that is gone: not a guess.
	if a := actorOf(f, own, 1<<60); a.Actor != "" || !slices.Equal(a.Partial, []string{"actor"}) {
		t.Errorf("unknown: %+v", a)
	}
	f.core.RemoveContainer("other")
	f.core.RemoveContainer("none")
	if a := actorOf(f, own, otherID); a.ActorContainer != other {
		t.Errorf("removed container: %+v", a)
	}
}

// A process of the running kernel in a cgroup that is named like a container.
func TestCgroupOfLiveProcess(t *testing.T) {
	f := newFixture(t, func(o *CoreOptions) { o.CgroupRoot, o.ProcRoot = "/sys/fs/cgroup", "/proc" })
	parent, _ := liveCgroup(t, "")
	name, id := liveCgroup(t, parent)
	root := "/sys/fs/cgroup"
	if _, err := os.Stat(root + "/unified"); err == nil {
		root += "/unified"
	}
	cmd := exec.CommandContext(t.Context(), "sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	pid := cmd.Process.Pid
	if err := os.WriteFile(filepath.Join(root, name, "cgroup.procs"), []byte(itoa(pid)), 0o644); err != nil {
		t.Fatal(err)
	}

	a := Agent{core: f.core, log: slog.New(slog.DiscardHandler)}
	if got := a.findPID(parent); got != pid {
		t.Errorf("process of %s: %d, want %d", parent, got, pid)
	}
	for _, bad := range []string{"", "/none", "nonsense"} {
		if got := a.findPID(bad); got != 0 {
			t.Errorf("process of %q: %d", bad, got)
		}
	}
	// Only a cgroup with the container's name is the container's own: a
	// process that isn't in one of its own must not give it the host's.
	for container, want := range map[string]uint64{filepath.Base(name): id, "another": 0} {
		got, _ := f.core.containers.cgroupOf(&beesting.Container{ID: container, PID: pid})
		if got != want {
			t.Errorf("container %s: cgroup %d, want %d", container, got, want)
		}
	}
}

// The real kernel side behind the Core, ended while it is busy: what was
// touched before the end is delivered.
func TestRealSensorLosesNothingAtTheEnd(t *testing.T) {
	const touches = 50
	sensor, _, err := OpenSensor(SensorOptions{Mode: "auto"})
	if err != nil {
		t.Fatal(err)
	}
	defer sensor.Close()
	sink := &memory{}
	core, err := NewCore(CoreOptions{Sensor: sensor, Sink: sink})
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close()
	token := file(t)
	p := placement(7)
	p.Token.Path = token.Name()
	if err := core.Arm(p, token); err != nil {
		t.Fatal(err)
	}
	if again := placement(8); !IsWatched(core.Arm(again, token)) {
		t.Error("the same inode was armed twice")
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- core.Run(ctx) }()
	before := time.Now()
	for range touches {
		if out, err := exec.CommandContext(t.Context(), "cat", token.Name()).CombinedOutput(); err != nil {
			t.Fatalf("cat: %v: %s", err, out)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	got := sink.accesses()
	if len(got) != touches {
		t.Fatalf("%d accesses of %d touches", len(got), touches)
	}
	ids := map[beesting.AccessID]bool{}
	for _, a := range got {
		ids[a.ID] = true
		// Kprobes leave the working directory to /proc (docs/sensor.md), where a
		// process as short as these may be gone.
		if sensor.Mode() == "kprobe" && a.Process.WorkingDirectory == "" && slices.Equal(a.Partial, []string{partialCwd}) {
			a.Partial = nil
		}
		if a.Placement.ID != 7 || a.Actor != beesting.ActorHost || a.Partial != nil || len(a.Process.Args) != 2 ||
			a.Process.Args[1] != token.Name() || a.Process.ParentPID != uint32(os.Getpid()) ||
			a.Time.Before(before.Add(-time.Second)) || a.Time.After(time.Now().Add(time.Second)) {
			t.Fatalf("access %+v", a)
		}
	}
	if len(ids) != touches {
		t.Errorf("%d ids for %d accesses", len(ids), touches)
	}
	if s, err := core.Stats(); err != nil || s.Delivered != touches || s.Lost["ring_full"] != 0 {
		t.Errorf("stats %+v, %v", s, err)
	}
}

// The root file system of a process without what is mounted in it.
func TestBareRoot(t *testing.T) {
	dir, err := os.MkdirTemp("/", "beesting-test-") // t.TempDir is in a tmpfs of its own
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for name, content := range map[string]string{"token": "token", "point": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script := "mount --bind " + filepath.Join(dir, "token") + " " + filepath.Join(dir, "point") + " && echo ready && exec sleep 60"
	cmd := exec.CommandContext(t.Context(), "unshare", "-m", "sh", "-c", script)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if n, err := out.Read(make([]byte, 10)); err != nil || n == 0 {
		t.Fatalf("%d bytes, %v", n, err)
	}
	before := threads(t)
	for range 50 {
		root, err := bareRoot("/proc", cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		_ = root.Close()
	}
	root, err := bareRoot("/proc", cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	covered, err := root.Lookup(filepath.Join(dir, "point"))
	if err != nil {
		t.Fatal(err)
	}
	defer covered.Close()
	want, err := os.Stat(filepath.Join(dir, "point"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := covered.Stat(); err != nil || !os.SameFile(got, want) {
		t.Errorf("found %v, %v; want the mount point", got, err)
	}
	until(t, "no thread is left in the other namespace", func() bool { return maps.Equal(threads(t), before) })
}

// threads are the mount namespaces that this process has threads in.
func threads(t *testing.T) map[string]bool {
	t.Helper()
	all, err := filepath.Glob("/proc/self/task/*/ns/mnt")
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	in := map[string]bool{}
	for _, name := range all {
		if ns, err := os.Readlink(name); err == nil { // else it has just ended
			in[ns] = true
		}
	}
	return in
}

// The kernel's counts behind the books: one process that touches many times, and
// its accesses that add up.
func TestRealBooksAddUp(t *testing.T) {
	const touches = 300
	sensor, _, err := OpenSensor(SensorOptions{Mode: "auto"})
	if err != nil {
		t.Fatal(err)
	}
	defer sensor.Close()
	sink := &memory{}
	core, err := NewCore(CoreOptions{Sensor: sensor, Sink: sink, Exempt: noBinaries()})
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close()
	token := file(t)
	if err := core.Arm(placement(7), token); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- core.Run(ctx) }()
	script := "i=0; while [ $i -lt 300 ]; do read x < " + token.Name() + "; i=$((i+1)); done; exit 0"
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var sum uint64
	for _, a := range sink.accesses() {
		if a.Kind == beesting.AccessOpen {
			sum += a.Count
		}
	}
	n, err := sensor.Count(7)
	if err != nil {
		t.Fatal(err)
	}
	a, err := sensor.Account(7)
	if err != nil {
		t.Fatal(err)
	}
	if sum != touches || len(sink.gaps) != 0 || !told(n, a) {
		t.Errorf("%d of %d told, gaps %+v, count %+v, account %+v", sum, touches, sink.gaps, n, a)
	}
}
