//go:build linux

// Package place makes files inside the root of a container that is being
// created, and nowhere else.
//
// The root belongs to an image of unknown origin, and the host's files are
// visible beside it: a link of the image that is followed naively leads there.
// So every step goes through openat2(2) (Linux 5.6) from the descriptor of the
// root, with RESOLVE_IN_ROOT (absolute links and ".." stay inside, atomically
// against renames), RESOLVE_NO_MAGICLINKS, and RESOLVE_NO_XDEV: no step crosses
// into another mount. What lies on another mount isn't the container's own: a
// volume is shared with other pods, /proc and /dev are the kernel's, and a bind
// mount of the same file system would pass any comparison of st_dev. The kernel
// refuses the crossing itself, so nothing can change between check and use.
//
// An existing file is never changed, nor hidden.
//
// The hook program links this package and has to be small: no fmt, no os.
package place

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/internal/hook/wire"
)

const (
	// walk: links are followed, inside the root.
	walk = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV
	// step: one name in a directory that is open, and no link.
	step = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV

	directory = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC
)

// Error says why a file was not made.
type Error struct {
	Outcome wire.Outcome
	What    string // what was being done
	Err     error  // the system's word on it; may be nil
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.What
	}
	return e.What + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// File is a file that is being made. Exactly one of Commit and Abandon ends it.
// It is for one goroutine.
type File struct {
	what wire.File
	root int // the caller's
	dir  int // the directory it stands in
	name string
	fd   int // open for writing
	id   identity
	left uint32 // bytes that are to come
	made []made // directories that were made for it
}

// made is a directory of ours: name in parent.
type made struct {
	parent int
	name   string
}

type identity struct {
	dev uint64
	ino uint64
}

// Create makes an empty file that only its owner, the caller, can open.
// Missing directories are made with mode 0755, less the umask. root is the
// descriptor of the root directory and stays the caller's. The error is always
// an *Error; nothing is left behind then.
func Create(root int, f wire.File) (*File, error) {
	names, ok := split(f.Path)
	if !ok {
		return nil, &Error{Outcome: wire.Refused, What: "path " + clip(f.Path) + " is not one for a token"}
	}
	p := &File{what: f, root: root, dir: -1, fd: -1, name: names[len(names)-1], left: f.Size}
	if err := p.create(names[:len(names)-1]); err != nil {
		p.Abandon()
		return nil, err
	}
	return p, nil
}

func (p *File) create(parents []string) *Error {
	if err := p.enter(parents); err != nil {
		return err
	}
	fd, err := open(p.dir, p.name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_NOCTTY|unix.O_CLOEXEC, 0o600, step)
	if err != nil {
		return failure("make "+clip(p.what.Path), err)
	}
	p.fd = fd
	if p.id, err = identify(fd); err != nil {
		return failure("look at "+clip(p.what.Path), err)
	}
	return nil
}

// enter opens the directory, making what is missing.
func (p *File) enter(parents []string) *Error {
	dir, err := open(p.root, ".", directory, 0, walk)
	if err != nil {
		return failure("open the root", err)
	}
	p.dir = dir
	prefix := ""
	for _, name := range parents {
		prefix += "/" + name
		next, err := open(p.root, prefix, directory, 0, walk)
		if errors.Is(err, unix.ENOENT) {
			next, err = p.makeDir(name)
		}
		if err != nil {
			return failure("directory "+clip(prefix), err)
		}
		if !p.holds(p.dir) {
			_ = unix.Close(p.dir)
		}
		p.dir = next
	}
	return nil
}

// makeDir makes name in the directory that has been reached. A link that leads
// nowhere is in its way, and gives EEXIST.
func (p *File) makeDir(name string) (int, error) {
	if err := unix.Mkdirat(p.dir, name, 0o755); err != nil {
		return -1, err
	}
	p.made = append(p.made, made{p.dir, name})
	return open(p.dir, name, directory|unix.O_NOFOLLOW, 0, step)
}

