//go:build linux && (amd64 || arm64)

package fanotify

import (
	"encoding/binary"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/bpf"
)

const (
	// maxArgs bounds the arguments in bytes, as the kernel side does.
	maxArgs = 1024
	// argsTime bounds how long they are waited for, and with them the event.
	argsTime = 80 * time.Millisecond
	// stuckReads bounds the reads that may be stuck at a time.
	stuckReads = 4
	// generations bounds the way up to the entry process, as the kernel side does.
	generations = 32
)

// eye looks at tasks. Its methods may be called concurrently.
type eye struct {
	proc    procFS
	cgroups cgroups
	reads   chan struct{}
}

func newEye(fs procFS, groups cgroups) *eye {
	return &eye{proc: fs, cgroups: groups, reads: make(chan struct{}, stuckReads)}
}

// look fills in who acts; first what an exec or the end of the process changes,
// in case that it isn't waited for any more.
func (y *eye) look(e *bpf.Event, t task) {
	p := t.process
	y.program(e, t)
	e.PID, e.TID, e.Comm = p, t.thread, t.comm
	e.StartTime, e.ParentPID, e.SessionLeaderPID = t.start, t.parent, t.session
	e.UID, e.EUID, e.GID, e.EGID = t.uid, t.euid, t.gid, t.egid
	e.Capabilities = t.capabilities
	e.LoginUID, e.AuditSession = y.proc.auditID(t.thread, "loginuid"), y.proc.auditID(p, "sessionid")
	e.MountNS, e.NetNS = y.proc.namespace(t.thread, "mnt"), y.proc.namespace(t.thread, "net")
	e.PIDNS, e.UserNS = y.proc.namespace(t.thread, "pid"), y.proc.namespace(t.thread, "user")
	e.CgroupNS = y.proc.namespace(t.thread, "cgroup")
	y.ancestors(e, t)
}

// unknown fills in what is left to say of a task that has gone. What t has of it
// is a second old at most; an id that isn't known is (uid_t)-1, which nobody has.
func unknown(e *bpf.Event, t task) {
	e.PID, e.TID = t.thread, t.thread
	e.UID, e.EUID, e.GID, e.EGID = unset, unset, unset, unset
	e.LoginUID, e.AuditSession = unset, unset
	e.Executable, e.Args, e.Cwd = "", nil, ""
	e.ExecutableTruncated, e.ArgsMissing = true, true
	if t.process != 0 {
		e.PID, e.StartTime, e.ParentPID, e.Comm = t.process, t.start, t.parent, t.comm
		e.SessionLeaderPID = t.session
		e.UID, e.EUID, e.GID, e.EGID = t.uid, t.euid, t.gid, t.egid
	}
}

// ancestors goes up as long as the cgroup stays the same: the entry process is
// the last one there.
func (y *eye) ancestors(e *bpf.Event, t task) {
	home, known := y.proc.cgroup(t.process)
	if known {
		e.CgroupID = y.cgroups.id(home)
	}
	e.EntryPID, e.EntryStartTime = t.process, t.start
	next, inside := t.parent, known
	for range generations {
		if next == 0 {
			return
		}
		s, err := y.proc.stat(next)
		if err != nil {
			return
		}
		if next == t.parent {
			e.ParentStartTime = s.start
		}
		if group, ok := y.proc.cgroup(next); !ok || group != home {
			inside = false
		}
		if len(e.Ancestors) < bpf.MaxAncestors {
			e.Ancestors = append(e.Ancestors, bpf.Ancestor{PID: next, StartTime: s.start, Comm: s.comm})
		}
		if !inside {
			return
		}
		e.EntryPID, e.EntryStartTime = next, s.start
		next = s.parent
	}
}

