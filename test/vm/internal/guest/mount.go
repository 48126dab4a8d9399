//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/test/vm/internal/wire"
)

// pseudo lists what every guest has mounted, in this order. A kernel without
// one that is marked optional boots all the same.
var pseudo = []struct {
	fs, dir, opts string
	optional      bool
}{
	{fs: "proc", dir: "/proc"},
	{fs: "sysfs", dir: "/sys"},
	{fs: "devtmpfs", dir: "/dev", opts: "mode=0755"},
	{fs: "devpts", dir: "/dev/pts", opts: "mode=0620,ptmxmode=0666"},
	{fs: "tmpfs", dir: "/dev/shm", opts: "mode=1777"},
	{fs: "mqueue", dir: "/dev/mqueue", optional: true},
	{fs: "tmpfs", dir: "/run", opts: "mode=0755"},
	{fs: "tmpfs", dir: "/tmp", opts: "mode=1777"},
	{fs: "cgroup2", dir: "/sys/fs/cgroup"},
	{fs: "bpf", dir: "/sys/fs/bpf", opts: "mode=0700"},
	{fs: "tracefs", dir: "/sys/kernel/tracing", optional: true},
	{fs: "debugfs", dir: "/sys/kernel/debug", optional: true},
	{fs: "securityfs", dir: "/sys/kernel/security"},
}

func mountBasics() error {
	if err := unix.Sethostname([]byte("guest")); err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	for _, m := range pseudo {
		// A directory that sysfs should have and has not is a file system the
		// kernel lacks; mkdir there fails too, so the mount tells it best.
		_ = os.MkdirAll(m.dir, 0o755)
		err := unix.Mount(m.fs, m.dir, m.fs, unix.MS_NOSUID, m.opts)
		// CONFIG_DEVTMPFS_MOUNT does not reach an initramfs, but a second mount
		// of devtmpfs is fine and one already there is not an error.
		if err != nil && !m.optional && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount of %s on %s: %w", m.fs, m.dir, err)
		}
	}
	for name, target := range map[string]string{
		"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0",
		"/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, name); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

func mountDisks(mounts []wire.Mount) error {
	for _, m := range mounts {
		if err := waitFor("/dev/" + m.Device); err != nil {
			return err
		}
		if err := os.MkdirAll(m.Dir, 0o755); err != nil {
			return err
		}
		if err := modprobe(m.Type); err != nil {
			return err
		}
		if err := unix.Mount("/dev/"+m.Device, m.Dir, m.Type, 0, ""); err != nil {
			return fmt.Errorf("mount of %s (%s) on %s: %w", m.Device, m.Type, m.Dir, err)
		}
	}
	return nil
}

// waitFor waits for a device: drivers probe their devices in the background.
func waitFor(path string) error {
	for range 200 {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("device %s did not appear within 2 s", path)
}

// modprobe loads a module with what it depends on; one that is built into the
// kernel is fine.
func modprobe(name string) error {
	var release unix.Utsname
	if err := unix.Uname(&release); err != nil {
		return fmt.Errorf("uname: %w", err)
	}
	dir := "/lib/modules/" + unix.ByteSliceToString(release.Release[:])
	builtin, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil {
		return fmt.Errorf("module %s: %w", name, err)
	}
	for _, sep := range []string{name, strings.ReplaceAll(name, "_", "-")} {
		if strings.Contains(string(builtin), "/"+sep+".ko\n") {
			return nil
		}
	}
	out, err := exec.Command("/bin/busybox", "modprobe", name).CombinedOutput()
	if err != nil {
		return fmt.Errorf("module %s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// network brings the loopback up, and eth0 with the addresses of QEMU's user
// network: the guest is 10.0.2.15, the host's loopback is 10.0.2.2.
func network(eth bool) error {
	commands := [][]string{{"ip", "link", "set", "lo", "up"}}
	if eth {
		if err := waitFor("/sys/class/net/eth0"); err != nil {
			return err
		}
		commands = append(commands,
			[]string{"ip", "addr", "add", "10.0.2.15/24", "dev", "eth0"},
			[]string{"ip", "link", "set", "eth0", "up"},
			[]string{"ip", "route", "add", "default", "via", "10.0.2.2"})
	}
	for _, c := range commands {
		if out, err := exec.Command("/bin/busybox", c...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(c, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// switchRoot makes the file system on device the root. The initramfs can't be
// pivoted away from, so its mounts are moved and the disk is mounted over it.
func switchRoot(device string) error {
	const root = "/newroot"
	if err := mountDisks([]wire.Mount{{Device: device, Dir: root, Type: "ext4"}}); err != nil {
		return err
	}
	// With a trailing "/." the directory's content is copied, not the directory.
	copies := [][2]string{{wire.FilesDir + "/.", root}, {wire.SpecPath, root + wire.SpecPath}, {"/lib/modules/.", root + "/lib/modules"}}
	for _, c := range copies {
		if _, err := os.Stat(c[0]); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(c[1]), 0o755); err != nil {
			return err
		}
		if strings.HasSuffix(c[0], "/.") {
			if err := os.MkdirAll(c[1], 0o755); err != nil {
				return err
			}
		}
		if out, err := exec.Command("/bin/busybox", "cp", "-a", c[0], c[1]).CombinedOutput(); err != nil {
			return fmt.Errorf("copy of %s to the disk: %w: %s", c[0], err, strings.TrimSpace(string(out)))
		}
	}
	for _, dir := range []string{"/proc", "/sys", "/dev", "/run", "/tmp"} {
		if err := os.MkdirAll(root+dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(dir, root+dir, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move of %s to the disk: %w", dir, err)
		}
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move of the disk to /: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot to the disk: %w", err)
	}
	return os.Chdir("/")
}
