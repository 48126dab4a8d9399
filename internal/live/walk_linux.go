package live

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxRaces bounds the retries of a look-up that the kernel gave up on because
// something was renamed meanwhile (EAGAIN, openat2(2)).
const maxRaces = 32

// fd is the descriptor of a file that stays open meanwhile.
func fd(f *os.File) int { return int(f.Fd()) }

// node is what a file is.
type node struct {
	Inode
	mount    uint64
	top      bool // of a mount
	mode     uint32
	uid, gid uint32
	size     uint64
}

func (n node) is(kind uint32) bool { return n.mode&unix.S_IFMT == kind }

func look(f *os.File) (node, error) {
	var st unix.Statx_t
	const mask = unix.STATX_BASIC_STATS | unix.STATX_MNT_ID
	if err := unix.Statx(fd(f), "", unix.AT_EMPTY_PATH, mask, &st); err != nil {
		return node{}, fmt.Errorf("look at %q: %w", f.Name(), err)
	}
	if st.Mask&unix.STATX_MNT_ID == 0 {
		return node{}, fmt.Errorf("mount of %q: %w: Linux 5.8", f.Name(), errors.ErrUnsupported)
	}
	return node{
		Inode: Inode{Dev: unix.Mkdev(st.Dev_major, st.Dev_minor), Ino: st.Ino},
		mount: st.Mnt_id, top: st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0,
		mode: uint32(st.Mode), uid: st.Uid, gid: st.Gid, size: st.Size,
	}, nil
}

// nearest returns the directory that names lead to, or the nearest above it that
// exists, and how many of the names lead there. Links are followed as the
// container's own processes would.
func (v *view) nearest(names []string) (dir *os.File, depth int, err error) {
	for depth = len(names); ; depth-- {
		dir, err = v.root.Lookup(join(names[:depth]))
		if depth > 0 && errors.Is(err, unix.ENOENT) {
			continue
		}
		break
	}
	for _, e := range []error{unix.ELOOP, unix.ENOTDIR, unix.ENAMETOOLONG} {
		if errors.Is(err, e) {
			return nil, 0, fmt.Errorf("%w: %w", ErrPath, err)
		}
	}
	if err != nil {
		return nil, 0, err
	}
	n, err := look(dir)
	switch {
	case err != nil:
	case !n.is(unix.S_IFDIR):
		err = fmt.Errorf("%w: %q is no directory", ErrPath, dir.Name())
	case n.mount != v.mount:
		err = fmt.Errorf("%w: %q", ErrVolume, dir.Name())
	}
	if err != nil {
		_ = dir.Close()
		return nil, 0, err
	}
	return dir, depth, nil
}

// child opens what has the name in an open directory; a link itself, and what is
// mounted there.
func child(dir *os.File, name string) (*os.File, error) {
	how := &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
	}
	for range maxRaces {
		n, err := unix.Openat2(fd(dir), name, how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(n), filepath.Join(dir.Name(), name)), nil
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			continue
		default:
			return nil, fmt.Errorf("open %q: %w", filepath.Join(dir.Name(), name), err)
		}
	}
	return nil, fmt.Errorf("%w: %q, %d times", ErrChanged, dir.Name(), maxRaces)
}

// writable returns a directory on the root mount by a descriptor that it can be
// written through. A read-only root is as a rule a read-only mount of a file system
// that isn't: then it is a writable mount of just this directory, that nobody else
// has and that ends with the descriptor.
func writable(dir *os.File) (*os.File, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd(dir), &st); err != nil {
		return nil, fmt.Errorf("file system of %q: %w", dir.Name(), err)
	}
	if st.Flags&unix.ST_RDONLY == 0 {
		n, err := unix.FcntlInt(dir.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("directory %q: %w", dir.Name(), err)
		}
		return os.NewFile(uintptr(n), dir.Name()), nil
	}
	// EINVAL: mounts in it that came from another user namespace must stay hidden
	// what they hide (has_locked_children in fs/namespace.c).
	w, err := clone(dir)
	if err != nil {
		return nil, fmt.Errorf("%w, and no copy of the mount can be made: %w", ErrReadOnly, err)
	}
	attr := &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(fd(w), "", unix.AT_EMPTY_PATH, attr); err != nil {
		_ = w.Close()
		return nil, fmt.Errorf("%w, and no copy of the mount is writable: %w", ErrReadOnly, err)
	}
	return w, nil
}

// clone copies the mount of f, with f as its root. The copy is nowhere, and gone
// when it is closed unless it was attached. open_tree(2) copies what is mounted in
// the thread's mount namespace only.
func clone(f *os.File) (*os.File, error) {
	n, err := unix.OpenTree(fd(f), "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return nil, fmt.Errorf("copy mount of %q: %w", f.Name(), unsupported(err, "open_tree is of Linux 5.2"))
	}
	return os.NewFile(uintptr(n), f.Name()), nil
}

// readOnly explains the error of a write to the container's root.
func readOnly(err error) error {
	if errors.Is(err, unix.EROFS) {
		return fmt.Errorf("%w: not the mount only: %w", ErrReadOnly, err)
	}
	return err
}

// unmount takes a mount away by its descriptor, of which umount2(2) has no form: by
// the name that proc gives it, which leads to that very mount whatever the container
// has put where. Who has the file open keeps it (MNT_DETACH).
func (v *view) unmount(f *os.File) error {
	if err := unix.Fchdir(fd(v.proc)); err != nil {
		return fmt.Errorf("proc file system: %w", err)
	}
	if err := unix.Unmount(fmt.Sprintf("self/fd/%d", f.Fd()), unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %q: %w", f.Name(), err)
	}
	return nil
}
