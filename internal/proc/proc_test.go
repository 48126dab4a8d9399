package proc

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fixture writes files below a directory that stands for /proc.
func fixture(t *testing.T, files map[string]string) FS {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return FS(dir)
}

const statTail = " S 1 7 7 0 -1 4194560 111 0 0 0 0 0 0 0 20 0 1 0 %T 1024 0 18446744073709551615\n"

func TestStartTicks(t *testing.T) {
	fs := fixture(t, map[string]string{
		"7/stat":  "7 (cat)" + strings.Replace(statTail, "%T", "4242", 1),
		"8/stat":  "8 (a) S 1 (b)" + strings.Replace(statTail, "%T", "99", 1),
		"9/stat":  "9 (short) S 1",
		"10/stat": "10 (x)" + strings.Replace(statTail, "%T", "-1", 1),
		"11/stat": "",
	})
	for pid, want := range map[int]uint64{7: 4242, 8: 99} {
		if got, err := fs.StartTicks(pid); err != nil || got != want {
			t.Errorf("process %d: %d, %v; want %d", pid, got, err, want)
		}
	}
	for _, pid := range []int{9, 10, 11, 12} {
		if got, err := fs.StartTicks(pid); err == nil {
			t.Errorf("process %d: %d, want an error", pid, got)
		}
	}
}

func TestArgs(t *testing.T) {
	fs := fixture(t, map[string]string{
		"7/cmdline": "cat\x00/etc/passwd\x00\x00",
		"8/cmdline": "",
		"9/cmdline": "0123456789",
	})
	args, cut, err := fs.Args(7, 100, 100)
	if err != nil || cut || !slices.Equal(args, []string{"cat", "/etc/passwd", ""}) {
		t.Errorf("got %q, %v, %v", args, cut, err)
	}
	if args, cut, err = fs.Args(8, 100, 100); err != nil || cut || args != nil {
		t.Errorf("kernel thread: %q, %v, %v", args, cut, err)
	}
	if args, cut, err = fs.Args(9, 4, 100); err != nil || !cut || !slices.Equal(args, []string{"0123"}) {
		t.Errorf("cut: %q, %v, %v", args, cut, err)
	}
	if args, cut, err = fs.Args(9, 10, 100); err != nil || cut || !slices.Equal(args, []string{"0123456789"}) {
		t.Errorf("at the limit: %q, %v, %v", args, cut, err)
	}
	if _, _, err = fs.Args(10, 4, 100); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("gone: %v", err)
	}
}

func TestCgroups(t *testing.T) {
	fs := fixture(t, map[string]string{
		"7/cgroup": "12:cpu,cpuacct:/a:b\n0::/kubepods/c\n",
		"8/cgroup": "nonsense\n",
	})
	got, err := fs.Cgroups(7)
	want := []Cgroup{{"cpu,cpuacct", "/a:b"}, {"", "/kubepods/c"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := fs.Cgroups(8); err == nil {
		t.Error("nonsense accepted")
	}
}

func TestBootID(t *testing.T) {
	fs := fixture(t, map[string]string{"sys/kernel/random/boot_id": "abc\n"})
	if got, err := fs.BootID(); err != nil || got != "abc" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := fixture(t, map[string]string{"sys/kernel/random/boot_id": "\n"}).BootID(); err == nil {
		t.Error("empty accepted")
	}
}

// The same reads from the running kernel.
func TestLive(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	fs, pid := FS("/proc"), cmd.Process.Pid
	if ticks, err := fs.StartTicks(pid); err != nil || ticks == 0 {
		t.Errorf("start: %d, %v", ticks, err)
	}
	if exe, err := fs.Executable(pid); err != nil || !filepath.IsAbs(exe) {
		t.Errorf("executable: %q, %v", exe, err)
	}
	if comm, err := fs.Comm(pid); err != nil || comm != "sleep" {
		t.Errorf("comm: %q, %v", comm, err)
	}
	// exec closes the descriptor by which Start notices it before it sets the
	// arguments up.
	args, _, err := fs.Args(pid, 4096, 100)
	for deadline := time.Now().Add(10 * time.Second); err == nil && len(args) == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
		args, _, err = fs.Args(pid, 4096, 100)
	}
	if err != nil || !slices.Equal(args, []string{"sleep", "60"}) {
		t.Errorf("args: %q, %v", args, err)
	}
	if cgroups, err := fs.Cgroups(pid); err != nil || len(cgroups) == 0 {
		t.Errorf("cgroups: %v, %v", cgroups, err)
	}
}

func TestLinks(t *testing.T) {
	fs := FS(t.TempDir())
	dir := filepath.Join(string(fs), "7", "ns")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"7/cwd": "/srv/gone (deleted)", "7/ns/mnt": "mnt:[4026531841]"} {
		if err := os.Symlink(target, filepath.Join(string(fs), name)); err != nil {
			t.Fatal(err)
		}
	}
	if cwd, err := fs.WorkingDirectory(7); err != nil || cwd != "/srv/gone" {
		t.Errorf("working directory %q, %v", cwd, err)
	}
	if ns, err := fs.MountNamespace(7); err != nil || ns != 4026531841 {
		t.Errorf("mount namespace %d, %v", ns, err)
	}
	if pids, err := fs.PIDs(); err != nil || len(pids) != 1 || pids[0] != 7 {
		t.Errorf("processes %v, %v", pids, err)
	}
	for _, bad := range []string{"net:[1]", "mnt:[]", "mnt:[x]", "mnt:[99999999999]"} {
		_ = os.Remove(filepath.Join(dir, "mnt"))
		if err := os.Symlink(bad, filepath.Join(dir, "mnt")); err != nil {
			t.Fatal(err)
		}
		if ns, err := fs.MountNamespace(7); err == nil {
			t.Errorf("%s: %d", bad, ns)
		}
	}
	if _, err := fs.WorkingDirectory(8); err == nil {
		t.Error("of nobody")
	}
	if _, err := FS("/nowhere").PIDs(); err == nil {
		t.Error("of nowhere")
	}
}
