package beesting

import "time"

// AccessKind says what was done to a token.
type AccessKind string

// The access kinds. Their text is the value of honeytoken.access.kind and part
// of the public interface. What one touch is: the most specific kind, once. An
// open's own reads, fstat and close belong to it; docs/telemetry.md has the
// rules.
const (
	// AccessOpen is an open of the token's file: open, openat, openat2, creat,
	// open_by_handle_at, io_uring, through any path that leads to it.
	AccessOpen AccessKind = "open"
	// AccessExec is the execution of the token, also as an interpreter.
	AccessExec AccessKind = "exec"
	// AccessOpenPath is an open with O_PATH, which gives no content.
	AccessOpenPath AccessKind = "open_path"
	// AccessRead and AccessWrite go through a descriptor that another process
	// opened: inherited or received.
	AccessRead  AccessKind = "read"
	AccessWrite AccessKind = "write"
	// AccessReceive is a descriptor handed over: SCM_RIGHTS, pidfd_getfd.
	AccessReceive AccessKind = "receive"
	// AccessMmap maps the content into memory.
	AccessMmap AccessKind = "mmap"
	// AccessStat asks for attributes: stat, statx, file_getattr.
	AccessStat AccessKind = "stat"
	// AccessAccess asks whether an access would be allowed: access, faccessat.
	AccessAccess AccessKind = "access"
	// AccessReadlink is a readlink of the file, which only tells that it exists.
	AccessReadlink AccessKind = "readlink"
	// AccessHandle is name_to_handle_at.
	AccessHandle AccessKind = "handle"
	// AccessXattr reads, lists, sets or removes extended attributes.
	AccessXattr AccessKind = "xattr"
	// AccessSetattr changes mode, owner, times or size.
	AccessSetattr AccessKind = "setattr"
	// AccessLink gives the file a further name, AccessSymlink makes a symbolic
	// link to it, AccessRename and AccessUnlink move or remove its name.
	AccessLink    AccessKind = "link"
	AccessSymlink AccessKind = "symlink"
	AccessRename  AccessKind = "rename"
	AccessUnlink  AccessKind = "unlink"
	// AccessMount mounts over the token, binds it elsewhere, moves or unmounts it.
	AccessMount AccessKind = "mount"
	// AccessWatch puts an inotify or fanotify mark on the token.
	AccessWatch AccessKind = "watch"
	// AccessLock is flock, fcntl's locks or a lease.
	AccessLock AccessKind = "lock"
	// AccessList lists the token's directory; only where it was asked for.
	AccessList AccessKind = "list"
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
	// ActorRuntime runs the container runtime's own binary, recognised by the
	// binary's inode: it sets a container up, or enters one.
	ActorRuntime ActorClass = "runtime"
	// ActorKubelet runs the kubelet's binary, recognised likewise.
	ActorKubelet ActorClass = "kubelet"
	// ActorAgent is the agent itself.
	ActorAgent ActorClass = "agent"
	// ActorAllowed was exempted in the configuration, by binary or cgroup.
	ActorAllowed ActorClass = "allowed"
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
	// ErrorType is the error of a denied access as its name in errno(3)
	// ("EACCES"); empty otherwise.
	ErrorType string

	// Time is the kernel's time of the touch, ObservedTime when it was decoded.
	Time         time.Time
	ObservedTime time.Time

	// Ongoing says that the access is an open whose end is still to come: it is
	// delivered once more, to End, when the open file is gone. EndTime, Reads
	// and Writes are set then. EndTime is zero where the end wasn't seen: the
	// access took longer than the agent waits, or the agent was away.
	Ongoing       bool
	EndTime       time.Time
	Reads, Writes uint64

	// Detail is what else the kernel was told: a symbolic link's target, a
	// rename's new name, an extended attribute's name. From the actor, untrusted.
	Detail string

	Placement Placement
	File      File
	Actor     ActorClass
	// ActorContainer is the container of the acting process where it is known
	// and not the token's own.
	ActorContainer *Container
	Process        Process

	// Count is how many touches this access stands for; at least 1. Repeats by
	// the same process on the same token in the same way are counted, not told
	// one by one.
	Count uint64
	// Partial lists the parts that could not be had, in the words of the
	// telemetry reference ("process.args", "process.executable", "placement").
	Partial []string
}

// Gap says that touches of a placement were counted in the kernel and could not
// be told one by one: the loss is part of the stream.
type Gap struct {
	Placement Placement
	Kind      AccessKind
	// Count is how many touches are missing; at least 1.
	Count uint64
	// From and To bound when they happened.
	From, To time.Time
	// Cause is "ring_full", "restart" or "unknown".
	Cause string
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
	// WorkingDirectory as the process sees it; empty where it isn't known.
	WorkingDirectory string
	// Capabilities is the effective set, a bit for each CAP_*.
	Capabilities uint64
	Namespaces   Namespaces
	// Ancestors are the parent, its parent and so on, up to the one that the entry
	// process came from, outside of its cgroup, and at most MaxAncestors.
	Ancestors []Ancestor
}

// MaxAncestors bounds Process.Ancestors.
const MaxAncestors = 8

// Ancestor is a process above the acting one.
type Ancestor struct {
	PID       uint32
	StartTime time.Time
	Comm      string
}

// Namespaces are the inode numbers of a process's namespaces, as in
// /proc/PID/ns; zero where unknown.
type Namespaces struct {
	Mount, PID, Net, User, Cgroup uint32
}

// LoginUIDUnset and AuditSessionUnset are the kernel's "not set" values
// ((uid_t)-1 and (unsigned int)-1, kernel/auditsc.c).
const (
	LoginUIDUnset     = ^uint32(0)
	AuditSessionUnset = ^uint32(0)
)
