package agent

import (
	"context"
	"errors"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/nri"
)

const whyUnseen = "this agent did not see its creation"

// setUp is how long the runtime is given to set up a container that is created
// and not yet started, which mounts the tokens: milliseconds.
const setUp = 2 * time.Second

// Synchronize brings the agent in line with what the runtime has: it arms the
// tokens of containers that an agent before it planted, lets go of containers
// that are gone, and removes files that nobody uses. Requests of the runtime are
// answered in between.
func (a *Agent) Synchronize(ctx context.Context, s nri.Snapshot) {
	a.attempts.unseen()
	there := make(map[string]bool, len(s.Containers))
	var created []nri.Container
	for _, c := range s.Containers {
		there[c.ID] = true
		if c.State == nri.StateCreated {
			created = append(created, c)
			continue
		}
		if !a.locks.acquire(ctx, c.ID) {
			return
		}
		a.adopt(c, s.Received)
		a.locks.release(c.ID)
	}
	if !a.adoptCreated(ctx, s.Received, created) {
		return
	}
	a.dropGone(ctx, s.Received, there)
	if err := a.collect(ctx); err != nil {
		a.log.Error("clearing up the state directory", "error", err)
	}
	a.core.Settled()
	a.sweep.synchronized(s)
	a.readyOnce.Do(func() {
		a.closeGap()
		close(a.ready)
	})
}

// adoptCreated arms the tokens of containers that have not been started, once the
// runtime's own mounts of them are over, which would be told as touches. As a rule
// Start does that; it does not come if it was sent before this agent was heard of.
// It will come for a container without a process: containerd makes that, and the
// mounts, when it is told to start the container (internal/cri/server in 2.4).
func (a *Agent) adoptCreated(ctx context.Context, received time.Time, containers []nri.Container) bool {
	if len(containers) == 0 {
		return true
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(a.setUp):
	}
	for _, c := range containers {
		if !a.locks.acquire(ctx, c.ID) {
			return false
		}
		if c.PID == 0 {
			c.PID = a.findPID(c.CgroupPath)
		}
		if c.PID == 0 {
			a.expectStart(c, received)
		} else {
			a.adopt(c, received)
		}
		a.locks.release(c.ID)
	}
	return true
}

// expectStart notes what a container is to have when it is started.
func (a *Agent) expectStart(c nri.Container, at time.Time) {
	t, ok := a.note(c, at)
	if !ok || t.planted != nil {
		return
	}
	expected := a.recorded(c)
	if expected == nil {
		expected = a.present(c, nil)
	}
	a.edit(c.ID, func(t *tenant) { t.planted = expected })
}

// dropGone removes the containers that went away while nobody was connected,
// and those that have stopped where the runtime doesn't list them: through CRI
// a stopped container is never started again, and nobody mounts its files. What
// was planted in it stays in the records' history, as for one that was removed.
// One that was heard of after the snapshot is younger than it. One whose first
// process is alive stays, whatever the runtime says: to disarm a running
// container is worse than to keep a file too long.
func (a *Agent) dropGone(ctx context.Context, received time.Time, there map[string]bool) {
	a.mu.Lock()
	var gone []tenant
	for id, t := range a.tenants {
		if !there[id] && t.seen.Before(received) {
			gone = append(gone, *t)
		}
	}
	a.mu.Unlock()
	for _, t := range gone {
		if a.alive(t) {
			a.log.Warn("container runs and the runtime doesn't list it", "container", t.container.ID)
			continue
		}
		id := t.container.ID
		if !a.locks.acquire(ctx, id) {
			return
		}
		a.remove(nri.Container{Container: t.container})
		a.locks.release(id)
	}
}

// alive reports whether the container's first process is still there. The pid
// may be another process' by now if that is in a cgroup of another name.
func (a *Agent) alive(t tenant) bool {
	if t.container.PID == 0 {
		return false
	}
	cgroups, err := a.core.proc.Cgroups(t.container.PID)
	if err != nil {
		return false
	}
	for _, cg := range cgroups {
		if names(cg.Path, t.container.ID) {
			return true
		}
	}
	return false
}

// collect removes files and records of containers that are not there.
func (a *Agent) collect(ctx context.Context) error {
	files, containers, err := a.state.Leftovers()
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range containers {
		if !a.locks.acquire(ctx, id) {
			return errors.Join(errs...)
		}
		if t, ok := a.tenant(id); !ok || len(t.planted) == 0 {
			a.recall(id)
			errs = append(errs, a.state.RemoveRecord(id))
		}
		a.locks.release(id)
	}
	used := a.used()
	for _, file := range files {
		if used[file] {
			continue
		}
		if ctx.Err() != nil {
			break
		}
		// One that was being written when it was listed is in use by now, or claimed.
		errs = append(errs, a.locks.removeUnused(file, func() bool { return a.used()[file] }, func() error {
			if a.takeOut(file) != nil {
				return nil //nolint:nilerr // it says so itself
			}
			return a.state.Remove(file)
		}))
	}
	return errors.Join(errs...)
}

// recall has the core know the tokens of a container that went away while no
// agent was there: what was touched until then is told as theirs, as far as is
// written down.
func (a *Agent) recall(container string) {
	r, err := a.state.Record(container)
	if err != nil {
		return // damaged, which the touches' missing placement shows
	}
	for _, t := range r.Tokens {
		a.core.recall(beesting.Placement{
			ID:      a.identity.PlacementID(container, t.Name),
			Token:   beesting.Token{Name: t.Name, Kind: t.Kind, Path: t.Path, Strategy: t.Strategy},
			TokenID: a.identity.TokenID(container, t.Name), Container: recordedContainer(r),
			HostPath: t.File, PlantedAt: t.PlantedAt,
		})
	}
}

// used returns the files that containers have.
func (a *Agent) used() map[string]bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	files := map[string]bool{}
	for _, t := range a.tenants {
		for _, p := range t.planted {
			files[p.file] = true
		}
	}
	return files
}