// holds says that the descriptor is needed to clear up.
func (p *File) holds(fd int) bool {
	for _, m := range p.made {
		if m.parent == fd {
			return true
		}
	}
	return false
}

// Write appends content. The error is always an *Error; what follows is Abandon.
func (p *File) Write(content []byte) error {
	if uint64(len(content)) > uint64(p.left) {
		return &Error{Outcome: wire.Failed, What: "more content than announced"}
	}
	p.left -= uint32(len(content))
	for len(content) > 0 {
		n, err := unix.Write(p.fd, content)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return failure("write "+clip(p.what.Path), err)
		default:
			content = content[n:]
		}
	}
	return nil
}

// Missing is how many bytes are still to be written.
func (p *File) Missing() int { return int(p.left) }

// Commit gives the file its owner, mode and time, and returns a descriptor of
// it that is open for reading and the caller's to close. With an error the file
// is gone again.
func (p *File) Commit() (int, error) {
	fd, err := p.commit()
	if err != nil {
		p.Abandon()
		return -1, err
	}
	p.close()
	return fd, nil
}

func (p *File) commit() (int, *Error) {
	if p.left != 0 {
		return -1, &Error{Outcome: wire.Failed, What: "less content than announced"}
	}
	what := clip(p.what.Path)
	if err := unix.Fchown(p.fd, int(p.what.UID), int(p.what.GID)); err != nil {
		return -1, failure("owner of "+what, err)
	}
	// After the owner: fchown(2) takes mode bits away.
	if err := unix.Fchmod(p.fd, p.what.Mode); err != nil {
		return -1, failure("mode of "+what, err)
	}
	// A second name of the file, opened by name, as a descriptor opened for
	// writing must not leave this process. Which file that is gets compared.
	fd, err := open(p.dir, p.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0, step)
	if err != nil {
		return -1, failure("open "+what, err)
	}
	if id, err := identify(fd); err != nil || id != p.id {
		_ = unix.Close(fd)
		return -1, &Error{Outcome: wire.Failed, What: what + " was replaced meanwhile", Err: err}
	}
	if err := p.setTimes(unix.Timespec{Sec: p.what.Seconds, Nsec: int64(p.what.Nanoseconds)}); err != nil {
		_ = unix.Close(fd)
		return -1, failure("time of "+what, err)
	}
	return fd, nil
}

// setTimes sets those of the file, and of the directories made for it: one that
// is younger than what stands in it is a strange sight.
func (p *File) setTimes(at unix.Timespec) error {
	times := []unix.Timespec{at, at}
	// An empty path is the descriptor itself; utimensat(2) takes it with
	// AT_EMPTY_PATH since Linux 5.8, for O_PATH too.
	if err := unix.UtimesNanoAt(p.fd, "", times, unix.AT_EMPTY_PATH); err != nil {
		return err
	}
	for i := len(p.made) - 1; i >= 0; i-- {
		if err := unix.UtimesNanoAt(p.made[i].parent, p.made[i].name, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	return nil
}

// Abandon removes what was made.
func (p *File) Abandon() {
	if p.fd >= 0 && p.isOurs() {
		_ = unix.Unlinkat(p.dir, p.name, 0)
	}
	for i := len(p.made) - 1; i >= 0; i-- {
		// Fails, as it should, if something else stands in it by now.
		_ = unix.Unlinkat(p.made[i].parent, p.made[i].name, unix.AT_REMOVEDIR)
	}
	p.close()
}

// isOurs says that the name still is the file's.
func (p *File) isOurs() bool {
	var st unix.Stat_t
	if err := unix.Fstatat(p.dir, p.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return false
	}
	return identity{uint64(st.Dev), st.Ino} == p.id
}

func (p *File) close() {
	for _, m := range p.made {
		if m.parent != p.dir {
			_ = unix.Close(m.parent)
		}
	}
	if p.fd >= 0 {
		_ = unix.Close(p.fd)
	}
	if p.dir >= 0 {
		_ = unix.Close(p.dir)
	}
	p.fd, p.dir, p.made = -1, -1, nil
}
