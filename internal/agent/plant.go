package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/state"
	"github.com/beesting-otel/beesting/nri"
)

var errPredecessor = errors.New("the container before it had tokens and did not start")

// Plant makes the files of the container's tokens and returns their mounts, and
// the hook that makes the others. A token that can't be planted is left out; Start
// tries again in another way.
func (a *Agent) Plant(ctx context.Context, c nri.Container) nri.Adjustment {
	if !a.locks.acquire(ctx, c.ID) {
		return nri.Adjustment{} // reported by Missed
	}
	defer a.locks.release(c.ID)
	if _, ok := a.note(c, a.now()); !ok {
		return nri.Adjustment{}
	}
	tokens := a.selector(c.Container)
	if len(tokens) == 0 {
		return nri.Adjustment{}
	}
	v := a.attempts.begin(c.Container)
	if v.unmade {
		a.hooks.made(false)
	}
	if !v.tokens {
		a.fail(c.Container, "", ReasonPredecessor, errPredecessor)
		return nri.Adjustment{}
	}
	hooked, hooks, refused := a.hook(c, tokens, v.hooks)
	done := append(a.write(c, tokens, hooked, refused), hooked...)
	if len(done) == 0 {
		return nri.Adjustment{}
	}
	err := a.save(c.Container, done)
	if err != nil || ctx.Err() != nil { // late: the runtime has its answer
		a.hooks.forget(c.ID)
		a.discard(c.Container, done)
		return nri.Adjustment{}
	}
	a.attempts.planted(c.Container)
	if len(hooks) > 0 {
		a.attempts.hooked(c.Container)
	}
	a.edit(c.ID, func(t *tenant) { t.planted = done })
	adjust := nri.Adjustment{Hooks: hooks}
	for _, p := range done {
		if p.strategy == beesting.StrategyBind {
			adjust.Mounts = append(adjust.Mounts, bindMount(p))
		}
	}
	return adjust
}

// Created notes that the runtime took the container's hook.
func (a *Agent) Created(_ context.Context, c nri.Container) {
	if a.attempts.created(c.Container) {
		a.hooks.made(true)
	}
}

// write makes the files of the tokens that the runtime is to mount, as far as
// possible: of all but those that are hooked. refused says why a hook isn't used.
func (a *Agent) write(c nri.Container, tokens []beesting.Token, hooked []planted, refused error) []planted {
	var done []planted
	mounts := append([]nri.Mount{}, c.Mounts...)
	room := a.core.MaxPlacements() - a.plantedTotal() - len(hooked)
	for _, token := range tokens {
		if token.Strategy == beesting.StrategyLive { // at its start
			continue
		}
		if token.Strategy == beesting.StrategyHook && refused == nil {
			continue
		}
		p, ok := a.writeOne(c, token, mounts, room-len(done))
		if !ok {
			continue
		}
		p.strategy, p.reason = beesting.StrategyBind, whyCreated
		switch token.Strategy {
		case beesting.StrategyBind:
			p.reason = whyConfigured
		case beesting.StrategyHook:
			p.reason = "no hook: " + refused.Error()
		}
		done, mounts = append(done, p), append(mounts, bindMount(p))
	}
	return done
}

// writeOne makes the file of one token, if it can be mounted among mounts and
// there is room for it.
func (a *Agent) writeOne(c nri.Container, token beesting.Token, mounts []nri.Mount, room int) (planted, bool) {
	if err := checkMountPoint(token.Path, mounts); err != nil {
		a.fail(c.Container, token.Name, ReasonMountPoint, fmt.Errorf("mount point %s: %w", token.Path, err))
		return planted{}, false
	}
	if room <= 0 {
		a.fail(c.Container, token.Name, ReasonFull, fmt.Errorf("%w: %d are planted", ErrFull, a.core.MaxPlacements()))
		return planted{}, false
	}
	p := planted{token: described(token), spec: specOf(token), at: a.now().Round(0)}
	born := p.at
	if !c.CreatedAt.IsZero() {
		born = c.CreatedAt // it is there already: so could the file be
	}
	f, err := a.fileOf(c, token, born)
	if err != nil {
		a.fail(c.Container, token.Name, ReasonContent, err)
		return planted{}, false
	}
	a.locks.claim(c.ID, a.state.FilePath(f))
	if p.file, err = a.state.Write(f); err != nil {
		a.fail(c.Container, token.Name, ReasonStateDir, err)
		return planted{}, false
	}
	return p, true
}

