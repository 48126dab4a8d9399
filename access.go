package beesting

import "time"

// AccessKind says what was done to a token.
type AccessKind string

// The access kinds. Their text is the value of honeytoken.access.kind and part
// of the public interface.
const (
	// AccessOpen is an open of the token's file: open, openat, openat2, creat,
	// open_by_handle_at, io_uring, exec, through any path that leads to it.
	AccessOpen AccessKind = "open"
)

// Outcome says whether the kernel let the access through.
type Outcome string

// The outcomes. Their text is the value of honeytoken.access.outcome.
const (
	OutcomeAllowed Outcome = "allowed"
	OutcomeDenied  Outcome = "denied"
)

// ActorClass says what kind of process touched the token.
type ActorClass string

// The actor classes. Their text is the value of honeytoken.actor.class.
const (
	// ActorWorkload is a process of the token's own container.
	ActorWorkload ActorClass = "workload"
	// ActorOtherContainer is a process of another container.
	ActorOtherContainer ActorClass = "other_container"
	// ActorHost is a process outside of every known container.
	ActorHost ActorClass = "host"
)

// AccessID identifies an access for good: the same touch gives the same id in
// every process that reports it, so that a repeated delivery can be recognised.
type AccessID [16]byte

// IncidentID groups the accesses of processes that descend from the same entry
// process of a container. It is never all zero.
type IncidentID [16]byte

// Access says who touched a token, where and when. It is complete when it
// leaves the agent; Partial lists what could not be found out.
type Access struct {
	ID       AccessID
	Incident IncidentID
	Kind     AccessKind
	Outcome  Outcome

	// Time is the kernel's time of the touch, ObservedTime when it was decoded.
	Time         time.Time
	ObservedTime time.Time

	Placement Placement
	File      File
	Actor     ActorClass
	// ActorContainer is the container of the acting process where it is known
	// and not the token's own.
	ActorContainer *Container
	Process        Process

	// Count is how many touches this access stands for; at least 1.
	Count uint64
	// Partial lists the parts that could not be had, in the words of the
	// telemetry reference ("process.args", "process.executable", "placement").
	Partial []string
}

// File is the touched inode as the kernel holds it.
type File struct {
	// DevMajor and DevMinor are the super block's device number, which on btrfs
	// and overlayfs differs from what stat(2) prints.
	DevMajor, DevMinor uint32
	Inode              uint64
	Generation         uint32
	// Flags are the open flags as the kernel keeps them (O_RDONLY, O_APPEND …,
	// include/uapi/asm-generic/fcntl.h).
	Flags uint32
}

// Process is the acting process, captured in the kernel at the moment of the
// touch. All ids are the host's view.
type Process struct {
	PID, TID, ParentPID uint32
	// StartTime and ParentStartTime are wall-clock times.
	StartTime, ParentStartTime time.Time
	// EntryPID is the topmost ancestor in the same cgroup: the container's
	// first process, or the one an exec brought in. EntryBootTime is its start
	// in nanoseconds since boot, which with the pid names it for good.
	EntryPID      uint32
	EntryBootTime uint64

	UID, EUID, GID, EGID uint32
	// LoginUID is the audit login uid; LoginUIDUnset when nobody logged in.
	LoginUID uint32
	// SessionLeaderPID is the POSIX session's id (setsid(2)); AuditSession the
	// audit session's, AuditSessionUnset without one.
	SessionLeaderPID uint32
	AuditSession     uint32
	CgroupID         uint64

	Comm       string
	Executable string
	// Args is the argument vector, Args[0] included. ArgsTruncated says that a
	// bound on its bytes or their number was hit, ExecutableTruncated likewise.
	Args                []string
	ArgsTruncated       bool
	ExecutableTruncated bool
}

// LoginUIDUnset and AuditSessionUnset are the kernel's "not set" values
// ((uid_t)-1 and (unsigned int)-1, kernel/auditsc.c).
const (
	LoginUIDUnset     = ^uint32(0)
	AuditSessionUnset = ^uint32(0)
)
