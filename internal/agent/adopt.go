package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/cgroup"
	"github.com/beesting-otel/beesting/internal/rootfs"
	"github.com/beesting-otel/beesting/internal/state"
	"github.com/beesting-otel/beesting/nri"
)

// Start arms the container's tokens. The runtime waits for its return, and the
// container's first process for the runtime: no instruction of the user's has
// been executed, and what the runtime did to set the container up is over. It
// goes on when the time is up, as a late watch is better than none.
func (a *Agent) Start(ctx context.Context, c nri.Container) {
	a.attempts.started(c.Container)
	a.acquire(context.WithoutCancel(ctx))
	defer a.release()
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
// or one that ran before it. What the container has is told by its mounts.
func (a *Agent) adopt(c nri.Container, at time.Time) {
	t, ok := a.note(c, at)
	if !ok {
		return
	}
	c.Container, c.State = t.container, t.state
	a.core.AddContainer(&t.container)
	expected := t.planted
	if expected == nil {
		expected = a.recorded(c)
	}
	var there []planted
	for _, m := range c.Mounts {
		if !a.state.Owns(m.Source) {
			continue
		}
		p, ok := a.match(c, m, expected)
		if !ok {
			a.failures.add(c.Container, "", ReasonForeign, fmt.Errorf("mount %s: %s is not a file of this container", m.Destination, m.Source))
			continue
		}
		there = append(there, p)
	}
	a.edit(c.ID, func(t *tenant) {
		t.planted = there
		if len(there) < t.wanted && t.why == "" {
			t.why = whyUnseen
		}
	})
	for _, p := range there {
		a.arm(c, p)
	}
	a.dropUnmounted(c, expected, there)
	a.keepRecord(c, there)
}

// keepRecord writes again a record that was lost with its commit or with the
// database, or that an agent wrote which didn't keep ids.
func (a *Agent) keepRecord(c nri.Container, there []planted) {
	if len(there) == 0 {
		return
	}
	r, err := a.state.Record(c.ID)
	whole := !slices.ContainsFunc(r.Tokens, func(t state.Token) bool { return t.ID == "" })
	if err == nil && whole {
		return
	}
	if err := a.state.WriteRecord(a.record(c.Container, there)); err != nil {
		a.failures.add(c.Container, "", ReasonStateDir, err)
	}
}

// recorded reads what an agent before this one planted.
func (a *Agent) recorded(c nri.Container) []planted {
	if !a.hasPlantedMount(c) {
		return nil
	}
	r, err := a.state.Record(c.ID)
	if err != nil {
		// The path and the policy say most of it, see match.
		a.failures.add(c.Container, "", ReasonStateDir, err)
		return nil
	}
	var all []planted
	for _, t := range r.Tokens {
		token := beesting.Token{Name: t.Name, Kind: t.Kind, Path: t.Path}
		all = append(all, planted{token: token, file: t.File, at: t.PlantedAt})
	}
	return all
}

func (a *Agent) hasPlantedMount(c nri.Container) bool {
	for _, m := range c.Mounts {
		if a.state.Owns(m.Source) {
			return true
		}
	}
	return false
}

// match finds out which token a mount is. A pod can mount any path of the host
// if it is allowed to: another container's file must not become this one's.
func (a *Agent) match(c nri.Container, m nri.Mount, expected []planted) (planted, bool) {
	for _, p := range expected {
		if p.file == m.Source && p.token.Path == m.Destination {
			return p, true
		}
	}
	for _, token := range a.selector(c.Container) {
		if token.Path == m.Destination && a.state.FilePath(stateFile(c, token)) == m.Source {
			token.Content = nil
			return planted{token: token, file: m.Source}, true
		}
	}
	return planted{}, false
}

// arm watches the planted file, and makes sure that it is what the container
// sees.
func (a *Agent) arm(c nri.Container, p planted) {
	id := a.identity.PlacementID(c.ID, p.token.Name)
	if a.core.Armed(id) {
		return
	}
	file, err := a.openPlanted(p.file)
	if err != nil {
		a.fail(c.Container, p.token.Name, ReasonStateDir, err)
		return
	}
	defer file.Close()
	container := c.Container
	err = a.core.Arm(beesting.Placement{
		ID: id, Token: p.token, TokenID: a.identity.TokenID(c.ID, p.token.Name),
		Container: &container, HostPath: p.file, PlantedAt: p.at,
	}, file)
	if err != nil {
		a.fail(c.Container, p.token.Name, ReasonWatch, err)
		return
	}
	// The container's mount of it is read-only (bindMount).
	if err := a.core.FollowOpens(id); err != nil {
		a.log.Debug("spans of a token will have no end", slog.String("token", p.token.Name), slog.Any("error", err))
	}
	if (tenant{state: c.State}).running() && c.PID != 0 {
		if err := a.look(c, p, file); err != nil {
			a.fail(c.Container, p.token.Name, ReasonHidden, err)
		}
		a.surround(c, p, id, file)
	}
}

// openPlanted opens a planted file for looking at, by a path that can't lead out of
// the state directory.
func (a *Agent) openPlanted(file string) (*os.File, error) {
	root, err := rootfs.Open(a.state.Path())
	if err != nil {
		return nil, err
	}
	defer root.Close()
	rel, err := filepath.Rel(a.state.Path(), file)
	if err != nil {
		return nil, fmt.Errorf("planted file: %w", err)
	}
	return root.Lookup(rel)
}

var (
	errHidden = errors.New("the container sees another file there")
	errNoLook = errors.New("the container's file system doesn't answer")
)

// look compares the planted file with what the container has at the token's
// path. A container that ends meanwhile has nothing there, and no fault.
func (a *Agent) look(c nri.Container, p planted, file *os.File) error {
	want, err := file.Stat()
	if err != nil {
		return err
	}
	began, err := a.core.proc.StartTicks(c.PID)
	if err != nil {
		return nil //nolint:nilerr // the process has ended
	}
	err, ok := await(a.looks, func() error { return a.visible(c, p, want) })
	if !ok {
		return errNoLook
	}
	if now, gone := a.core.proc.StartTicks(c.PID); gone != nil || now != began {
		return nil //nolint:nilerr // the process has ended
	}
	return err
}

// visible relies on a bind mount showing the same device and inode in every
// mount namespace.
func (a *Agent) visible(c nri.Container, p planted, want os.FileInfo) error {
	root, err := rootfs.Open(filepath.Join(string(a.core.proc), fmt.Sprint(c.PID), "root"))
	if err != nil {
		return err
	}
	defer root.Close()
	seen, err := root.Lookup(p.token.Path)
	if err != nil {
		return err
	}
	defer seen.Close()
	got, err := seen.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(want, got) {
		return fmt.Errorf("%s: %w", p.token.Path, errHidden)
	}
	return nil
}

// dropUnmounted clears up what was planted and not mounted: the answer came too
// late, or another plugin took the mount away again.
func (a *Agent) dropUnmounted(c nri.Container, expected, there []planted) {
	for _, p := range expected {
		mounted := false
		for _, q := range there {
			mounted = mounted || p.file == q.file
		}
		if mounted {
			continue
		}
		a.fail(c.Container, p.token.Name, ReasonNotMounted, errors.New("the container was created without the mount"))
		if err := a.state.Remove(p.file); err != nil {
			a.failures.add(c.Container, p.token.Name, ReasonStateDir, err)
		}
	}
}

// Stop keeps the tokens armed: the files stay until the container is removed,
// as the runtime may start it again, and a file that is there can be touched.
func (a *Agent) Stop(ctx context.Context, c nri.Container) {
	a.acquire(context.WithoutCancel(ctx))
	defer a.release()
	a.edit(c.ID, func(t *tenant) { t.state, t.seen, t.container.PID = nri.StateStopped, a.now(), 0 })
	if t, ok := a.tenant(c.ID); ok {
		a.core.AddContainer(&t.container)
	}
}

var errNotStarted = errors.New("the container had tokens and was removed without having been started")

// Remove disarms the container's tokens and removes their files.
func (a *Agent) Remove(ctx context.Context, c nri.Container) {
	a.acquire(context.WithoutCancel(ctx))
	defer a.release()
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
	var all []planted
	for _, t := range r.Tokens {
		all = append(all, planted{token: beesting.Token{Name: t.Name}, file: t.File})
	}
	return all
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
