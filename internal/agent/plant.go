package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/state"
	"github.com/beesting-otel/beesting/nri"
)

var errPredecessor = errors.New("the container before it had tokens and did not start")

// Plant makes the files of the container's tokens and returns their mounts. A
// token that can't be planted is left out.
func (a *Agent) Plant(ctx context.Context, c nri.Container) []nri.Mount {
	if !a.acquire(ctx) {
		return nil // reported by Missed
	}
	defer a.release()
	if _, ok := a.note(c, a.now()); !ok {
		return nil
	}
	tokens := a.selector(c.Container)
	if len(tokens) == 0 {
		return nil
	}
	if !a.attempts.begin(c.Container) {
		a.fail(c.Container, "", ReasonPredecessor, errPredecessor)
		return nil
	}
	done := a.write(c, tokens)
	if len(done) == 0 {
		return nil
	}
	err := a.state.WriteRecord(record(c.Container, done))
	if err != nil {
		a.fail(c.Container, "", ReasonStateDir, err)
	}
	if err != nil || ctx.Err() != nil { // late: the runtime has its answer
		a.discard(c.Container, done)
		return nil
	}
	a.attempts.planted(c.Container)
	a.edit(c.ID, func(t *tenant) { t.planted = done })
	mounts := make([]nri.Mount, 0, len(done))
	for _, p := range done {
		mounts = append(mounts, bindMount(p))
	}
	return mounts
}

// write makes the files, as far as possible.
func (a *Agent) write(c nri.Container, tokens []beesting.Token) []planted {
	var done []planted
	mounts := append([]nri.Mount{}, c.Mounts...)
	room := a.core.MaxPlacements() - a.plantedTotal()
	for _, token := range tokens {
		if err := checkMountPoint(token.Path, mounts); err != nil {
			a.fail(c.Container, token.Name, ReasonMountPoint, fmt.Errorf("mount point %s: %w", token.Path, err))
			continue
		}
		if len(done) >= room {
			a.fail(c.Container, token.Name, ReasonFull, fmt.Errorf("%w: %d are planted", ErrFull, a.core.MaxPlacements()))
			continue
		}
		f := stateFile(c, token)
		if err := a.fill(&f, c.Container, token); err != nil {
			a.fail(c.Container, token.Name, ReasonContent, err)
			continue
		}
		file, err := a.state.Write(f)
		if err != nil {
			a.fail(c.Container, token.Name, ReasonStateDir, err)
			continue
		}
		token.Content = nil
		p := planted{token: token, file: file, at: a.now().Round(0)}
		done, mounts = append(done, p), append(mounts, bindMount(p))
	}
	return done
}

// stateFile describes the file of a token, but for its content. It belongs to the user that the
// container runs as, where the runtime tells: a secret that its own workload
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

// bindMount has the options of a Kubernetes secret volume, and noexec.
func bindMount(p planted) nri.Mount {
	return nri.Mount{
		Source: p.file, Destination: p.token.Path, Type: "bind",
		Options: []string{"bind", "ro", "nosuid", "nodev", "noexec", "rprivate"},
	}
}

func record(c beesting.Container, all []planted) state.Record {
	r := state.Record{Container: c.ID, Name: c.Name, Namespace: c.Pod.Namespace, Pod: c.Pod.Name, PodUID: c.Pod.UID}
	for _, p := range all {
		r.Tokens = append(r.Tokens, state.Token{
			Name: p.token.Name, Kind: p.token.Kind, Path: p.token.Path, File: p.file, PlantedAt: p.at,
		})
	}
	return r
}

// recordedContainer is what a record says of its container.
func recordedContainer(r state.Record) *beesting.Container {
	return &beesting.Container{
		ID: r.Container, Name: r.Name,
		Pod: beesting.Pod{Namespace: r.Namespace, Name: r.Pod, UID: r.PodUID},
	}
}

// discard removes what was made for a container, on disk.
func (a *Agent) discard(c beesting.Container, all []planted) {
	files := make([]string, 0, len(all))
	for _, p := range all {
		files = append(files, p.file)
	}
	if err := errors.Join(a.state.Remove(files...), a.state.RemoveRecord(c.ID)); err != nil {
		a.failures.add(c, "", ReasonStateDir, err)
	}
}
