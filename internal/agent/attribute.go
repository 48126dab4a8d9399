package agent

import (
	"strings"
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
	partialTime       = "time"
)

// maxLateArgs bounds the arguments that are read from /proc, in bytes.
const maxLateArgs = 4096

// attribute makes an access of an event. What can't be had is left out and
// named in Partial; no event gives nothing.
func (c *Core) attribute(e bpf.Event) beesting.Access {
	a := beesting.Access{Kind: beesting.AccessOpen, Outcome: beesting.OutcomeAllowed, Count: 1}
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
	c.actor(&a, e)
	return a
}

func process(e bpf.Event, w wall) beesting.Process {
	return beesting.Process{
		PID: e.PID, TID: e.TID, ParentPID: e.ParentPID,
		StartTime: w.at(e.StartTime), ParentStartTime: w.at(e.ParentStartTime),
		EntryPID: e.EntryPID, EntryBootTime: uint64(e.EntryStartTime / time.Nanosecond),
		UID: e.UID, EUID: e.EUID, GID: e.GID, EGID: e.EGID,
		LoginUID: e.LoginUID, SessionLeaderPID: e.SessionLeaderPID, AuditSession: e.AuditSession,
		CgroupID: e.CgroupID, Comm: e.Comm,
		Executable: e.Executable, ExecutableTruncated: e.ExecutableTruncated,
		Args: e.Args, ArgsTruncated: e.ArgsTruncated,
	}
}

// complete takes from /proc what the kernel side could not capture, as long as
// the pid is the same process and that has not executed another program, as far
// as its name tells. It returns what is still missing.
func (c *Core) complete(p *beesting.Process, e bpf.Event) (missing []string) {
	if !e.ExecutableTruncated && !e.ArgsMissing {
		return nil
	}
	exe, exeErr := c.proc.Executable(int(e.PID))
	var late lateArgs
	if e.ArgsMissing && sameProcess(c.proc, e) {
		late = c.lateArgs(int(e.PID))
	}
	comm, err := c.proc.Comm(int(e.PID))
	same := err == nil && comm == e.Comm && sameProcess(c.proc, e)

	if e.ExecutableTruncated {
		if same && exeErr == nil && strings.HasSuffix(exe, e.Executable) {
			p.Executable, p.ExecutableTruncated = exe, false
		} else {
			missing = append(missing, partialExecutable)
		}
	}
	if e.ArgsMissing {
		if same && len(late.args) > 0 {
			p.Args, p.ArgsTruncated = late.args, late.cut
		} else {
			missing = append(missing, partialArgs)
		}
	}
	return missing
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

// actor says in whose container the process was.
func (c *Core) actor(a *beesting.Access, e bpf.Event) {
	own := a.Placement.Container
	container, known := c.containers.of(e)
	switch {
	case !known && own != nil && isFirstProcess(c.proc, own, e):
		a.Actor = beesting.ActorWorkload
	case !known:
		a.Partial = append(a.Partial, partialActor)
	case container == nil:
		a.Actor = beesting.ActorHost
	case own != nil && container.ID == own.ID:
		a.Actor = beesting.ActorWorkload
	default:
		a.Actor, a.ActorContainer = beesting.ActorOtherContainer, container
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
