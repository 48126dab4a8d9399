package agent

import (
	"strings"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
)

// maxSightings bounds how many processes' paths are remembered.
const maxSightings = 4096

// sighting names a process while it runs one program, as far as its name tells.
type sighting struct {
	pid   uint32
	start time.Duration
	comm  string
}

type paths struct{ executable, cwd string }

// sightings remember the paths of processes that were seen: not every place in
// the kernel where a touch is noticed can tell them, and a process that is gone
// can't be asked.
type sightings struct{ last *fifo[sighting, paths] }

func newSightings() *sightings {
	return &sightings{newFIFO[sighting, paths](maxSightings)}
}

func sightingOf(e bpf.Event) sighting { return sighting{e.PID, e.StartTime, e.Comm} }

// note remembers what is whole of p.
func (s *sightings) note(e bpf.Event, p *beesting.Process) {
	k := sightingOf(e)
	known, _ := s.last.get(k)
	now := known
	if p.Executable != "" && !p.ExecutableTruncated {
		now.executable = p.Executable
	}
	if p.WorkingDirectory != "" {
		now.cwd = p.WorkingDirectory
	}
	if now != known {
		s.last.set(k, now)
	}
}

// complete takes from /proc what the kernel side could not capture, as long as
// the pid is the same process and that has not executed another program, as far
// as its name tells. Paths can also be those of an earlier touch. It returns
// what is still missing.
func (c *Core) complete(p *beesting.Process, e bpf.Event) (missing []string) {
	defer c.seen.note(e, p)
	known, _ := c.seen.last.get(sightingOf(e))
	if e.ExecutableTruncated && known.executable != "" && strings.HasSuffix(known.executable, e.Executable) {
		p.Executable, p.ExecutableTruncated = known.executable, false
	}
	if !p.ExecutableTruncated && !e.ArgsMissing && e.Cwd != "" {
		return nil
	}
	late := c.late(e, p.ExecutableTruncated, e.ArgsMissing)
	if p.ExecutableTruncated {
		if late.executable != "" && strings.HasSuffix(late.executable, e.Executable) {
			p.Executable, p.ExecutableTruncated = late.executable, false
		} else {
			missing = append(missing, partialExecutable)
		}
	}
	if e.ArgsMissing {
		if len(late.args.args) > 0 {
			p.Args, p.ArgsTruncated = late.args.args, late.args.cut
		} else {
			missing = append(missing, partialArgs)
		}
	}
	if e.Cwd == "" {
		p.WorkingDirectory = late.cwd
		if p.WorkingDirectory == "" {
			p.WorkingDirectory = known.cwd
		}
		if p.WorkingDirectory == "" {
			missing = append(missing, partialCwd)
		}
	}
	return missing
}

// lateness is what /proc still has of the process of an event; empty if it has
// another by now.
type lateness struct {
	paths
	args lateArgs
}

func (c *Core) late(e bpf.Event, executable, args bool) lateness {
	pid := int(e.PID)
	if !sameProcess(c.proc, e) {
		return lateness{}
	}
	var l lateness
	if executable {
		l.executable, _ = c.proc.Executable(pid) // an error leaves it missing
	}
	if e.Cwd == "" {
		l.cwd, _ = c.proc.WorkingDirectory(pid)
	}
	if args {
		l.args = c.lateArgs(pid)
	}
	comm, err := c.proc.Comm(pid)
	if err != nil || comm != e.Comm || !sameProcess(c.proc, e) {
		return lateness{}
	}
	return l
}
