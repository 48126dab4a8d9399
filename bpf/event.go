package bpf

import (
	"fmt"
	"time"
)

// Kind says what was done to the inode. Values are shared with sensor.h.
type Kind uint8

// The kinds of events. Each but KindClose is a touch.
const (
	KindOpen Kind = iota + 1
	KindExec
	KindOpenPath
	KindRead
	KindWrite
	KindReceive
	KindMmap
	KindStat
	KindAccess
	KindReadlink
	KindHandle
	KindXattr
	KindSetattr
	KindLink
	KindSymlink
	KindRename
	KindUnlink
	KindMount
	KindWatch
	KindLock
	KindList
	// KindClose is the end of an open that was an event: Handle says which.
	KindClose
)

// Kinds is one more than the highest kind: the size of a table by kind.
const Kinds = int(KindClose) + 1

// String returns the kind as it stands in telemetry.
func (k Kind) String() string {
	if int(k) < Kinds && kindNames[k] != "" {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

var kindNames = [Kinds]string{
	KindOpen: "open", KindExec: "exec", KindOpenPath: "open_path", KindRead: "read", KindWrite: "write",
	KindReceive: "receive", KindMmap: "mmap", KindStat: "stat", KindAccess: "access", KindReadlink: "readlink",
	KindHandle: "handle", KindXattr: "xattr", KindSetattr: "setattr", KindLink: "link", KindSymlink: "symlink",
	KindRename: "rename", KindUnlink: "unlink", KindMount: "mount", KindWatch: "watch", KindLock: "lock",
	KindList: "list", KindClose: "close",
}

// Actor is what the kernel side recognised the actor by, by identity and
// nothing else: its binary's inode or its cgroup.
type Actor uint8

// The actors that are recognised; the zero value is everybody else.
const (
	ActorAllowed Actor = iota + 1
	ActorRuntime
	ActorKubelet
)

// Event is one touch of a watched inode, as captured in the kernel at the
// moment it happened. Nothing in it was read later from /proc.
//
// It stands for one touch, or for several by the same process: Total counts the
// touches by this process of this placement in this way (Kind, and Variant: for
// reading, for writing or denied), this one included, since the process's first.
// What Total has grown by since the last event is what the event stands for.
//
// Times are CLOCK_BOOTTIME, as durations since boot. Process ids are those of
// the initial pid namespace; user ids those of the initial user namespace.
type Event struct {
	Kind      Kind
	Variant   uint8
	Actor     Actor
	Placement uint64
	// Position is where the ring goes on behind the event: higher than that of
	// every event before, for as long as the ring is pinned. Zero where there is no
	// ring.
	Position uint64
	Time     time.Duration
	Total    uint64
	// Errno is zero, or why the touch was denied.
	Errno uint16
	// Handle names the open file description of a KindOpen, KindExec or
	// KindClose for as long as it exists; zero where its end won't be told.
	// OpenTime is the Time of the open, in a KindClose. Reads and Writes are
	// those through it, in a KindClose.
	Handle        uint64
	OpenTime      time.Duration
	Reads, Writes uint64

	PID, TID, ParentPID        uint32
	StartTime, ParentStartTime time.Duration
	// EntryPID is the topmost ancestor that is in the same cgroup as the task
	// (at most 32 generations up), EntryStartTime its start.
	EntryPID       uint32
	EntryStartTime time.Duration

	// UID and GID are the real ids, EUID and EGID the effective ones, all of
	// task->real_cred: code that borrows other credentials, as overlayfs does
	// for its backing files, doesn't change them.
	UID, EUID, GID, EGID uint32
	// LoginUID and AuditSession are 0xffffffff where unset or where the kernel
	// has no audit support.
	LoginUID, AuditSession uint32
	SessionLeaderPID       uint32
	CgroupID               uint64

	// Flags are file->f_flags; Mode is file->f_mode (FMODE_*).
	Flags, Mode        uint32
	DevMajor, DevMinor uint32
	Inode              uint64
	Generation         uint32

	Comm       string
	Executable string
	// ExecutableTruncated says that Executable is not the whole path: empty, or
	// its last components only.
	ExecutableTruncated bool
	Args                []string
	// ArgsTruncated says that the argument vector was longer than the bounds,
	// in bytes or MaxArgs, ArgsMissing that it could not be read (paged out).
	ArgsTruncated, ArgsMissing bool
	// Cwd is the working directory; empty where it could not be had.
	Cwd string
	// Detail is a symbolic link's target, a rename's new name, an extended
	// attribute's name. DetailTruncated: longer than the bound of 255 bytes.
	Detail          string
	DetailTruncated bool

	// Capabilities is the effective set, a bit for each CAP_*.
	Capabilities uint64
	// The inode numbers of the namespaces.
	MountNS, PIDNS, NetNS, UserNS, CgroupNS uint32
	// Ancestors are the parent, its parent and so on up to the parent of EntryPID,
	// at most MaxAncestors.
	Ancestors []Ancestor
}

// Ancestor is a process above the one that touched.
type Ancestor struct {
	PID       uint32
	StartTime time.Duration
	Comm      string
}

// MaxAncestors bounds Event.Ancestors.
const MaxAncestors = 8

// Repeat is the kernel's count of the touches by one process of one placement
// in one way: see Event.Total.
type Repeat struct {
	Placement uint64
	PID       uint32
	StartTime time.Duration
	Kind      Kind
	Variant   uint8
	Total     uint64
	// Last is the time of the last touch.
	Last time.Duration
}

// MaxArgs bounds how many arguments of a process are kept. An empty one takes a
// byte in the event and sixteen in Go: without a bound, whoever is watched could
// choose how much memory an access takes while it waits to be delivered.
const MaxArgs = 128
