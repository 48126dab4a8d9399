package agent

import (
	"errors"
	"io/fs"
	"log/slog"
	"path"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/internal/proc"
	"github.com/beesting-otel/beesting/internal/rootfs"
)

// A symbolic link is a text, and making one touches no inode but its own. The
// kernel side sends those whose last component is named like a token; whether
// the text leads to one, by relative parts and other links, is found out here.

var (
	errTargetCut = errors.New("the target is not known in full")
	errNoProcess = errors.New("no process is left in its mount namespace")
	errNoTurn    = errors.New("links of its container have taken up their time")
)

const (
	// turnTime is what the links of one container may take of the reader in a
	// turnEvery: everybody's events wait behind it.
	turnTime  = 100 * time.Millisecond
	turnEvery = time.Second
	// maxTurns bounds how many containers are remembered.
	maxTurns = 1024
)

// turn is what the look-ups for one container have cost. One that doesn't end
// keeps the next from being begun, so that a container has one place in
// [Core.lookups] at a time, and can't take all of them.
type turn struct {
	busy atomic.Bool
	from time.Time
	used time.Duration
}

// turnOf returns the turn of the container that e is of; the host has one too.
// Only the reader calls it.
func (c *Core) turnOf(e bpf.Event) *turn {
	id := ""
	if container, ok := c.containers.of(e); ok && container != nil {
		id = container.ID
	}
	t, ok := c.turns.get(id)
	if !ok {
		t = &turn{}
		c.turns.set(id, t)
	}
	if now := c.clock.Now(); now.Sub(t.from) >= turnEvery || now.Before(t.from) {
		t.from, t.used = now, 0
	}
	return t
}

// take returns f's result, or errNoTurn if the container's time is up and f was
// not run, or errNoLook if it didn't end in time.
func (t *turn) take(p *patience, f func() (inode, error)) (inode, error) {
	if t.busy.Load() || t.used >= turnTime {
		return inode{}, errNoTurn
	}
	type result struct {
		file inode
		err  error
	}
	began := time.Now()
	r, ok := await(p, func() result {
		t.busy.Store(true)
		defer t.busy.Store(false)
		file, err := f()
		return result{file, err}
	})
	t.used += time.Since(began)
	if !ok {
		return inode{}, errNoLook
	}
	return r.file, r.err
}

// pointsAt returns the armed placement that the target of a new symbolic link
// leads to, for the one who made it.
func (c *Core) pointsAt(e bpf.Event) (beesting.PlacementID, bool) {
	target, err := targetOf(e)
	if err == nil {
		// The look-up can end in a file system that the container serves.
		var file inode
		file, err = c.turnOf(e).take(c.lookups, func() (inode, error) { return c.follow(e, target) })
		if err == nil {
			if id, armed := c.table.at(file); armed {
				return id, true
			}
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.count(func(s *CoreStats) { s.UnresolvedSymlinks++ })
		c.log.Debug("symbolic link not followed", slog.String("target", e.Detail), slog.Any("error", err))
		return 0, false
	}
	c.count(func(s *CoreStats) { s.OtherSymlinks++ })
	return 0, false
}

// targetOf returns the link's target as a path from the root. ".." is left as
// it is: what is before it can be a link.
func targetOf(e bpf.Event) (string, error) {
	switch {
	case e.Detail == "" || e.DetailTruncated:
		return "", errTargetCut
	case path.IsAbs(e.Detail):
		return e.Detail, nil
	case !path.IsAbs(e.Cwd):
		return "", errTargetCut
	default:
		return e.Cwd + "/" + e.Detail, nil
	}
}

// viewer is a process that sees the files that another one saw.
type viewer struct {
	pid   int
	start time.Duration // zero if it is not known
}

// viewers are the process of e, those above it and those that last longer: many
// a link is made by a process that is gone at once.
func (c *Core) viewers(e bpf.Event) []viewer {
	all := []viewer{{int(e.PID), e.StartTime}, {int(e.ParentPID), e.ParentStartTime}}
	for _, a := range e.Ancestors {
		all = append(all, viewer{int(a.PID), a.StartTime})
	}
	if container, ok := c.containers.of(e); ok && container != nil {
		all = append(all, viewer{pid: container.PID})
	}
	return append(all, viewer{pid: 1})
}

// follow finds the file at a path as the process of e sees it.
func (c *Core) follow(e bpf.Event, target string) (inode, error) {
	for i, v := range c.viewers(e) {
		// Only the process itself is known to see what it saw; another must
		// share its mount namespace.
		if v.pid == 0 || i > 0 && e.MountNS == 0 || !v.lives(c.proc) {
			continue
		}
		ns, err := c.proc.MountNamespace(v.pid)
		if e.MountNS != 0 && (err != nil || ns != e.MountNS) {
			continue
		}
		root, err := rootfs.Open(filepath.Join(string(c.proc), strconv.Itoa(v.pid), "root"))
		if err != nil {
			continue
		}
		file, err := at(root, target)
		if !v.lives(c.proc) {
			continue
		}
		return file, err
	}
	return inode{}, errNoProcess
}

// lives reports whether the pid is still that process.
func (v viewer) lives(fs proc.FS) bool {
	ticks, err := fs.StartTicks(v.pid)
	return err == nil && (v.start == 0 || time.Duration(ticks) == v.start/proc.Tick)
}

func at(root *rootfs.Root, name string) (inode, error) {
	defer root.Close()
	f, err := root.Lookup(name)
	if err != nil {
		return inode{}, err
	}
	defer f.Close()
	return inodeOf(f), nil
}
