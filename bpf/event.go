package bpf

import "time"

// Kind says which hook fired. Values are shared with sensor.h.
type Kind uint8

// The kinds of events.
const (
	// KindOpen is a call of security_file_open.
	KindOpen Kind = 1
)

// Event is one touch of a watched inode, as captured in the kernel at the
// moment it happened. Nothing in it was read later from /proc.
//
// Times are CLOCK_BOOTTIME, as durations since boot. Process ids are those of
// the initial pid namespace; user ids those of the initial user namespace.
type Event struct {
	Kind      Kind
	Placement uint64
	Time      time.Duration

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
}

// MaxArgs bounds how many arguments of a process are kept. An empty one takes a
// byte in the event and sixteen in Go: without a bound, whoever is watched could
// choose how much memory an access takes while it waits to be delivered.
const MaxArgs = 128
