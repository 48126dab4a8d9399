package agent

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
)

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

func TestSystemClock(t *testing.T) {
	c := SystemClock()
	a, err := c.sample()
	if err != nil || a.boot <= 0 || time.Since(a.now) > time.Minute {
		t.Fatalf("%+v, %v", a, err)
	}
	time.Sleep(2 * time.Millisecond)
	if b, err := c.sample(); err != nil || b.boot <= a.boot {
		t.Errorf("boot clock stands still: %v, %v, %v", a.boot, b.boot, err)
	}
	if got := a.at(0); !got.IsZero() {
		t.Errorf("unknown time: %v", got)
	}
}
