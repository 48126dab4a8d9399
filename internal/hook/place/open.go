//go:build linux

package place

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/internal/hook/wire"
)

// maxRaces bounds the retries of a look-up that the kernel gave up on because
// something was renamed or mounted while ".." was resolved (EAGAIN, openat2(2)).
const maxRaces = 32

// maxDepth bounds the directories of a path: each that is made keeps a
// descriptor open until the file is done.
const maxDepth = 64

func open(dir int, name string, flags, mode uint64, resolve uint64) (int, error) {
	how := &unix.OpenHow{Flags: flags, Mode: mode, Resolve: resolve}
	for try := 0; ; try++ {
		fd, err := unix.Openat2(dir, name, how)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) || try == maxRaces {
			return fd, err
		}
	}
}

func identify(fd int) (identity, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return identity{}, err
	}
	return identity{uint64(st.Dev), st.Ino}, nil
}

// split takes a path apart and refuses what no token can have: a path that isn't
// absolute and clean, or in a directory that is the kernel's, even where a
// container has nothing mounted there.
func split(path string) ([]string, bool) {
	if len(path) < 2 || len(path) > wire.MaxPath || path[0] != '/' || strings.IndexByte(path, 0) >= 0 {
		return nil, false
	}
	names := strings.Split(path[1:], "/")
	for _, name := range names {
		if name == "" || name == "." || name == ".." || len(name) > unix.NAME_MAX {
			return nil, false
		}
	}
	if len(names) > maxDepth {
		return nil, false
	}
	switch names[0] {
	case "proc", "sys", "dev":
		return nil, false
	}
	return names, true
}

// failure sorts an error of the system.
func failure(what string, err error) *Error {
	outcome := wire.Failed
	switch {
	case errors.Is(err, unix.EEXIST):
		outcome = wire.Exists
	case errors.Is(err, unix.EXDEV):
		outcome = wire.OtherMount
	case errors.Is(err, unix.EROFS):
		outcome = wire.ReadOnly
	}
	return &Error{Outcome: outcome, What: what, Err: err}
}

// clip keeps the end of a long path, which says more, and leaves room for the
// words around it in a message of wire.MaxText.
func clip(path string) string {
	const most = 256
	if len(path) <= most {
		return path
	}
	return "…" + path[len(path)-most:]
}
