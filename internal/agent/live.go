package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/live"
	"github.com/beesting-otel/beesting/internal/rootfs"
	"github.com/beesting-otel/beesting/nri"
)

// Attacher mounts files in containers that are there already. It is package
// live's, but in tests that have no containers. Calls can block for as long as
// the container's file systems do.
type Attacher interface {
	Attach(p live.Process, source *os.File, path string, o live.Options) (live.Attached, error)
	Detach(p live.Process, path string, a live.Attached) error
	HostIDs(p live.Process, uid, gid uint32) (hostUID, hostGID uint32, err error)
}

// mountAPI is the kernel's.
type mountAPI struct{}

// Attach is live.Attach.
func (mountAPI) Attach(p live.Process, source *os.File, path string, o live.Options) (live.Attached, error) {
	return live.Attach(p, source, path, o)
}

// Detach is live.Detach.
func (mountAPI) Detach(p live.Process, path string, a live.Attached) error {
	return live.Detach(p, path, a)
}

// HostIDs is live.HostIDs.
func (mountAPI) HostIDs(p live.Process, uid, gid uint32) (hostUID, hostGID uint32, err error) {
	return live.HostIDs(p, uid, gid)
}

// bring gives a container that is there what it lacks by the policy, and takes
// out what the policy doesn't want in it any more. the container's lock is held.
func (a *Agent) bring(c nri.Container) {
	t, ok := a.tenant(c.ID)
	if !ok || !t.running() || t.container.PID == 0 {
		return
	}
	c = t.describe()
	wanted := a.selector(c.Container)
	for _, p := range t.planted {
		i := slices.IndexFunc(wanted, func(w beesting.Token) bool { return w.Name == p.token.Name })
		if i < 0 || !same(p, wanted[i]) {
			a.uproot(c, p)
		}
	}
	for _, token := range wanted {
		t, _ := a.tenant(c.ID)
		if slices.ContainsFunc(t.planted, func(p planted) bool { return p.token.Name == token.Name }) {
			continue
		}
		if token.Strategy == "" || token.Strategy == beesting.StrategyAuto || token.Strategy == beesting.StrategyLive {
			a.plantLive(c, token)
		}
	}
}

// same reports whether a planted token is what the policy wants under its name.
func same(p planted, want beesting.Token) bool {
	if p.token.Path != want.Path {
		return false
	}
	// Of one that an agent before planted without saying how, it is believed.
	return p.spec == "" || p.spec == specOf(want)
}

// plantLive mounts a token in a container that is there. The watch comes first,
// so that nobody sees the file before the sensor does.
func (a *Agent) plantLive(c nri.Container, token beesting.Token) {
	process, err := a.process(c)
	if err != nil {
		return // it has ended
	}
	// What an earlier try has left behind, of which it was not known how it ended.
	_ = a.core.Disarm(a.identity.PlacementID(c.ID, token.Name))
	p, ok := a.writeOne(c, token, a.left(c.Mounts), a.core.MaxPlacements()-a.plantedTotal())
	if !ok {
		return
	}
	p.strategy, p.reason = beesting.StrategyLive, whyRunning
	if token.Strategy == beesting.StrategyLive {
		p.reason = whyConfigured
	}
	file, err := a.openPlanted(p.file)
	if err != nil {
		a.fail(c.Container, token.Name, ReasonStateDir, err)
		return
	}
	defer file.Close()
	a.own(c, p, file)
	if !a.watch(c, p, file) {
		a.unplant(c, p)
		return
	}
	made, err := a.attach(process, p.file, token)
	switch {
	case errors.Is(err, errNoLook):
		// It may still happen: the file stays, and so does the watch.
		a.fail(c.Container, token.Name, ReasonLive, err)
		p.pending = true
		a.keep(c, p)
		a.lookAgain(c.ID)
		return
	case err != nil:
		a.unplant(c, p)
		if !errors.Is(err, live.ErrGone) {
			a.fail(c.Container, token.Name, reasonOf(err), err)
		}
		return
	}
	p.made = made
	a.keep(c, p)
	a.succeed(c.ID, token.Name)
	// Nothing is hidden but what may be: Attach has looked.
	_ = a.surround(c, p, a.identity.PlacementID(c.ID, token.Name), file)
	a.log.Info("token planted in a container that runs", slog.String("token", token.Name), slog.String("path", token.Path),
		slog.String("container", c.ID), slog.String("pod", c.Pod.Name), slog.String("namespace", c.Pod.Namespace))
}

// keep notes a token that its container has.
func (a *Agent) keep(c nri.Container, p planted) {
	a.edit(c.ID, func(t *tenant) { t.planted = append(slices.Clip(t.planted), p) })
	if t, ok := a.tenant(c.ID); ok {
		_ = a.save(c.Container, t.planted) // it says so itself
	}
}