// program fills in what the process runs. The paths are those that the process
// itself sees: /proc shows them as far as its root reaches.
func (y *eye) program(e *bpf.Event, t task) {
	exe, err := y.proc.Executable(int(t.process))
	e.Executable, e.ExecutableTruncated = exe, err != nil
	if cwd, err := os.Readlink(y.proc.name(t.thread, "cwd")); err == nil {
		e.Cwd = strings.TrimSuffix(cwd, " (deleted)")
	}
	type arguments struct {
		args []string
		cut  bool
		err  error
	}
	got, ok := within(y, func() arguments {
		args, cut, err := y.proc.Args(int(t.process), maxArgs, bpf.MaxArgs)
		return arguments{args, cut, err}
	})
	e.ArgsMissing = !ok || got.err != nil
	if !e.ArgsMissing {
		e.Args, e.ArgsTruncated = got.args, got.cut
	}
}

// within reads a task's own memory, which may be a mapped file whose file system
// never answers, and behind a lock that another of its threads holds.
func within[T any](y *eye, read func() T) (T, bool) {
	var none T
	select {
	case y.reads <- struct{}{}:
	default:
		return none, false
	}
	result := make(chan T, 1)
	go func() {
		defer func() { <-y.reads }()
		result <- read()
	}()
	timer := time.NewTimer(argsTime)
	defer timer.Stop()
	select {
	case v := <-result:
		return v, true
	case <-timer.C:
		return none, false
	}
}

// howOpened is what is known of the open that a thread waits in.
type howOpened struct {
	flags uint32
	known bool
	// running: it has asked, but is not waiting yet. Later it will be known.
	running bool
	// how is where struct open_how of openat2(2) is; zero for other calls.
	how uint64
}

// openFlags reads the flags of the open that the thread waits in. They aren't
// known for io_uring, an exec, a task of another architecture.
func (y *eye) openFlags(thread uint32) howOpened {
	b, err := y.proc.read(thread, "syscall")
	if err != nil {
		return howOpened{}
	}
	call, ok := parseSyscall(string(b))
	if !ok {
		return howOpened{running: strings.HasPrefix(string(b), "running")}
	}
	switch call.number {
	case sysOpen:
		return howOpened{flags: uint32(call.args[1]), known: true}
	case sysCreat:
		return howOpened{flags: unix.O_WRONLY | unix.O_CREAT | unix.O_TRUNC, known: true}
	case sysOpenat, sysOpenByHandleAt:
		return howOpened{flags: uint32(call.args[2]), known: true}
	case unix.SYS_OPENAT2:
		return howOpened{how: call.args[2]}
	}
	return howOpened{}
}

// openFlagsOnce is openFlags once the thread waits, if it does before long.
func (y *eye) openFlagsOnce(thread uint32) howOpened {
	var opened howOpened
	for range 20 {
		if opened = y.openFlags(thread); !opened.running {
			break
		}
		time.Sleep(500 * time.Microsecond)
	}
	return opened
}

// openHow reads the first word of struct open_how, the flags, from the memory of
// the thread, which can take its time.
func (y *eye) openHow(thread uint32, address uint64) (uint32, bool) {
	flags, ok := within(y, func() uint32 {
		mem, err := os.Open(y.proc.name(thread, "mem"))
		if err != nil {
			return unset
		}
		defer mem.Close()
		var b [8]byte
		if _, err := mem.ReadAt(b[:], int64(address)); err != nil {
			return unset
		}
		return uint32(binary.LittleEndian.Uint64(b[:]))
	})
	return flags, ok && flags != unset
}

type syscallLine struct {
	number int64
	args   [6]uint64
}

// parseSyscall reads /proc/PID/syscall: the number, six arguments in hexadecimal,
// stack pointer and program counter; "running" for a task that is not waiting.
func parseSyscall(s string) (syscallLine, bool) {
	var call syscallLine
	fields := strings.Fields(s)
	if len(fields) < 7 {
		return call, false
	}
	n, err := strconv.ParseInt(fields[0], 10, 32)
	if err != nil || n < 0 {
		return call, false
	}
	call.number = n
	for i := range call.args {
		if call.args[i], err = strconv.ParseUint(fields[i+1], 0, 64); err != nil {
			return call, false
		}
	}
	return call, true
}
