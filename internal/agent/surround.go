package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/rootfs"
	"github.com/beesting-otel/beesting/nri"
)

// surround watches what is beside a planted file in a container: the inode that
// it is mounted over, whose name can be renamed and removed, and where that was
// asked for the directory. The token itself is watched whatever comes of it. It
// returns an error if the token hides a file that it must not hide.
func (a *Agent) surround(c nri.Container, p planted, id beesting.PlacementID, file *os.File) error {
	began, err := a.core.proc.StartTicks(c.PID)
	if err != nil {
		return nil //nolint:nilerr // the process has ended
	}
	policy := a.wish(c, p)
	err, ok := await(a.looks, func() error {
		err := a.coverage(c, p, id, file)
		if policy.WatchDirectory {
			err = errors.Join(err, a.directory(c, p, id))
		}
		return err
	})
	if !ok {
		err = errNoLook
	}
	if now, gone := a.core.proc.StartTicks(c.PID); gone != nil || now != began {
		return nil //nolint:nilerr // the process has ended
	}
	if errors.Is(err, errHides) && !policy.Overwrite {
		return fmt.Errorf("%s: %w", p.token.Path, errHides)
	}
	level := slog.LevelWarn
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) || errors.Is(err, errNotArmed) {
		level = slog.LevelDebug // as it is on this machine
	}
	if err != nil && !errors.Is(err, errHides) {
		a.log.Log(context.Background(), level, "what is beside a token is not watched", slog.String("token", p.token.Name),
			slog.String("container", c.ID), slog.Any("error", err))
	}
	return nil
}

// errHides: the file that is mounted over is not one that the runtime made to
// mount on, which is empty.
var errHides = errors.New("the container has a file of its own there")

// wish is what the policy says of a planted token: what an earlier agent wrote
// down doesn't say all.
func (a *Agent) wish(c nri.Container, p planted) beesting.Token {
	for _, t := range a.selector(c.Container) {
		if t.Name == p.token.Name {
			return t
		}
	}
	return p.token
}

func (a *Agent) directory(c nri.Container, p planted, id beesting.PlacementID) error {
	if _, ok := a.core.sensor.(Surroundings); !ok {
		return errors.ErrUnsupported
	}
	root, err := rootfs.Open(filepath.Join(string(a.core.proc), fmt.Sprint(c.PID), "root"))
	if err != nil {
		return err
	}
	defer root.Close()
	dir, err := root.Lookup(path.Dir(p.token.Path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return a.core.ArmDirectory(id, dir)
}

// coverage looks for what the planted file is mounted over. Where the path leads
// into another mount of the container, there is nothing in its root.
func (a *Agent) coverage(c nri.Container, p planted, id beesting.PlacementID, token *os.File) error {
	root, err := bareRoot(a.core.proc, c.PID)
	if err != nil {
		return err
	}
	defer root.Close()
	covered, err := root.Lookup(p.token.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer covered.Close()
	fi, err := covered.Stat()
	switch {
	case err != nil:
		return err
	case !fi.Mode().IsRegular(), inodeOf(covered) == inodeOf(token):
		return nil
	}
	if _, ok := a.core.sensor.(Surroundings); ok {
		err = a.core.ArmCovered(id, covered)
	}
	if fi.Size() > 0 {
		err = errors.Join(err, errHides)
	}
	return err
}
