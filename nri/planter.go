package nri

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/beesting-otel/beesting"
)

// Planter decides what containers get and follows their lives.
//
// Its methods are called from several goroutines. They get a context that ends
// with the budget and should then return, but no one waits longer for them.
// A panic is recovered and becomes a call of Missed.
type Planter interface {
	// Plant is asked before the container is created; its id is final, there
	// is no process yet. The adjustment is made to the container. When Plant is
	// late its result is dropped: what the container really got is told by
	// the Mounts of the later calls.
	Plant(ctx context.Context, c Container) Adjustment
	// Created is called when the runtime has made the container as adjusted.
	// If another Plant comes for the same place, or nothing at all, instead,
	// the creation was refused: by another plugin's error, by a conflict, or
	// by a validator that forbids hooks, none of which NRI tells a plugin.
	// See Hook.
	Created(ctx context.Context, c Container)
	// Start is called when the container's first process exists and waits to
	// execute the user's program, which it does only after the answer.
	Start(ctx context.Context, c Container)
	// Stop is called when the container has stopped, also for one that was
	// created and could not be started. It may be called more than once.
	Stop(ctx context.Context, c Container)
	// Remove is called when the container is gone for good.
	Remove(ctx context.Context, c Container)
	// Synchronize is called after each registration with all containers of
	// the node. It runs outside of any request and without a budget, in
	// parallel to the other methods: of a container that is created or
	// removed meanwhile both are told, in any order. A later snapshot
	// replaces an earlier one that has not been handled.
	Synchronize(ctx context.Context, s Snapshot)
	// Missed is told of a call of the methods above that did not come to its
	// end in time, or not at all. It must return at once.
	Missed(c Container, r Request, err error)
}

// Snapshot is what a runtime had when it registered the plugin. Every later
// change is told by the other methods. containerd (2.4) leaves out containers
// that have stopped, of which it still tells the removal.
type Snapshot struct {
	// Received is by the clock of [Options].
	Received   time.Time
	Containers []Container
	// Sandboxes are the ids of all pod sandboxes. Each has a cgroup like a
	// container's, whether there are containers in it or not.
	Sandboxes []string
}

// Container is a container as the runtime describes it.
type Container struct {
	beesting.Container
	State State
	// Mounts are all mounts of the container, those of plugins included.
	Mounts []Mount
	// User is who the container's first process runs as; nil where the runtime
	// doesn't tell (NRI before 0.10: containerd before 2.2).
	User *User
	// UserNamespace says that the container has a user namespace of its own or
	// of its pod: ids in it are others outside.
	UserNamespace bool
	// MemoryLimit, in bytes, and PidsLimit are those of the container's cgroup;
	// 0 if there is none. The pod's can be lower.
	MemoryLimit, PidsLimit int64
}

// User holds ids as the container sees them.
type User struct {
	UID, GID uint32
}

// Mount is one entry of the mounts of the OCI configuration.
type Mount struct {
	Source, Destination, Type string
	Options                   []string
}

// Adjustment is what a container gets; the zero value is nothing.
type Adjustment struct {
	Mounts []Mount
	Hooks  []Hook
}

// Hook is a createContainer hook of the OCI configuration: a program of the
// host that the runtime runs in the container's namespaces, before its root
// becomes the root. One that exits with anything but 0, can't be executed, or
// outlives its time-out fails the container.
//
// The default validator of NRI (0.10: containerd 2.2) can be configured to refuse hooks,
// reject_oci_hook_adjustment; the container then fails, as no plugin's answer
// can be taken back. NRI (0.12.5) doesn't tell a plugin: Configure has no word of
// validators, and who asks to see the plugins by being a validator (the request
// names "default-validator", not its settings) fails containers by its own
// end, which Plugin must not. A refusal shows as a Plant with no Created.
type Hook struct {
	Path string
	// Args begin with the program's name, as execve(2) wants it.
	Args []string
	// Env is the whole environment. None means the runtime's own with runc.
	Env []string
	// Timeout is rounded up to seconds; 0 means none.
	Timeout time.Duration
}

// State is a container's state as the runtime reports it.
type State string

// The states. containerd 2 reports a stopped container as unknown.
const (
	StateUnknown State = "unknown"
	StateCreated State = "created"
	StateRunning State = "running"
	StatePaused  State = "paused"
	StateStopped State = "stopped"
)

// Request is what the runtime asks or tells.
type Request string

// The requests. Their text appears in status and logs.
const (
	RequestCreate      Request = "create_container"
	RequestCreated     Request = "post_create_container"
	RequestStart       Request = "start_container"
	RequestStop        Request = "stop_container"
	RequestRemove      Request = "remove_container"
	RequestSynchronize Request = "synchronize"
)

// Reasons for [Planter.Missed].
var (
	// ErrLate: the planter took longer than the budget.
	ErrLate = errors.New("no answer within the budget")
	// ErrBusy: too many earlier calls are still stuck.
	ErrBusy = errors.New("too many calls are stuck")
)

// PanicError is a recovered panic of the planter.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }
