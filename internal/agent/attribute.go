package agent

import (
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/internal/proc"
)

// The words of Access.Partial.
const (
	partialPlacement  = "placement"
	partialActor      = "actor"
	partialExecutable = "process.executable"
	partialArgs       = "process.args"
	partialCwd        = "process.working_directory"
	partialDetail     = "detail"
	partialTime       = "time"
	// partialCount: the count is a share of what several processes did.
	partialCount = "count"
)

// maxLateArgs bounds the arguments that are read from /proc, in bytes.
const maxLateArgs = 4096

// attribute makes an access of an event. What can't be had is left out and
// named in Partial; no event gives nothing.
func (c *Core) attribute(e bpf.Event) beesting.Access {
	a := beesting.Access{Kind: beesting.AccessKind(e.Kind.String()), Outcome: beesting.OutcomeAllowed, Detail: e.Detail, Count: 1}
	if e.Errno != 0 {
		a.Outcome, a.ErrorType = beesting.OutcomeDenied, errorType(e.Errno)
	}
	p, ok := c.table.find(beesting.PlacementID(e.Placement))
	if !ok {
		p.ID = beesting.PlacementID(e.Placement)
		a.Partial = append(a.Partial, partialPlacement)
	}
	a.Placement = p
	a.ID = accessID(c.bootID, p, e)
	a.Incident = incidentID(c.bootID, e)

	w, err := c.clock.sample()
	a.ObservedTime = w.now
	if err != nil {
		a.ObservedTime = c.clock.Now().Round(0)
		a.Partial = append(a.Partial, partialTime)
		w = wall{now: a.ObservedTime, boot: e.Time} // the touch was just now
	}
	a.Time = w.at(e.Time)
	a.File = beesting.File{
		DevMajor: e.DevMajor, DevMinor: e.DevMinor, Inode: e.Inode, Generation: e.Generation, Flags: e.Flags,
	}
	a.Process = process(e, w)
	a.Partial = append(a.Partial, c.complete(&a.Process, e)...)
	if e.DetailTruncated {
		a.Partial = append(a.Partial, partialDetail)
	}
	c.actor(&a, e)
	return a
}

func process(e bpf.Event, w wall) beesting.Process {
	p := beesting.Process{
		PID: e.PID, TID: e.TID, ParentPID: e.ParentPID,
		StartTime: w.at(e.StartTime), ParentStartTime: w.at(e.ParentStartTime),
		EntryPID: e.EntryPID, EntryBootTime: uint64(e.EntryStartTime / time.Nanosecond),
		UID: e.UID, EUID: e.EUID, GID: e.GID, EGID: e.EGID,
		LoginUID: e.LoginUID, SessionLeaderPID: e.SessionLeaderPID, AuditSession: e.AuditSession,
		CgroupID: e.CgroupID, Comm: e.Comm,
		Executable: e.Executable, ExecutableTruncated: e.ExecutableTruncated,
		Args: e.Args, ArgsTruncated: e.ArgsTruncated,
		WorkingDirectory: e.Cwd, Capabilities: e.Capabilities,
		Namespaces: beesting.Namespaces{Mount: e.MountNS, PID: e.PIDNS, Net: e.NetNS, User: e.UserNS, Cgroup: e.CgroupNS},
	}
	for _, x := range e.Ancestors[:min(len(e.Ancestors), beesting.MaxAncestors)] {
		p.Ancestors = append(p.Ancestors, beesting.Ancestor{PID: x.PID, StartTime: w.at(x.StartTime), Comm: x.Comm})
	}
	return p
}

type lateArgs struct {
	args []string
	cut  bool
}

// lateArgs reads the arguments from /proc, which is a read of the process' own
// memory. The process can have mapped a file over it whose file system never
// answers, and that the kernel side found the page missing is a hint of that.
func (c *Core) lateArgs(pid int) lateArgs {
	late, _ := await(c.argsReads, func() lateArgs {
		args, cut, err := c.proc.Args(pid, maxLateArgs, bpf.MaxArgs)
		if err != nil {
			return lateArgs{}
		}
		return lateArgs{args, cut}
	})
	return late
}

// actorTable has the classes of those that the kernel recognises by identity.
// The runtime's binary in a container's own cgroup is still the runtime.
var actorTable = map[bpf.Actor]beesting.ActorClass{
	bpf.ActorAllowed: beesting.ActorAllowed,
	bpf.ActorRuntime: beesting.ActorRuntime,
	bpf.ActorKubelet: beesting.ActorKubelet,
}

// actor says in whose container the process was.
func (c *Core) actor(a *beesting.Access, e bpf.Event) {
	own := a.Placement.Container
	container, known := c.containers.of(e)
	if known && container != nil && (own == nil || container.ID != own.ID) {
		a.ActorContainer = container
	}
	class, recognised := actorTable[e.Actor]
	switch {
	case recognised:
		a.Actor = class
	case !known && own != nil && isFirstProcess(c.proc, own, e):
		a.Actor = beesting.ActorWorkload
	case !known:
		a.Partial = append(a.Partial, partialActor)
	case container == nil:
		a.Actor = beesting.ActorHost
	case a.ActorContainer == nil:
		a.Actor = beesting.ActorWorkload
	default:
		a.Actor = beesting.ActorOtherContainer
	}
}

// isFirstProcess reports whether the process or its parent is the container's
// first. The pid alone is enough: the touch happened while that process lived,
// which the start time before it shows.
func isFirstProcess(fs proc.FS, own *beesting.Container, e bpf.Event) bool {
	if own.PID == 0 {
		return false
	}
	pid := uint32(own.PID)
	if pid != e.PID && pid != e.ParentPID {
		return false
	}
	start := e.StartTime
	if pid == e.ParentPID {
		start = e.ParentStartTime
	}
	ticks, err := fs.StartTicks(own.PID)
	return err == nil && time.Duration(ticks) == start/proc.Tick
}
