package live

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Detach takes away what [Attach] mounted at path, and then what it made: the mount
// point and the directories that are empty and still the same. Whatever else it
// finds there it leaves alone. Processes that have the file open keep it, and so do
// mount namespaces that the container has made for itself meanwhile.
//
// It fails with [ErrNotAttached] if source is not what is mounted at path, and
// [ErrGone] if the process has ended, which mostly means that the mount has, too.
func Detach(p Process, path string, a Attached) error {
	names, err := split(path)
	if err == nil {
		err = p.inside(func(v *view) error { return v.detach(names, a) })
	}
	if err != nil {
		return fmt.Errorf("detach %.256q from %v: %w", path, p, err)
	}
	return nil
}

func (v *view) detach(names []string, a Attached) error {
	err := v.unmountAt(names, a.Source)
	if err != nil && !errors.Is(err, ErrNotAttached) {
		return err // the mount point is in use
	}
	return errors.Join(err, v.remove(names, a.Made))
}

func (v *view) unmountAt(names []string, source Inode) error {
	f, err := v.root.Lookup(join(names))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotAttached, err)
	}
	defer f.Close()
	n, err := look(f)
	if err != nil {
		return err
	}
	if n.Inode != source || !n.top {
		return ErrNotAttached
	}
	return v.unmount(f)
}

// remove removes what was made, the last first.
func (v *view) remove(names []string, made []Made) error {
	var errs []error
	for _, m := range slices.Backward(made) {
		if m.Depth < 1 || m.Depth > len(names) {
			errs = append(errs, fmt.Errorf("%w: depth %d", ErrPath, m.Depth))
			continue
		}
		if err := v.removeOne(names[:m.Depth], m.Inode); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (v *view) removeOne(names []string, want Inode) error {
	parents, name := names[:len(names)-1], names[len(names)-1]
	dir, depth, err := v.nearest(parents)
	if err != nil || depth < len(parents) {
		return nil // moved away by the container, whose own it is now
	}
	defer dir.Close()
	return v.removeFrom(dir, name, want)
}

// removeFrom removes an empty file or directory if it is the one that was made. A
// container can exchange it in the moment between: for something in the same
// directory, that it could have removed itself.
func (v *view) removeFrom(dir *os.File, name string, want Inode) error {
	f, err := child(dir, name)
	if err != nil {
		return nil // the same
	}
	defer f.Close()
	n, err := look(f)
	if err != nil {
		return err
	}
	flags := 0
	switch {
	case n.Inode != want || n.mount != v.mount:
		return nil
	case n.is(unix.S_IFDIR):
		flags = unix.AT_REMOVEDIR
	case !n.is(unix.S_IFREG) || n.size > 0:
		return nil
	}
	w, err := writable(dir)
	if err != nil {
		return err
	}
	defer w.Close()
	switch err := unix.Unlinkat(fd(w), name, flags); {
	case err == nil, errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTEMPTY),
		errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EISDIR), errors.Is(err, unix.EBUSY):
		return nil
	default:
		return fmt.Errorf("remove %q: %w", f.Name(), readOnly(err))
	}
}
