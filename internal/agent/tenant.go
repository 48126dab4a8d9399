package agent

import (
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/live"
	"github.com/beesting-otel/beesting/nri"
)

// maxRemoved bounds how many removed containers are remembered, so that a
// snapshot of the runtime that was taken before can't bring them back.
const maxRemoved = 4096

// tenant is a container of the node.
type tenant struct {
	container beesting.Container
	state     nri.State
	mounts    []nri.Mount
	user      *nri.User
	userNS    bool
	seen      time.Time // when the runtime last spoke of it
	wanted    int       // tokens by policy
	planted   []planted // replaced, never changed
	why       string    // why fewer are planted than wanted
	// lackedSince is zero while it has what is wanted or doesn't run.
	lackedSince time.Time
	failed      map[string]string // what was last said of a token that isn't planted
}

// planted is one token in one container.
type planted struct {
	token    beesting.Token // without content
	strategy beesting.Strategy
	reason   string      // why that strategy
	file     string      // on the host; empty if hook
	inode    inode       // if hook
	made     []live.Made // in the container, for the file to be mounted
	spec     string      // see specOf; empty if not known
	at       time.Time
	pending  bool // it may not be there: the mount gave no answer in time
}

// describe is the container as the runtime last described it.
func (t tenant) describe() nri.Container {
	return nri.Container{Container: t.container, State: t.state, Mounts: t.mounts, User: t.user, UserNamespace: t.userNS}
}

// note brings what is known of a container up to date with what the runtime said
// at a time, and returns a copy. Later news is not overwritten. It returns false
// for a container that has been removed.
func (a *Agent) note(c nri.Container, at time.Time) (tenant, bool) {
	wanted := len(a.selector(c.Container))
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, gone := a.removed.get(c.ID); gone {
		return tenant{}, false
	}
	t := a.tenants[c.ID]
	if t == nil {
		t = &tenant{}
		a.tenants[c.ID] = t
	}
	t.wanted = wanted
	if !t.seen.After(at) {
		t.container, t.state, t.seen = c.Container, c.State, at
		t.mounts, t.user, t.userNS = c.Mounts, c.User, c.UserNamespace
	}
	t.lackedOrNot(a.now())
	return *t, true
}

// lackedOrNot is called after each change.
func (t *tenant) lackedOrNot(now time.Time) {
	switch {
	case !t.lacks():
		t.lackedSince = time.Time{}
	case t.lackedSince.IsZero():
		t.lackedSince = now
	}
}

func (a *Agent) edit(id string, f func(*tenant)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t := a.tenants[id]; t != nil {
		f(t)
		t.lackedOrNot(a.now())
	}
}

// forget returns what was known of a container, if anything was.
func (a *Agent) forget(id string) (tenant, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.removed.set(id, struct{}{})
	t := a.tenants[id]
	if t == nil {
		return tenant{}, false
	}
	delete(a.tenants, id)
	return *t, true
}

func (a *Agent) tenant(id string) (tenant, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.tenants[id]
	if t == nil {
		return tenant{}, false
	}
	return *t, true
}

// plantedTotal counts the planted tokens of the node.
func (a *Agent) plantedTotal() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, t := range a.tenants {
		n += len(t.planted)
	}
	return n
}

// running reports whether the container has processes, as far as is known.
func (t tenant) running() bool {
	switch t.state {
	case nri.StateCreated, nri.StateRunning, nri.StatePaused:
		return true
	default:
		return false
	}
}

// lacks reports whether a container that runs has fewer tokens than the policy
// wants.
func (t tenant) lacks() bool { return t.sure() < t.wanted && t.running() }

// sure counts the tokens that are known to be there.
func (t tenant) sure() (n int) {
	for _, p := range t.planted {
		if !p.pending {
			n++
		}
	}
	return n
}

// fail records why a container lacks a token. What was said last of the same token
// in the same container isn't said again: a snapshot of the runtime has every
// container tried once more.
func (a *Agent) fail(c beesting.Container, token string, r Reason, err error) {
	said := false
	a.edit(c.ID, func(t *tenant) {
		t.why = err.Error()
		if token == "" {
			return
		}
		said = t.failed[token] == t.why
		if t.failed == nil {
			t.failed = map[string]string{}
		}
		t.failed[token] = t.why
	})
	if !said {
		a.failures.add(c, token, r, err)
	}
}

// succeed forgets why a container lacked a token.
func (a *Agent) succeed(container, token string) {
	a.edit(container, func(t *tenant) { delete(t.failed, token) })
}
