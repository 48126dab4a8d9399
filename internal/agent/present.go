package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/content"
	"github.com/beesting-otel/beesting/internal/rootfs"
	"github.com/beesting-otel/beesting/nri"
)

// Why a token was planted in the way it was; a part of the status.
const (
	whyConfigured = "configured"
	whyCreated    = "mounted as the container was made"
	whyRunning    = "the container was there already"
	whyBefore     = "planted by an agent before this one"
)

// present finds out which tokens a container has. Those that the runtime has
// mounted are among its mounts. Those that were mounted later aren't: they are
// written down, or, if the agent was killed before that, their files are where
// they would be; either way it is looked for them in the container.
func (a *Agent) present(c nri.Container, expected []planted) []planted {
	var there []planted
	for _, m := range c.Mounts {
		if !a.state.Owns(m.Source) {
			continue
		}
		p, ok := a.match(c, m, expected)
		switch {
		case inodeAt(m.Source) == (inode{}):
			// Taken out while the container ran, of which the runtime knows nothing. If it
			// is expected all the same, the agent was killed before that was written down.
		case !ok:
			a.failures.add(c.Container, "", ReasonForeign, fmt.Errorf("mount %s: %s is not a file of this container", m.Destination, m.Source))
		case !slices.ContainsFunc(expected, func(e planted) bool { return e.file == p.file }) && !a.sees(c, &p):
			// Taken out, and written again for mounting it anew, as far as which an agent
			// came. The runtime's list says nothing of either.
		default:
			there = append(there, p)
		}
	}
	for _, p := range a.perhaps(c, expected, there) {
		if a.sees(c, &p) {
			there = append(there, p)
		}
	}
	return there
}

// perhaps are the tokens that may have been attached to a running container.
func (a *Agent) perhaps(c nri.Container, expected, there []planted) []planted {
	var all []planted
	has := func(name string) bool {
		named := func(p planted) bool { return p.token.Name == name }
		return slices.ContainsFunc(there, named) || slices.ContainsFunc(all, named)
	}
	for _, p := range expected {
		if p.strategy != beesting.StrategyBind && !has(p.token.Name) {
			all = append(all, p)
		}
	}
	for _, token := range a.selector(c.Container) {
		file := a.state.Find(stateFile(c, token))
		expects := func(p planted) bool { return p.file == file }
		if token.Strategy == beesting.StrategyHook && len(expected) == 0 && !has(token.Name) {
			all = append(all, planted{token: described(token), spec: specOf(token), strategy: beesting.StrategyHook, reason: whyBefore})
			continue
		}
		if has(token.Name) || slices.ContainsFunc(expected, expects) || inodeAt(file) == (inode{}) {
			continue
		}
		all = append(all, planted{token: described(token), spec: specOf(token), strategy: beesting.StrategyLive, reason: whyBefore, file: file})
	}
	return all
}

// sees reports whether a running container has the planted file; of one that
// doesn't run nobody can say, and nothing is taken from it.
func (a *Agent) sees(c nri.Container, p *planted) bool {
	hooked := p.strategy == beesting.StrategyHook
	if !(tenant{state: c.State}).running() || c.PID == 0 {
		return hooked && p.inode != (inode{}) || inodeAt(p.file) != (inode{})
	}
	file, err := a.openToken(c, *p)
	if err == nil {
		defer file.Close()
		if hooked {
			p.inode = inodeOf(file)
		} else {
			err = a.look(c, *p, file)
		}
	}
	switch {
	case errors.Is(err, errNoLook):
		a.lookAgain(c.ID)
	case err == nil:
		p.pending = false
		a.succeed(c.ID, p.token.Name)
	}
	return err == nil || errors.Is(err, errNoLook)
}

// openToken opens a planted file for looking at: in the state directory, or in the
// container's own root if a hook made it there.
func (a *Agent) openToken(c nri.Container, p planted) (*os.File, error) {
	if p.strategy != beesting.StrategyHook {
		return a.openPlanted(p.file)
	}
	type result struct {
		*os.File
		error
	}
	r, ok := await(a.looks, func() result {
		root, err := rootfs.Open(filepath.Join(string(a.core.proc), fmt.Sprint(c.PID), "root"))
		if err != nil {
			return result{nil, err}
		}
		defer root.Close()
		f, err := root.Lookup(p.token.Path)
		if err == nil && !a.made(c, p, f) {
			err = errors.Join(fmt.Errorf("%s: %w", p.token.Path, errHidden), f.Close())
		}
		return result{f, err}
	})
	if !ok {
		return nil, errNoLook
	}
	return r.File, r.error
}

// made reports whether a file is the one that the hook made: the inode that it
// showed, or, if the agent was killed before that was written down, one that holds
// the token's id or its content.
func (a *Agent) made(c nri.Container, p planted, f *os.File) bool {
	if p.inode != (inode{}) {
		return inodeOf(f) == p.inode
	}
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return false
	}
	if st.Size() > beesting.MaxTokenContent {
		return false
	}
	has, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return false
	}
	want := a.wish(c, p)
	if !want.Generate {
		return len(has) > 0 && bytes.Equal(has, want.Content)
	}
	id := a.identity.TokenID(c.ID, p.token.Name)
	return slices.ContainsFunc(content.Trace(has), func(f content.Found) bool { return f.ID != "" && strings.HasPrefix(id, f.ID) })
}

// recorded reads what an agent before this one planted.
func (a *Agent) recorded(c nri.Container) []planted {
	r, err := a.state.Record(c.ID)
	if errors.Is(err, fs.ErrNotExist) && !a.hasPlantedMount(c) {
		return nil
	}
	if err != nil {
		// The path and the policy say most of it, see match.
		a.failures.add(c.Container, "", ReasonStateDir, err)
		return nil
	}
	return ofRecord(r)
}

// hasPlantedMount reports whether a file of the state directory is mounted that
// is there.
func (a *Agent) hasPlantedMount(c nri.Container) bool {
	for _, m := range c.Mounts {
		if a.state.Owns(m.Source) && inodeAt(m.Source) != (inode{}) {
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
		if token.Path == m.Destination && a.state.Find(stateFile(c, token)) == m.Source {
			return planted{token: described(token), spec: specOf(token), strategy: beesting.StrategyBind, reason: whyBefore, file: m.Source}, true
		}
	}
	return planted{}, false
}

// openPlanted opens a planted file for looking at, by a path that can't lead out of
// the directory of such files.
func (a *Agent) openPlanted(file string) (*os.File, error) {
	dir, ok := a.state.Split(file)
	if !ok {
		return nil, fmt.Errorf("planted file %s: %w", file, fs.ErrNotExist)
	}
	root, err := rootfs.Open(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	rel, err := filepath.Rel(dir, file)
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
