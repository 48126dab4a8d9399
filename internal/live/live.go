// Package live gives a container that already runs a file, and takes it away
// again: a mount of the file is put into the container's mount namespace with
// the mount API of Linux 5.2 to 5.12. Nothing runs in the container, which needs
// no shell, no library and no restart, and may have a read-only root.
//
// # What it leaves alone
//
// The container may be hostile and rename things while it is looked at. So a path
// is resolved once, inside the container's root, and from then on all work is on
// descriptors, and what was opened is compared with what was meant. Nothing is
// made but on the mount that is the container's root: what lies on another mount
// may be a volume, where a mount point would stay and other pods would see it.
//
// # What it needs
//
// Linux 5.12 (mount_setattr(2)), a proc file system in which the container's
// processes are visible, and the capabilities SYS_ADMIN, SYS_CHROOT, SYS_PTRACE,
// SETUID, SETGID and those over files.
//
// # How long it takes
//
// Microseconds as a rule, and as long as the container's file systems let it
// wait: a FUSE root whose server hangs blocks a call for ever, as nothing in the
// kernel gives up then. Call from a goroutine that nobody must wait for. All
// functions may be called concurrently; two that work on the same path of the same
// container disturb one another and end in an error at worst.
package live

import (
	"errors"
	"fmt"
)

// Why a container does not get a file. errors.Is(err, [errors.ErrUnsupported])
// answers for a kernel that is too old.
var (
	// ErrPath is a path that can't be used: not absolute and clean, too long, in
	// /proc or /sys, through something that is no directory, or a symbolic link
	// itself.
	ErrPath = errors.New("unusable path")
	// ErrExists is a file that the container has at the path.
	ErrExists = errors.New("file exists in the container")
	// ErrVolume is a path that leads to another mount than the container's root.
	ErrVolume = errors.New("path is on another mount than the container's root")
	// ErrReadOnly is a root file system in which no mount point can be made.
	ErrReadOnly = errors.New("container's root file system is read-only")
	// ErrShared is a container whose root mount passes mounts on to other mount
	// namespaces, the host's among them perhaps.
	ErrShared = errors.New("container's root mount is shared")
	// ErrHost is a process in the mount namespace of the host or of the caller.
	ErrHost = errors.New("process is in no mount namespace of its own")
	// ErrGone is a process that has ended, or another one with its number.
	ErrGone = errors.New("process is gone")
	// ErrChanged is a container that renamed or mounted something meanwhile. What
	// had been done is undone.
	ErrChanged = errors.New("container's files changed meanwhile")
	// ErrNotAttached is a path at which the file is not mounted (any more).
	ErrNotAttached = errors.New("file is not mounted there")
	// ErrUnmapped is an id that the container's user namespace doesn't have.
	ErrUnmapped = errors.New("id is not mapped in the user namespace")
)

// Process is any process of the container, whose mount namespace and root
// directory are meant.
type Process struct {
	PID int
	// Start is what [proc.FS.StartTicks] said: a PID can be another process by now.
	Start uint64
	// ProcRoot is where the proc file system is mounted in which PID counts.
	ProcRoot string
}

func (p Process) String() string { return fmt.Sprintf("process %d", p.PID) }

// Options are what may be in the way at the path.
type Options struct {
	// Overwrite hides a regular file of the container's root file system.
	Overwrite bool
	// Resume takes an empty regular file at the path for the mount point that an
	// Attach left which was killed half-way. Detach will remove it.
	Resume bool
}

// Inode is a file as stat(2) names it.
type Inode struct {
	Dev uint64 `json:"dev"`
	Ino uint64 `json:"ino"`
}

// Made is a directory or, at the depth of the path itself, the mount point that
// Attach made.
type Made struct {
	// Depth is the number of names from the root: 2 for /a/b.
	Depth int `json:"depth"`
	Inode
}

// Attached is what [Detach] has to know. It can be kept as JSON.
type Attached struct {
	Source Inode `json:"source"`
	// Made has parents before what is in them; empty if all was there.
	Made []Made `json:"made,omitempty"`
}
