package live

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Attach mounts source, a regular file of a mount in the caller's own mount
// namespace, at path in the container, read-only, nosuid, nodev, noexec and private.
//
// Missing parents are made (0755) and so is the mount point, an empty file (0644);
// they belong to the owner of the nearest directory that exists. An error leaves
// nothing behind; a caller that is killed may leave an empty file, see
// [Options].Resume. If source is mounted there already, Attach does nothing, and what
// it returns names nothing that was made.
//
// Errors are those of this package, errors.ErrUnsupported, and the kernel's. How
// long it can take, see the package.
func Attach(p Process, source *os.File, path string, o Options) (Attached, error) {
	a, err := attach(p, source, path, o)
	if err != nil {
		return Attached{}, fmt.Errorf("attach %.256q to %v: %w", path, p, err)
	}
	return a, nil
}

func attach(p Process, source *os.File, path string, o Options) (Attached, error) {
	names, err := split(path)
	if err != nil {
		return Attached{}, err
	}
	tree, err := detached(source)
	if err != nil {
		return Attached{}, err
	}
	defer tree.Close()
	n, err := look(tree)
	if err != nil {
		return Attached{}, err
	}
	if !n.is(unix.S_IFREG) {
		return Attached{}, fmt.Errorf("source %q is no regular file", source.Name())
	}
	a := attachment{tree: tree, names: names, o: o, Attached: Attached{Source: n.Inode}}
	err = p.inside(func(v *view) error {
		a.view = v
		return a.run(p)
	})
	return a.Attached, err
}

// detached returns a mount of source that is nowhere yet.
func detached(source *os.File) (*os.File, error) {
	tree, err := clone(source)
	if err != nil {
		return nil, err
	}
	attr := &unix.MountAttr{
		Attr_set:    unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC,
		Propagation: unix.MS_PRIVATE,
	}
	if err := unix.MountSetattr(fd(tree), "", unix.AT_EMPTY_PATH, attr); err != nil {
		_ = tree.Close()
		return nil, fmt.Errorf("make mount of %q read-only: %w", source.Name(), unsupported(err, "mount_setattr is of Linux 5.12"))
	}
	return tree, nil
}

// attachment is one Attach under way.
type attachment struct {
	Attached
	view    *view
	tree    *os.File
	names   []string
	o       Options
	mounted bool
	// dirs are the directories on the way from the nearest that existed on, which
	// depth names led to. By them undoing finds what was made, wherever the
	// container has moved it.
	dirs  []*os.File
	depth int
}

// run does it all or undoes what it has done.
func (a *attachment) run(p Process) error {
	defer func() {
		for _, d := range a.dirs {
			_ = d.Close()
		}
	}()
	err := a.place()
	if err == nil {
		err = elsewhere(p.alive)
	}
	if err != nil {
		err = errors.Join(err, a.undo())
	}
	return err
}

func (a *attachment) place() error {
	parents, name := a.names[:len(a.names)-1], a.names[len(a.names)-1]
	dir, depth, err := a.view.nearest(parents)
	if err != nil {
		return err
	}
	a.dirs, a.depth = append(a.dirs, dir), depth
	for ; depth < len(parents); depth++ {
		if dir, err = a.mkdir(dir, parents[depth], depth+1); err != nil {
			return err
		}
		a.dirs = append(a.dirs, dir)
	}
	point, err := a.point(dir, name)
	if err != nil || point == nil {
		return err
	}
	defer point.Close()
	return a.move(point)
}

