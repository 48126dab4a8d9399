package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/cgroup"
	"github.com/beesting-otel/beesting/internal/state"
	"github.com/beesting-otel/beesting/nri"
)

// Start arms the container's tokens. The runtime waits for its return, and the
// container's first process for the runtime: no instruction of the user's has
// been executed, and what the runtime did to set the container up is over. It
// goes on when the time is up, as a late watch is better than none.
func (a *Agent) Start(ctx context.Context, c nri.Container) {
	a.attempts.started(c.Container)
	a.locks.acquire(context.WithoutCancel(ctx), c.ID)
	defer a.locks.release(c.ID)
	if c.PID == 0 {
		c.PID = a.findPID(c.CgroupPath)
	}
	a.adopt(c, a.now())
}

// findPID is for CRI-O, which before mid-2026 leaves the pid out.
func (a *Agent) findPID(cgroupPath string) int {
	p, err := cgroup.RuntimePath(cgroupPath)
	if err != nil || a.core.cgroups == nil {
		return 0
	}
	pid, err := a.core.cgroups.FirstProcess(p)
	if err != nil {
		a.log.Debug("container's process not found", "error", err)
	}
	return pid
}

// adopt arms the tokens that a container has, whoever planted them: this agent
// or one that ran before it. What the container has is told by its mounts, and
// by a look at its files. Then it gets what it lacks by the policy.
func (a *Agent) adopt(c nri.Container, at time.Time) {
	t, ok := a.note(c, at)
	if !ok {
		return
	}
	c = t.describe()
	a.core.AddContainer(&t.container)
	expected := t.planted
	if expected == nil {
		expected = a.recorded(c)
	}
	expected = a.hookMade(c, expected)
	there := a.present(c, expected)
	a.edit(c.ID, func(t *tenant) {
		t.planted = there
		if len(there) < t.wanted && t.why == "" {
			t.why = whyUnseen
		}
	})
	a.dropUnmounted(c, expected, there)
	a.keepRecord(c, there)
	for _, p := range there {
		if hides := a.arm(c, p); hides != nil {
			a.fail(c.Container, p.token.Name, ReasonExists, hides)
			a.uproot(c, p)
		}
	}
	a.bring(c)
}

// keepRecord writes again a record that was lost with its commit or with the
// database, or that an agent wrote which didn't keep ids.
func (a *Agent) keepRecord(c nri.Container, there []planted) {
	if len(there) == 0 {
		return
	}
	r, err := a.state.Record(c.ID)
	whole := !slices.ContainsFunc(r.Tokens, func(t state.Token) bool {
		gone := !slices.ContainsFunc(there, func(p planted) bool { return t.Name == p.token.Name })
		return t.ID == "" || t.RemovedAt.IsZero() && (t.Inode == 0 || gone)
	})
	for _, p := range there {
		whole = whole && slices.ContainsFunc(r.Tokens, func(t state.Token) bool { return t.Name == p.token.Name && t.RemovedAt.IsZero() })
	}
	if err == nil && whole {
		return
	}
	_ = a.save(c.Container, there) // it says so itself
}

// arm watches a planted file, and makes sure that it is what the container sees.
// It returns an error if the token hides a file that it must not hide.
func (a *Agent) arm(c nri.Container, p planted) (hides error) {
	id := a.identity.PlacementID(c.ID, p.token.Name)
	if a.core.Armed(id) {
		return nil
	}
	hooked := p.strategy == beesting.StrategyHook
	if hooked && !(tenant{state: c.State}).running() {
		return nil // its root can't be looked into
	}
	file, err := a.openToken(c, p)
	if errors.Is(err, errNoLook) {
		a.lookAgain(c.ID)
	}
	if err != nil {
		a.fail(c.Container, p.token.Name, ReasonStateDir, err)
		return nil
	}
	defer file.Close()
	if !hooked {
		a.own(c, p, file)
	}
	if !a.watch(c, p, file) {
		return nil
	}
	if (tenant{state: c.State}).running() && c.PID != 0 {
		if err := a.look(c, p, file); err != nil && !hooked {
			a.fail(c.Container, p.token.Name, ReasonHidden, err)
		}
		return a.surround(c, p, id, file)
	}
	return nil
}

