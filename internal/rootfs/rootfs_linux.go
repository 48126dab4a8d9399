package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// maxRaces bounds the retries of a look-up that the kernel gave up on because
// something was renamed or mounted while ".." was resolved (EAGAIN,
// openat2(2)). A container that keeps renaming could make it spin for ever.
const maxRaces = 32

// Open takes dir as the root. A dir that is a magic link, as /proc/PID/root
// is, leads to the root directory of that process.
func Open(dir string) (*Root, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("root directory %s: %w", dir, err)
	}
	return &Root{dir: os.NewFile(uintptr(fd), dir)}, nil
}

// Remove removes the name of a file. Links on the way there are followed, one at
// the end is not.
func (r *Root) Remove(name string) error {
	dir, err := r.Lookup(path.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Unlinkat(int(dir.Fd()), path.Base(name), 0); err != nil {
		return fmt.Errorf("remove %s in %s: %w", name, r.dir.Name(), err)
	}
	return nil
}

// Lookup returns what a process inside finds at name, links followed, opened
// with O_PATH: the file can be compared and looked at, not read. An O_PATH open
// passes no security_file_open, blocks on no FIFO and wakes no device driver.
//
// Absolute links and ".." stay inside the root. Magic links (/proc/PID/fd/N,
// /proc/PID/root …) are refused with ELOOP, because they lead anywhere.
func (r *Root) Lookup(name string) (*os.File, error) {
	how := &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	for range maxRaces {
		fd, err := unix.Openat2(int(r.dir.Fd()), name, how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), name), nil
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			continue
		default:
			return nil, fmt.Errorf("look up %s in %s: %w", name, r.dir.Name(), err)
		}
	}
	return nil, fmt.Errorf("look up %s in %s: renamed or mounted meanwhile, %d times", name, r.dir.Name(), maxRaces)
}