// left leaves out the mounts of tokens that were taken out while the container ran:
// the runtime goes on to list them.
func (a *Agent) left(mounts []nri.Mount) []nri.Mount {
	used := a.used()
	return slices.DeleteFunc(slices.Clone(mounts), func(m nri.Mount) bool {
		// One that isn't used is there again, for an agent that was killed then.
		return a.state.Owns(m.Source) && (inodeAt(m.Source) == (inode{}) || !used[m.Source])
	})
}

func reasonOf(err error) Reason {
	if errors.Is(err, live.ErrExists) {
		return ReasonExists
	}
	return ReasonLive
}

// attach mounts a planted file. It opens it for itself, as it may go on after the
// time is up.
func (a *Agent) attach(process live.Process, file string, token beesting.Token) ([]live.Made, error) {
	type result struct {
		live.Attached
		error
	}
	options := live.Options{Overwrite: token.Overwrite, Resume: true}
	r, ok := await(a.attaches, func() result {
		source, err := a.openPlanted(file)
		if err != nil {
			return result{error: err}
		}
		defer source.Close()
		attached, err := a.attacher.Attach(process, source, token.Path, options)
		return result{attached, err}
	})
	if !ok {
		return nil, errNoLook
	}
	return r.Made, r.error
}

// uproot takes a token out of a container that goes on. One that can't be taken
// out stays watched.
func (a *Agent) uproot(c nri.Container, p planted) {
	process, err := a.process(c)
	if err != nil {
		return // it has ended, and Remove will come
	}
	err, ok := await(a.attaches, func() error {
		if p.strategy == beesting.StrategyHook {
			return a.removeMade(c, p)
		}
		f := inodeAt(p.file)
		return a.attacher.Detach(process, p.token.Path, live.Attached{Source: live.Inode{Dev: f.dev, Ino: f.ino}, Made: p.made})
	})
	if !ok {
		err = errNoLook
		a.lookAgain(c.ID)
	}
	if errors.Is(err, live.ErrGone) {
		return
	}
	if err != nil && !errors.Is(err, live.ErrNotAttached) {
		a.fail(c.Container, p.token.Name, ReasonLive, err)
		return
	}
	a.unplant(c, p)
	a.edit(c.ID, func(t *tenant) {
		t.planted = slices.DeleteFunc(slices.Clone(t.planted), func(q planted) bool { return q.token.Name == p.token.Name })
	})
	if t, ok := a.tenant(c.ID); ok {
		_ = a.save(c.Container, t.planted) // it says so itself
	}
	a.log.Info("token taken out of a container that runs", slog.String("token", p.token.Name), slog.String("path", p.token.Path),
		slog.String("container", c.ID), slog.String("pod", c.Pod.Name), slog.String("namespace", c.Pod.Namespace))
}

// removeMade removes what a hook made in the container's root. The container can
// put another file in its place meanwhile, which it could have removed itself.
func (a *Agent) removeMade(c nri.Container, p planted) error {
	f, err := a.openToken(c, p)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errHidden) {
		return live.ErrNotAttached
	}
	if err != nil {
		return err
	}
	defer f.Close()
	root, err := rootfs.Open(filepath.Join(string(a.core.proc), fmt.Sprint(c.PID), "root"))
	if err != nil {
		return err
	}
	defer root.Close()
	return root.Remove(p.token.Path)
}

// unplant lets go of a token that its container doesn't have.
func (a *Agent) unplant(c nri.Container, p planted) {
	if err := a.core.Disarm(a.identity.PlacementID(c.ID, p.token.Name)); err != nil {
		a.failures.add(c.Container, p.token.Name, ReasonWatch, err)
	}
	if p.file == "" {
		return
	}
	if err := a.state.Remove(p.file); err != nil {
		a.failures.add(c.Container, p.token.Name, ReasonStateDir, err)
	}
}

// process is the container's first process as it is now.
func (a *Agent) process(c nri.Container) (live.Process, error) {
	ticks, err := a.core.proc.StartTicks(c.PID)
	if err != nil {
		return live.Process{}, err
	}
	return live.Process{PID: c.PID, Start: ticks, ProcRoot: string(a.core.proc)}, nil
}

// own gives a planted file to the user that the container runs as, where that is
// another one on the host: the runtime's word counts in the container's user
// namespace, which is there only now. It is a matter of looking right.
func (a *Agent) own(c nri.Container, p planted, file *os.File) {
	if c.User == nil || c.PID == 0 {
		return
	}
	process, err := a.process(c)
	if err != nil {
		return
	}
	uid, gid, err := a.attacher.HostIDs(process, c.User.UID, c.User.GID)
	if err == nil && (uid != c.User.UID || gid != c.User.GID) {
		// By its path below /proc, as an O_PATH descriptor can't be used (open(2)).
		err = os.Chown(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), int(uid), int(gid))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, live.ErrGone) {
		a.log.Debug("owner of a token not set", slog.String("token", p.token.Name), slog.String("container", c.ID), slog.Any("error", err))
	}
}
