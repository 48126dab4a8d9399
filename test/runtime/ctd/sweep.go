package ctd

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Sweep removes what nodes below base left behind when their process was
// killed. Nodes that are in use are left alone. It returns the directories
// that it removed.
func Sweep(base string) ([]string, error) {
	dirs, err := filepath.Glob(filepath.Join(base, prefix+"*"))
	if err != nil {
		return nil, err
	}
	var swept []string
	var errs []error
	for _, dir := range dirs {
		l := layout{dir}
		lock, err := takeLock(l.lock())
		if errors.Is(err, unix.EWOULDBLOCK) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, l.clean(), lock.Close())
		swept = append(swept, dir)
	}
	return swept, errors.Join(errs...)
}

// clean ends every process of the node, then removes its mounts, its cgroups
// and its directory. It works from what the kernel knows, not from what this
// process remembers.
func (l layout) clean() error {
	var errs []error
	errs = append(errs, l.killAll())
	errs = append(errs, unmountBelow(l.dir))
	errs = append(errs, l.removeCgroups())
	if err := os.RemoveAll(l.dir); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clean-up of %s: %w", l.dir, err)
	}
	return nil
}

// killAll kills containerd and its shims, which name the node's directory on
// their command line, then whatever is left in the node's cgroups. It goes on
// until nothing is left: a shim may be starting a process just now.
func (l layout) killAll() error {
	deadline := time.Now().Add(stopTimeout)
	for {
		pids, err := l.processes()
		if err != nil || len(pids) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v are still there after SIGKILL", pids)
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill of process %d: %w", pid, err)
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (l layout) processes() ([]int, error) {
	pids, err := daemons(l.dir)
	if err != nil {
		return nil, err
	}
	cgroups, err := l.cgroups()
	if err != nil {
		return nil, err
	}
	for _, dir := range cgroups {
		b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			continue // gone meanwhile, or a threaded cgroup, which runc never makes
		}
		for _, f := range strings.Fields(string(b)) {
			pid, err := strconv.Atoi(f)
			if err != nil {
				return nil, fmt.Errorf("cgroup.procs of %s: %w", dir, err)
			}
			if pid == 0 {
				// Of another pid namespace (cgroups(7)), and to kill(2) this process's own group.
				return nil, fmt.Errorf("cgroup.procs of %s: a process that can't be seen from here", dir)
			}
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

// daemons finds the containerd and shim processes that work in dir.
func daemons(dir string) ([]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil || !isDaemon(b, dir) {
			continue // gone meanwhile
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// isDaemon says whether a command line is containerd's or a shim's with an
// argument inside dir. A shell or an editor that names dir is neither.
func isDaemon(cmdline []byte, dir string) bool {
	args := bytes.Split(cmdline, []byte{0})
	if !strings.HasPrefix(filepath.Base(string(args[0])), "containerd") {
		return false
	}
	for _, a := range args[1:] {
		if bytes.HasPrefix(a, []byte(dir+"/")) {
			return true
		}
	}
	return false
}

// cgroups lists the node's cgroups in all hierarchies, children before their
// parents.
func (l layout) cgroups() ([]string, error) {
	mounts, err := mountPoints(func(point, fstype string) bool {
		return fstype == "cgroup" || fstype == "cgroup2"
	})
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, m := range mounts {
		err := filepath.WalkDir(m+l.cgroupParent(), func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("cgroups below %s: %w", m, err)
		}
	}
	slices.Reverse(dirs)
	return dirs, nil
}

// removeCgroups retries: a cgroup stays busy until the last of its killed
// processes has been reaped.
func (l layout) removeCgroups() error {
	deadline := time.Now().Add(stopTimeout)
	for {
		dirs, err := l.cgroups()
		if err != nil || len(dirs) == 0 {
			return err
		}
		for _, dir := range dirs {
			// os.Remove would first try to unlink it as a file.
			err = unix.Rmdir(dir)
			if err != nil && !errors.Is(err, unix.ENOENT) && time.Now().After(deadline) {
				return fmt.Errorf("removal of cgroup %s: %w", dir, err)
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// unmountBelow unmounts all that is mounted below dir, last first. Detached, so
// that a process that still holds a file doesn't keep the mount in view.
func unmountBelow(dir string) error {
	points, err := mountPoints(func(point, _ string) bool { return strings.HasPrefix(point, dir+"/") })
	if err != nil {
		return err
	}
	slices.Reverse(points)
	var errs []error
	for _, p := range points {
		if err := unix.Unmount(p, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount of %s: %w", p, err))
		}
	}
	return errors.Join(errs...)
}

// mountPoints returns the mount points of this namespace that keep wants, in
// the order in which they were mounted.
func mountPoints(keep func(point, fstype string) bool) ([]string, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var points []string
	for line := range strings.Lines(string(b)) {
		// 36 35 98:0 /root /point options… - fstype source options (proc(5))
		before, after, ok := strings.Cut(line, " - ")
		fields, types := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(types) < 1 {
			return nil, fmt.Errorf("mountinfo line %q: too few fields", strings.TrimSpace(line))
		}
		if keep(fields[4], types[0]) {
			points = append(points, fields[4])
		}
	}
	return points, nil
}