// mkdir makes and opens a directory.
func (a *attachment) mkdir(parent *os.File, name string, depth int) (*os.File, error) {
	err := a.make(parent, func(w *os.File) error { return unix.Mkdirat(fd(w), name, 0o755) })
	if errors.Is(err, unix.EEXIST) {
		// A link to nothing has a name too, and was not found.
		return nil, fmt.Errorf("%w: %q in %q exists and leads to no directory", ErrPath, name, parent.Name())
	}
	if err != nil {
		return nil, fmt.Errorf("make directory %q in %q: %w", name, parent.Name(), err)
	}
	dir, err := child(parent, name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChanged, err)
	}
	n, err := look(dir)
	if err == nil && (!n.is(unix.S_IFDIR) || n.mount != a.view.mount) {
		err = fmt.Errorf("%w: %q", ErrChanged, dir.Name())
	}
	if err != nil {
		_ = dir.Close()
		return nil, err
	}
	a.Made = append(a.Made, Made{depth, n.Inode})
	return dir, nil
}

// make lets f make something in parent, with parent's owner.
func (a *attachment) make(parent *os.File, f func(w *os.File) error) error {
	n, err := look(parent)
	if err != nil {
		return err
	}
	w, err := writable(parent)
	if err != nil {
		return err
	}
	defer w.Close()
	return readOnly(as(n.uid, n.gid, func() error { return f(w) }))
}

// point returns what to mount on; nil if the source is there already.
func (a *attachment) point(dir *os.File, name string) (*os.File, error) {
	old, err := child(dir, name)
	if errors.Is(err, unix.ENOENT) {
		return a.create(dir, name)
	}
	if err != nil {
		return nil, err
	}
	n, err := look(old)
	switch {
	case err != nil:
	case n.top && n.Inode == a.Source:
		_ = old.Close()
		return nil, nil
	case n.is(unix.S_IFLNK):
		err = fmt.Errorf("%w: a symbolic link", ErrPath)
	case !n.is(unix.S_IFREG):
		err = fmt.Errorf("%w, and is no regular file", ErrExists)
	case n.mount != a.view.mount:
		err = fmt.Errorf("%w: %w, a mount of its own", ErrExists, ErrVolume)
	case a.o.Resume && n.size == 0:
		a.Made = append(a.Made, Made{len(a.names), n.Inode})
	case !a.o.Overwrite:
		err = ErrExists
	}
	if err != nil {
		_ = old.Close()
		return nil, err
	}
	return old, nil
}

// create makes the mount point, and opens it where it can be mounted on.
func (a *attachment) create(dir *os.File, name string) (*os.File, error) {
	err := a.make(dir, func(w *os.File) error {
		n, err := unix.Openat(fd(w), name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(n), name)
		defer f.Close()
		made, err := look(f)
		a.Made = append(a.Made, Made{len(a.names), made.Inode})
		return err
	})
	if errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("%w: %w", ErrChanged, ErrExists)
	}
	if err != nil {
		return nil, fmt.Errorf("make mount point in %q: %w", dir.Name(), err)
	}
	point, err := child(dir, name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChanged, err)
	}
	n, err := look(point)
	if err == nil && (n.Inode != a.Made[len(a.Made)-1].Inode || n.mount != a.view.mount) {
		err = fmt.Errorf("%w: %q", ErrChanged, point.Name())
	}
	if err != nil {
		_ = point.Close()
		return nil, err
	}
	return point, nil
}

// move mounts, and makes sure that the path leads there.
func (a *attachment) move(point *os.File) error {
	err := unix.MoveMount(fd(a.tree), "", fd(point), "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("%w: mount point removed", ErrChanged)
	}
	if err != nil {
		return fmt.Errorf("mount on %q: %w", point.Name(), err)
	}
	a.mounted = true
	f, err := a.view.root.Lookup(join(a.names))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrChanged, err)
	}
	defer f.Close()
	n, err := look(f)
	if err == nil && (n.Inode != a.Source || !n.top) {
		err = fmt.Errorf("%w: path leads elsewhere", ErrChanged)
	}
	return err
}

func (a *attachment) undo() error {
	var errs []error
	if a.mounted {
		errs = append(errs, a.view.unmount(a.tree))
	}
	for _, m := range slices.Backward(a.Made) {
		errs = append(errs, a.view.removeFrom(a.dirs[m.Depth-1-a.depth], a.names[m.Depth-1], m.Inode))
	}
	return errors.Join(errs...)
}
