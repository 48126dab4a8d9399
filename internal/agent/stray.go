package agent

import (
	"errors"
	"path/filepath"
	"strings"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/live"
)

// takeOut unmounts a planted file that nobody knows any more: its record was lost
// with a kill, and its token left the policy meanwhile. The container that it was
// made for would go on seeing it, unwatched. Its directory says which one that is,
// and the container's mounts where. No file of that container is being written.
func (a *Agent) takeOut(file string) error {
	a.mu.Lock()
	var running []tenant
	for _, t := range a.tenants {
		if t.running() && t.container.PID != 0 {
			running = append(running, *t)
		}
	}
	a.mu.Unlock()
	var errs []error
	for _, t := range running {
		if filepath.Dir(a.state.Find(stateFile(t.describe(), beesting.Token{}))) == filepath.Dir(file) {
			errs = append(errs, a.takeOutOf(t, file))
		}
	}
	return errors.Join(errs...)
}

func (a *Agent) takeOutOf(t tenant, file string) error {
	c := t.describe()
	process, err := a.process(c)
	if err != nil {
		return nil //nolint:nilerr // it has ended
	}
	mounts, err := a.core.proc.Mounts(c.PID)
	if err != nil {
		return nil //nolint:nilerr // the same
	}
	dir, _ := a.state.Split(file)
	// Where the directory is in its file system isn't known, what is below it is.
	end := strings.TrimPrefix(file, dir)
	f := inodeAt(file)
	for _, m := range mounts {
		if !strings.HasSuffix(m.Root, end) {
			continue
		}
		err, ok := await(a.attaches, func() error {
			return a.attacher.Detach(process, m.Point, live.Attached{Source: live.Inode{Dev: f.dev, Ino: f.ino}})
		})
		switch {
		case !ok:
			err = errNoLook
		case errors.Is(err, live.ErrNotAttached), errors.Is(err, live.ErrGone):
			err = nil
		}
		if err != nil {
			a.failures.add(c.Container, "", ReasonLive, err)
			return err
		}
	}
	return nil
}
