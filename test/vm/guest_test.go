//go:build vmtest

package vm

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The guest is what the package's documentation promises. This file is an
// example of a test that runs in the VM only.

func TestGuestIsTheKernelItWasAskedFor(t *testing.T) {
	var name unix.Utsname
	must(t, unix.Uname(&name))
	release := unix.ByteSliceToString(name.Release[:])
	if want := os.Getenv("BEESTING_VM"); release != want {
		t.Errorf("running on %s, BEESTING_VM says %q", release, want)
	}
	if os.Geteuid() != 0 {
		t.Error("not root")
	}
}

func TestGuestHasItsMounts(t *testing.T) {
	for dir, magic := range map[string]int64{
		"/proc": unix.PROC_SUPER_MAGIC, "/sys": unix.SYSFS_MAGIC, "/tmp": unix.TMPFS_MAGIC,
		"/sys/fs/bpf": unix.BPF_FS_MAGIC, "/sys/fs/cgroup": unix.CGROUP2_SUPER_MAGIC,
		"/sys/kernel/tracing": unix.TRACEFS_MAGIC, "/sys/kernel/security": unix.SECURITYFS_MAGIC,
	} {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil || int64(st.Type) != magic {
			t.Errorf("%s: type %#x, want %#x, %v", dir, st.Type, magic, err)
		}
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		t.Error(err)
	}
}

func TestGuestMountsOverlay(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"lower", "upper", "work", "merged"} {
		must(t, os.Mkdir(dir+"/"+sub, 0o755))
	}
	opts := "lowerdir=" + dir + "/lower,upperdir=" + dir + "/upper,workdir=" + dir + "/work"
	must(t, unix.Mount("overlay", dir+"/merged", "overlay", 0, opts))
	must(t, os.WriteFile(dir+"/merged/f", nil, 0o644))
	must(t, unix.Unmount(dir+"/merged", 0))
}

func TestGuestHasItsFilesystems(t *testing.T) {
	for dir, magic := range map[string]int64{
		"/mnt/ext4": unix.EXT4_SUPER_MAGIC, "/mnt/xfs": unix.XFS_SUPER_MAGIC, "/mnt/btrfs": unix.BTRFS_SUPER_MAGIC,
	} {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil || int64(st.Type) != magic {
			t.Errorf("%s: type %#x, want %#x, %v (want -fs for each)", dir, st.Type, magic, err)
		}
		must(t, os.WriteFile(dir+"/f", []byte("x"), 0o644))
	}
}

func TestGuestReapsOrphans(t *testing.T) {
	// The inner shell's child outlives it and ends; nobody but process 1 can
	// collect it.
	out, err := exec.Command("/bin/sh", "-c", "sh -c 'sleep 0.2 & echo $!'").Output()
	must(t, err)
	pid := strings.TrimSpace(string(out))
	must(t, exec.Command("/bin/sleep", "1").Run())
	if status, err := os.ReadFile("/proc/" + pid + "/stat"); err == nil {
		t.Errorf("process %s is still there: %s", pid, status)
	}
}