// watch has the sensor watch a planted file.
func (a *Agent) watch(c nri.Container, p planted, file *os.File) bool {
	id, container, token := a.identity.PlacementID(c.ID, p.token.Name), c.Container, p.token
	token.Strategy = p.strategy // as it came about
	err := a.core.Arm(beesting.Placement{
		ID: id, Token: token, TokenID: a.identity.TokenID(c.ID, p.token.Name),
		Container: &container, HostPath: p.file, PlantedAt: p.at,
	}, file)
	if err != nil {
		a.fail(c.Container, p.token.Name, ReasonWatch, err)
		return false
	}
	if p.strategy == beesting.StrategyHook {
		return true // its workload can lock it
	}
	// The container's mount of it is read-only (bindMount, package live).
	if err := a.core.FollowOpens(id); err != nil {
		a.log.Debug("spans of a token will have no end", slog.String("token", p.token.Name), slog.Any("error", err))
	}
	return true
}

// dropUnmounted clears up what was planted and isn't there: the answer came too
// late, another plugin took the mount away again, or somebody in the container.
func (a *Agent) dropUnmounted(c nri.Container, expected, there []planted) {
	for _, p := range expected {
		if slices.ContainsFunc(there, func(q planted) bool { return p.token.Name == q.token.Name }) {
			continue
		}
		err := errors.New("the container was created without the mount")
		if p.strategy != beesting.StrategyBind {
			err = errors.New("the container doesn't have the file any more")
		}
		a.fail(c.Container, p.token.Name, ReasonNotMounted, err)
		a.unplant(c, p)
	}
}

// Stop keeps the tokens armed: the files stay until the container is removed,
// as the runtime may start it again, and a file that is there can be touched.
func (a *Agent) Stop(ctx context.Context, c nri.Container) {
	a.locks.acquire(context.WithoutCancel(ctx), c.ID)
	defer a.locks.release(c.ID)
	a.edit(c.ID, func(t *tenant) { t.state, t.seen, t.container.PID = nri.StateStopped, a.now(), 0 })
	if t, ok := a.tenant(c.ID); ok {
		a.core.AddContainer(&t.container)
	}
}

var errNotStarted = errors.New("the container had tokens and was removed without having been started")

// Remove disarms the container's tokens and removes their files.
func (a *Agent) Remove(ctx context.Context, c nri.Container) {
	a.locks.acquire(context.WithoutCancel(ctx), c.ID)
	defer a.locks.release(c.ID)
	a.remove(c)
}

func (a *Agent) remove(c nri.Container) {
	t, known := a.forget(c.ID)
	all := t.planted
	if len(all) > 0 && a.attempts.failed(t.container) {
		a.failures.add(t.container, "", ReasonNotStarted, errNotStarted)
	}
	if !known {
		all = a.recordedOrNothing(c.ID)
	}
	for _, p := range all {
		if err := a.core.Disarm(a.identity.PlacementID(c.ID, p.token.Name)); err != nil {
			a.failures.add(c.Container, p.token.Name, ReasonWatch, err)
		}
	}
	a.core.RemoveContainer(c.ID)
	a.hooks.forget(c.ID)
	a.discard(c.Container, all)
}

// recordedOrNothing is for a container that is removed before the agent, just
// started, has come to it.
func (a *Agent) recordedOrNothing(id string) []planted {
	r, err := a.state.Record(id)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			a.failures.add(beesting.Container{ID: id}, "", ReasonStateDir, err)
		}
		return nil
	}
	return ofRecord(r)
}

// Missed records a call that the runtime got no answer from.
func (a *Agent) Missed(c nri.Container, r nri.Request, err error) {
	if r == nri.RequestStart {
		a.attempts.started(c.Container)
	}
	reason := ReasonLate
	var broken *nri.PanicError
	if errors.As(err, &broken) {
		reason = ReasonInternal
		a.log.Error("panic", "request", string(r), "stack", string(broken.Stack))
	}
	a.fail(c.Container, "", reason, fmt.Errorf("%s: %w", r, err))
}
