// Package proc reads what this project needs to know of a process from a proc
// file system, or from a copy of one as tests have it.
//
// A pid can be reused between two reads. A caller that must be sure reads the
// start time before and after what it is after, and compares.
package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Tick is the unit of StartTicks: USER_HZ is 100 on every architecture this
// project supports (include/asm-generic/param.h).
const Tick = 10 * time.Millisecond

// FS is the path where the proc file system is mounted, usually "/proc".
type FS string

func (fs FS) path(pid int, name string) string {
	return filepath.Join(string(fs), strconv.Itoa(pid), name)
}

// BootID names the running kernel's boot.
func (fs FS) BootID() (string, error) {
	b, err := os.ReadFile(filepath.Join(string(fs), "sys/kernel/random/boot_id"))
	if err != nil {
		return "", fmt.Errorf("boot id: %w", err)
	}
	id := strings.TrimSpace(string(b))
	if id == "" {
		return "", errors.New("boot id: empty")
	}
	return id, nil
}

// StartTicks returns when the process started, in [Tick] since boot, suspended
// time included (field 22 of stat, proc(5)).
func (fs FS) StartTicks(pid int) (uint64, error) {
	b, err := os.ReadFile(fs.path(pid, "stat"))
	if err != nil {
		return 0, fmt.Errorf("start time of process %d: %w", pid, err)
	}
	// The name in parentheses may hold blanks and parentheses itself.
	_, rest, ok := cutLast(string(b), ")")
	fields := strings.Fields(rest)
	const starttime = 22 - 3 // the first field after the name is number 3
	if !ok || len(fields) <= starttime {
		return 0, fmt.Errorf("start time of process %d: stat has too few fields", pid)
	}
	ticks, err := strconv.ParseUint(fields[starttime], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("start time of process %d: %w", pid, err)
	}
	return ticks, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// Comm returns the name of the process' main thread, at most 15 bytes.
func (fs FS) Comm(pid int) (string, error) {
	b, err := os.ReadFile(fs.path(pid, "comm"))
	if err != nil {
		return "", fmt.Errorf("name of process %d: %w", pid, err)
	}
	return strings.TrimSuffix(string(b), "\n"), nil
}

// Executable returns the path of the executable as the process' own mount
// namespace knows it. A removed one has " (deleted)" cut off.
func (fs FS) Executable(pid int) (string, error) {
	p, err := os.Readlink(fs.path(pid, "exe"))
	if err != nil {
		return "", fmt.Errorf("executable of process %d: %w", pid, err)
	}
	return strings.TrimSuffix(p, " (deleted)"), nil
}

// WorkingDirectory returns the path of the working directory as the process' own
// mount namespace knows it. A removed one has " (deleted)" cut off.
func (fs FS) WorkingDirectory(pid int) (string, error) {
	p, err := os.Readlink(fs.path(pid, "cwd"))
	if err != nil {
		return "", fmt.Errorf("working directory of process %d: %w", pid, err)
	}
	return strings.TrimSuffix(p, " (deleted)"), nil
}

// MountNamespace returns the inode number of the process' mount namespace.
func (fs FS) MountNamespace(pid int) (uint32, error) {
	text, err := os.Readlink(fs.path(pid, "ns/mnt"))
	if err != nil {
		return 0, fmt.Errorf("mount namespace of process %d: %w", pid, err)
	}
	// mnt:[4026531841], namespaces(7)
	number, ok := strings.CutPrefix(strings.TrimSuffix(text, "]"), "mnt:[")
	ino, err := strconv.ParseUint(number, 10, 32)
	if !ok || err != nil {
		return 0, fmt.Errorf("mount namespace of process %d: %q", pid, text)
	}
	return uint32(ino), nil
}

// PIDs returns all processes.
func (fs FS) PIDs() ([]int, error) {
	dir, err := os.Open(string(fs))
	if err != nil {
		return nil, fmt.Errorf("processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("processes: %w", err)
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// Args returns the argument vector, of which at most limit bytes are read and
// most arguments kept, and whether there was more.
func (fs FS) Args(pid, limit, most int) (args []string, truncated bool, err error) {
	f, err := os.Open(fs.path(pid, "cmdline"))
	if err != nil {
		return nil, false, fmt.Errorf("arguments of process %d: %w", pid, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, false, fmt.Errorf("arguments of process %d: %w", pid, err)
	}
	if len(b) > limit {
		b, truncated = b[:limit], true
	}
	if len(b) == 0 {
		return nil, false, nil // a kernel thread or a zombie
	}
	for arg := range bytes.SplitSeq(bytes.TrimSuffix(b, []byte{0}), []byte{0}) {
		if len(args) == most {
			return args, true, nil
		}
		args = append(args, string(arg))
	}
	return args, truncated, nil
}

// Cgroup is one line of /proc/PID/cgroup.
type Cgroup struct {
	// Controllers is empty in the cgroup v2 hierarchy.
	Controllers string
	// Path is relative to the reader's cgroup namespace: it starts with "/..",
	// when the process' cgroup is outside of that.
	Path string
}

// Cgroups returns the process' cgroup in each hierarchy.
func (fs FS) Cgroups(pid int) ([]Cgroup, error) {
	b, err := os.ReadFile(fs.path(pid, "cgroup"))
	if err != nil {
		return nil, fmt.Errorf("cgroups of process %d: %w", pid, err)
	}
	var cgroups []Cgroup
	for line := range strings.Lines(string(b)) {
		// hierarchy-ID:controller-list:cgroup-path, cgroups(7)
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			return nil, fmt.Errorf("cgroups of process %d: line %q", pid, line)
		}
		cgroups = append(cgroups, Cgroup{Controllers: parts[1], Path: parts[2]})
	}
	return cgroups, nil
}
