package agent

import (
	"errors"
	"io/fs"
	"log/slog"
	"path"
	"path/filepath"
	"strconv"
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
)

// pointsAt returns the armed placement that the target of a new symbolic link
// leads to, for the one who made it.
func (c *Core) pointsAt(e bpf.Event) (beesting.PlacementID, bool) {
	type result struct {
		file inode
		err  error
	}
	target, err := targetOf(e)
	if err == nil {
		// The look-up can end in a file system that the container serves.
		r, ok := await(c.lookups, func() result {
			file, err := c.follow(e, target)
			return result{file, err}
		})
		if err = r.err; !ok {
			err = errNoLook
		}
		if err == nil {
			if id, armed := c.table.at(r.file); armed {
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