// stateFile describes the file of a token, but for its content. It belongs to the
// user that the container runs as, where the runtime tells: a secret that its own workload
// may not read would be a strange one, and an open that permissions deny does
// not come as far as security_file_open.
func stateFile(c nri.Container, token beesting.Token) state.File {
	f := state.File{
		PodUID: c.Pod.UID, ContainerName: c.Name, ContainerID: c.ID, Token: token.Name,
		Mode: token.Mode,
	}
	if f.PodUID == "" {
		f.PodUID = c.Pod.ID
	}
	if c.User != nil {
		f.UID, f.GID = int(c.User.UID), int(c.User.GID)
	}
	return f
}

// fileOf is the whole file of a token, for a container that is told to be planted
// at that time; the same again for the same.
func (a *Agent) fileOf(c nri.Container, token beesting.Token, at time.Time) (state.File, error) {
	f := stateFile(c, token)
	return f, a.fill(&f, c.Container, token, at)
}

// described is what is kept of a planted token.
func described(t beesting.Token) beesting.Token {
	t.Content, t.Template, t.Values = nil, "", nil
	return t
}

// specOf changes with everything that makes a token's file what it is.
func specOf(t beesting.Token) string {
	h := sha256.New()
	for _, s := range []string{t.Kind, strconv.FormatBool(t.Generate), t.Template, string(t.Content), t.Mode.String()} {
		writeText(h, s)
	}
	for _, name := range slices.Sorted(maps.Keys(t.Values)) {
		writeText(h, name)
		writeText(h, t.Values[name])
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// bindMount has the options of a Kubernetes secret volume, and noexec.
func bindMount(p planted) nri.Mount {
	return nri.Mount{
		Source: p.file, Destination: p.token.Path, Type: "bind",
		Options: []string{"bind", "ro", "nosuid", "nodev", "noexec", "rprivate"},
	}
}

// save writes down what a container has, beside what it had once.
func (a *Agent) save(c beesting.Container, all []planted) error {
	r := a.record(c, all)
	before, err := a.state.Record(c.ID)
	if err == nil {
		for _, t := range before.Tokens {
			has := func(now state.Token) bool { return now.Name == t.Name }
			if slices.ContainsFunc(r.Tokens, has) {
				continue
			}
			if t.RemovedAt.IsZero() {
				t.RemovedAt = a.now().Round(0)
			}
			r.Tokens = append(r.Tokens, t)
		}
	}
	if err := a.state.WriteRecord(r); err != nil {
		a.fail(c, "", ReasonStateDir, err)
		return err
	}
	return nil
}

func (a *Agent) record(c beesting.Container, all []planted) state.Record {
	r := state.Record{
		Container: c.ID, Name: c.Name, Namespace: c.Pod.Namespace, Pod: c.Pod.Name, PodUID: c.Pod.UID,
		Image: c.ImageName, CreatedAt: c.CreatedAt,
	}
	for _, p := range all {
		f := p.inode
		if p.file != "" {
			f = inodeAt(p.file)
		}
		r.Tokens = append(r.Tokens, state.Token{
			Name: p.token.Name, Kind: p.token.Kind, Strategy: p.strategy, Path: p.token.Path, File: p.file, PlantedAt: p.at, Made: p.made, Spec: p.spec,
			Dev: f.dev, Inode: f.ino, ID: a.identity.TokenID(c.ID, p.token.Name), PlacementID: a.identity.PlacementID(c.ID, p.token.Name),
		})
	}
	return r
}

// ofRecord is what a record says is planted.
func ofRecord(r state.Record) []planted {
	var all []planted
	for _, t := range r.Tokens {
		if t.RemovedAt.IsZero() {
			token := beesting.Token{Name: t.Name, Kind: t.Kind, Path: t.Path}
			p := planted{token: token, strategy: t.Strategy, reason: whyBefore, file: t.File, made: t.Made, spec: t.Spec, at: t.PlantedAt}
			if t.File == "" {
				p.inode = inode{t.Dev, t.Inode}
			}
			all = append(all, p)
		}
	}
	return all
}

// recordedContainer is what a record says of its container.
func recordedContainer(r state.Record) *beesting.Container {
	return &beesting.Container{
		ID: r.Container, Name: r.Name, ImageName: r.Image, CreatedAt: r.CreatedAt,
		Pod: beesting.Pod{Namespace: r.Namespace, Name: r.Pod, UID: r.PodUID},
	}
}

// discard removes what was made for a container, on disk.
func (a *Agent) discard(c beesting.Container, all []planted) {
	files := make([]string, 0, len(all))
	for _, p := range all {
		if p.file != "" {
			files = append(files, p.file)
		}
	}
	if err := errors.Join(a.state.Remove(files...), a.state.RemoveRecord(c.ID)); err != nil {
		a.failures.add(c, "", ReasonStateDir, err)
	}
}
