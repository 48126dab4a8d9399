//go:build vmtest && linux

package cgroup

// Making cgroups takes root: `make test-vm` runs these in a VM.

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// live makes a cgroup with a child and a process in the child.
func live(t *testing.T) (fs *FS, parent, child string, pid int) {
	t.Helper()
	fs, err := Open("/sys/fs/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fs.Close() })
	dir, err := os.MkdirTemp(fs.dir.Name(), "beesting-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	if err := os.Mkdir(filepath.Join(dir, "child"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(filepath.Join(dir, "child")) })

	cmd := exec.CommandContext(t.Context(), "sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	pid = cmd.Process.Pid
	procs := filepath.Join(dir, "child", "cgroup.procs")
	if err := os.WriteFile(procs, []byte(strconv.Itoa(pid)), 0o644); err != nil {
		t.Fatal(err)
	}
	parent = "/" + filepath.Base(dir)
	return fs, parent, parent + "/child", pid
}

func TestIDAndPath(t *testing.T) {
	fs, parent, child, pid := live(t)
	for _, p := range []string{Root, parent, child} {
		id, err := fs.ID(p)
		if err != nil || id == 0 {
			t.Fatalf("id of %s: %d, %v", p, id, err)
		}
		if got, err := fs.Path(id); err != nil || got != p {
			t.Errorf("path of %d: %q, %v; want %s", id, got, err, p)
		}
	}
	for _, p := range []string{parent, child} {
		if got, err := fs.FirstProcess(p); err != nil || got != pid {
			t.Errorf("process of %s: %d, %v; want %d", p, got, err, pid)
		}
	}
}

func TestGone(t *testing.T) {
	fs, err := Open("/sys/fs/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	dir, err := os.MkdirTemp(fs.dir.Name(), "beesting-test-")
	if err != nil {
		t.Fatal(err)
	}
	name := "/" + filepath.Base(dir)
	id, err := fs.ID(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if p, err := fs.Path(id); err == nil {
		t.Errorf("path of a removed cgroup: %q", p)
	}
	if _, err := fs.ID(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("id of a removed cgroup: %v", err)
	}
}
