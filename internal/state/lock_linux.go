package state

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Lock takes an exclusive flock(2) on the file or directory at path. Closing the
// result, or the end of the process, lets go of it. It returns ErrLocked if
// another process has it.
func Lock(path string) (*os.File, error) { return lock(path, os.O_RDONLY) }

// LockFile is Lock on a file that is made, with mode 0600, if it is missing.
func LockFile(path string) (*os.File, error) { return lock(path, os.O_RDONLY|os.O_CREATE) }

// lock opens for reading only, so that holding it keeps nobody from remounting
// the disk read-only.
func lock(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrLocked
	}
	return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
}
