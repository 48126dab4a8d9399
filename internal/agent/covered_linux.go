package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/internal/live"
	"github.com/beesting-otel/beesting/internal/proc"
	"github.com/beesting-otel/beesting/internal/rootfs"
)

// bareRoot opens the file system that is a process's root without anything that
// is mounted in it: a copy of that one mount, which nobody else has, so that it
// keeps no mount of the container or of the runtime busy. It is made by a thread
// in the process's mount namespace (open_tree(2) copies only what is mounted in
// the caller's own; Linux 5.2).
func bareRoot(fs proc.FS, pid int) (*rootfs.Root, error) {
	ns, err := os.Open(filepath.Join(string(fs), strconv.Itoa(pid), "ns", "mnt"))
	if err != nil {
		return nil, fmt.Errorf("mount namespace: %w", err)
	}
	defer ns.Close()
	type result struct {
		tree *os.File
		err  error
	}
	done := make(chan result, 1)
	go live.OnSpareThread(func() {
		tree, err := copyRoot(int(ns.Fd()))
		done <- result{tree, err}
	})
	r := <-done
	if r.err != nil {
		return nil, r.err
	}
	defer r.tree.Close()
	return rootfs.Open(fmt.Sprintf("/proc/self/fd/%d", r.tree.Fd()))
}

// copyRoot leaves the thread in the mount namespace.
func copyRoot(ns int) (*os.File, error) {
	// setns(2) refuses a thread that shares its root and working directory.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return nil, fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Setns(ns, unix.CLONE_NEWNS); err != nil {
		return nil, fmt.Errorf("enter mount namespace: %w", err)
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("copy root mount: %w", err)
	}
	return os.NewFile(uintptr(fd), "root of a container"), nil //nolint:gosec // a descriptor
}
