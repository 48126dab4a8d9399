package live

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/internal/proc"
	"github.com/beesting-otel/beesting/internal/rootfs"
)

// HostIDs returns what the caller's user namespace calls a user and a group of the
// container, for the owner of a file that the container is to have: the same
// numbers, unless the container has a user namespace of its own. It fails with
// [ErrUnmapped] and [ErrGone].
func HostIDs(p Process, uid, gid uint32) (hostUID, hostGID uint32, err error) {
	if hostUID, err = p.hostID("uid_map", uid); err == nil {
		hostGID, err = p.hostID("gid_map", gid)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("ids of %v: %w", p, err)
	}
	return hostUID, hostGID, nil
}

func (p Process) hostID(file string, id uint32) (uint32, error) {
	b, err := os.ReadFile(p.path(file))
	if gone := p.alive(); gone != nil {
		return 0, gone
	}
	if errors.Is(err, os.ErrNotExist) {
		return id, nil // a kernel without user namespaces
	}
	if err != nil {
		return 0, err
	}
	m, err := parseIDMap(b)
	if err != nil {
		return 0, err
	}
	return m.outside(id)
}

func (p Process) path(name string) string {
	return filepath.Join(p.ProcRoot, strconv.Itoa(p.PID), name)
}

// alive fails with ErrGone when the process isn't the one that is meant, or has
// none of its namespaces any more. What was opened by its number before a call that
// succeeds was the process's own: it had started before, and still runs.
func (p Process) alive() error {
	start, err := proc.FS(p.ProcRoot).StartTicks(p.PID)
	if err == nil && start != p.Start {
		return fmt.Errorf("%w: its number is in use again", ErrGone)
	}
	if err == nil {
		_, err = os.Stat(p.path("ns/mnt")) // which a zombie hasn't
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return err
}

// view is a container as its process sees it. Its methods are called on a thread in
// the container's mount namespace, where no path may be used that isn't relative to
// one of these.
type view struct {
	ns   *os.File
	root *rootfs.Root
	// mount is the one that the root directory is on.
	mount uint64
	// proc is the caller's, where descriptors have names.
	proc *os.File
}

func (v *view) close() {
	for _, f := range []*os.File{v.ns, v.proc} {
		if f != nil {
			_ = f.Close()
		}
	}
	if v.root != nil {
		_ = v.root.Close()
	}
}

// open looks at the container from outside.
func (p Process) open() (*view, error) {
	v := &view{}
	err := p.fill(v)
	if gone := p.alive(); gone != nil {
		err = gone // whatever went wrong before
	}
	if err != nil {
		v.close()
		return nil, err
	}
	return v, nil
}

func (p Process) fill(v *view) (err error) {
	if v.proc, err = os.OpenFile(p.ProcRoot, unix.O_PATH|unix.O_DIRECTORY, 0); err != nil {
		return fmt.Errorf("proc file system: %w", err)
	}
	if v.ns, err = os.Open(p.path("ns/mnt")); err != nil {
		return fmt.Errorf("mount namespace: %w", err)
	}
	if err := p.foreign(v.ns); err != nil {
		return err
	}
	if v.root, err = rootfs.Open(p.path("root")); err != nil {
		return err
	}
	top, err := v.root.Lookup("/")
	if err != nil {
		return err
	}
	defer top.Close()
	n, err := look(top)
	if err != nil {
		return err
	}
	v.mount = n.mount
	info, err := os.Open(p.path("mountinfo"))
	if err != nil {
		return err
	}
	defer info.Close()
	peers, err := shared(info, v.mount)
	if err != nil {
		return err
	}
	if peers {
		return ErrShared
	}
	return nil
}

// foreign fails if the namespace is the caller's or that of process 1, which is the
// host's where the caller sees the host's processes.
func (p Process) foreign(ns *os.File) error {
	fi, err := ns.Stat()
	if err != nil {
		return fmt.Errorf("mount namespace: %w", err)
	}
	for _, other := range []string{"self", "1"} {
		theirs, err := os.Stat(filepath.Join(p.ProcRoot, other, "ns/mnt"))
		if err != nil {
			return fmt.Errorf("mount namespace: %w", err)
		}
		if os.SameFile(fi, theirs) {
			return ErrHost
		}
	}
	return nil
}
