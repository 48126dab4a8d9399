//go:build linux && (amd64 || arm64)

package fanotify

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/internal/proc"
)

// procFS reads of a task what package proc doesn't. None of its reads can block
// on memory or files that the task chose: see lookArgs for the one that can.
type procFS struct {
	proc.FS
}

func (fs procFS) name(pid uint32, name string) string {
	return filepath.Join(string(fs.FS), strconv.FormatUint(uint64(pid), 10), name)
}

// maxProcFile bounds what is read of a file of /proc; the longest, status, has
// some 1.5 KiB.
const maxProcFile = 4 << 10

// read doesn't take the way of os.Open, which tries to wait for the file by
// epoll first: this is done for every touch.
func (fs procFS) read(pid uint32, name string) ([]byte, error) {
	fd, err := unix.Open(fs.name(pid, name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("task %d: %s: %w", pid, name, err)
	}
	defer unix.Close(fd)
	b := make([]byte, maxProcFile)
	n, err := unix.Read(fd, b)
	if err != nil {
		return nil, fmt.Errorf("task %d: %s: %w", pid, name, err)
	}
	return b[:n], nil
}

// stat is what /proc/PID/stat says.
type stat struct {
	comm            string
	parent, session uint32
	start           time.Duration
}

func (fs procFS) stat(pid uint32) (stat, error) {
	b, err := fs.read(pid, "stat")
	if err != nil {
		return stat{}, err
	}
	return parseStat(string(b))
}

func parseStat(s string) (stat, error) {
	// The name in parentheses may hold blanks and parentheses itself.
	open, end := strings.IndexByte(s, '('), strings.LastIndexByte(s, ')')
	if open < 0 || end < open {
		return stat{}, errors.New("stat of a task: no name")
	}
	fields := strings.Fields(s[end+1:])
	const parent, session, start = 4 - 3, 6 - 3, 22 - 3 // proc(5) counts from 1, the name is the second
	if len(fields) <= start {
		return stat{}, errors.New("stat of a task: too few fields")
	}
	// Ids of tasks outside of the pid namespace are 0, never negative but for
	// the session of a kernel thread before its first.
	p, err := strconv.ParseInt(fields[parent], 10, 32)
	sid, sessionErr := strconv.ParseInt(fields[session], 10, 32)
	ticks, startErr := strconv.ParseUint(fields[start], 10, 64)
	if err := errors.Join(err, sessionErr, startErr); err != nil {
		return stat{}, fmt.Errorf("stat of a task: %w", err)
	}
	return stat{
		comm:   strings.Clone(s[open+1 : end]), // not all of s, for as long as the name is kept
		parent: uint32(max(p, 0)), session: uint32(max(sid, 0)),
		start: time.Duration(ticks) * proc.Tick,
	}, nil
}

// status is what /proc/PID/status says.
type status struct {
	process              uint32
	uid, euid, gid, egid uint32
	capabilities         uint64
}

func (fs procFS) status(thread uint32) (status, error) {
	b, err := fs.read(thread, "status")
	if err != nil {
		return status{}, err
	}
	return parseStatus(b)
}

func parseStatus(b []byte) (status, error) {
	var s status
	var errs []error
	number := func(text string, base, bits int) uint64 {
		n, err := strconv.ParseUint(text, base, bits)
		errs = append(errs, err)
		return n
	}
	for line := range bytes.Lines(b) {
		key, rest, _ := strings.Cut(string(line), ":")
		values := strings.Fields(rest)
		switch {
		case key == "Tgid" && len(values) == 1:
			s.process = uint32(number(values[0], 10, 32))
		case key == "Uid" && len(values) == 4: // real, effective, saved, file system
			s.uid, s.euid = uint32(number(values[0], 10, 32)), uint32(number(values[1], 10, 32))
		case key == "Gid" && len(values) == 4:
			s.gid, s.egid = uint32(number(values[0], 10, 32)), uint32(number(values[1], 10, 32))
		case key == "CapEff" && len(values) == 1:
			s.capabilities = number(values[0], 16, 64)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return s, fmt.Errorf("status of a task: %w", err)
	}
	if s.process == 0 {
		return s, errors.New("status of a task: no Tgid")
	}
	return s, nil
}

// task is who acts, as far as it takes to tell one process from another.
type task struct {
	status
	stat
	thread uint32
	// threadStart is the thread's own, which with its id names it for good.
	threadStart time.Duration
}

// task finds the process of a thread. Its start is checked against the time of
// the event: a thread that was killed while it waited can't be taken for one
// that got its id later.
func (fs procFS) task(thread uint32, event time.Duration) (task, error) {
	own, err := fs.stat(thread)
	if err != nil {
		return task{}, err
	}
	return fs.taskOf(thread, own, event)
}

// taskOf is task for a thread whose own stat is known.
func (fs procFS) taskOf(thread uint32, own stat, event time.Duration) (task, error) {
	status, err := fs.status(thread)
	if err != nil {
		return task{}, err
	}
	leader := own
	if status.process != thread {
		if leader, err = fs.stat(status.process); err != nil {
			return task{}, err
		}
	}
	if own.start > event {
		return task{}, fmt.Errorf("task %d: another one: %w", thread, os.ErrNotExist)
	}
	return task{status: status, stat: leader, thread: thread, threadStart: own.start}, nil
}

// unset is (uid_t)-1 and AUDIT_SID_UNSET; also where there is no audit support.
const unset = ^uint32(0)

func (fs procFS) auditID(pid uint32, name string) uint32 {
	b, err := fs.read(pid, name)
	if err != nil {
		return unset
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32)
	if err != nil {
		return unset
	}
	return uint32(n)
}

// namespace returns the inode number in "mnt:[4026531841]", zero if unknown.
func (fs procFS) namespace(pid uint32, kind string) uint32 {
	link, err := os.Readlink(fs.name(pid, "ns/"+kind))
	if err != nil {
		return 0
	}
	_, number, _ := strings.Cut(strings.TrimSuffix(link, "]"), "[")
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// cgroup returns the path in the v2 hierarchy; false where it has none.
func (fs procFS) cgroup(pid uint32) (string, bool) {
	groups, err := fs.Cgroups(int(pid))
	if err != nil {
		return "", false
	}
	for _, g := range groups {
		if g.Controllers == "" {
			return g.Path, true
		}
	}
	return "", false
}

// executableKey is the inode of the program. It costs no round trip to a server
// of a network file system or to a daemon of FUSE.
func (fs procFS) executableKey(pid uint32) (inodeKey, error) {
	return statKey(unix.AT_FDCWD, fs.name(pid, "exe"), 0)
}

func statKey(dir int, name string, flags int) (inodeKey, error) {
	var st unix.Statx_t
	if err := unix.Statx(dir, name, flags|unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &st); err != nil {
		return inodeKey{}, fmt.Errorf("inode: %w", err)
	}
	return inodeKey{deviceKey(st.Dev_major, st.Dev_minor), st.Ino}, nil
}
