package agent

import (
	"sync"

	"github.com/beesting-otel/beesting"
)

// maxAttempts bounds how many containers' starts are remembered.
const maxAttempts = 4096

// attempts is the last resort of the rule that a workload never fails because
// of a token. Whether runc can make a mount point shows only when it tries: a
// link in the image can lead into a read-only volume, the path can be a
// directory, a part of it a file. So when a container with tokens did not come
// to its start, the next container in its place gets none; when that one
// doesn't start either, the tokens weren't the reason, and the one after gets
// them again.
//
// The kubelet makes a new container with the same pod and name when one could
// not be started.
type attempts struct {
	mu   sync.Mutex
	last *fifo[string, *attempt]
}

type attempt struct {
	container        string
	planted, started bool
	hooked, created  bool // it was to get a hook; it was made
	suspect          bool // the one before was planted and did not start
	hookless         bool // one before was to get a hook and was not made
}

// verdict is what a container may get.
type verdict struct {
	tokens, hooks bool
	// unmade says that the one before was to get a hook and was not made: hooks
	// are to blame first.
	unmade bool
}

func newAttempts() *attempts {
	return &attempts{last: newFIFO[string, *attempt](maxAttempts)}
}

// place names what a container and its successors have in common; empty if the
// runtime doesn't say.
func place(c beesting.Container) string {
	pod := c.Pod.UID
	if pod == "" {
		pod = c.Pod.ID
	}
	if pod == "" || c.Name == "" {
		return ""
	}
	return pod + "/" + c.Name
}

// begin notes a container that is being created, and says what it may get.
func (a *attempts) begin(c beesting.Container) verdict {
	key := place(c)
	if key == "" {
		return verdict{tokens: true, hooks: true}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	next, v := &attempt{container: c.ID}, verdict{}
	if before, ok := a.last.get(key); ok {
		next.suspect, next.hookless = before.suspect, before.hookless
		switch {
		case before.started:
		case before.hooked && !before.created:
			v.unmade, next.hookless = true, true
		default:
			next.suspect = before.planted
		}
	}
	a.last.set(key, next)
	v.tokens, v.hooks = !next.suspect, !next.hookless
	return v
}

// hooked notes that the container gets a hook.
func (a *attempts) hooked(c beesting.Container) {
	a.edit(c, func(t *attempt) { t.hooked = true })
}

// created notes that the container was made, and reports whether with a hook.
func (a *attempts) created(c beesting.Container) (hooked bool) {
	a.edit(c, func(t *attempt) { t.created, hooked = true, t.hooked })
	return hooked
}

// planted notes that the container gets tokens.
func (a *attempts) planted(c beesting.Container) {
	a.edit(c, func(t *attempt) { t.planted = true })
}

// started notes that the container came to its start.
func (a *attempts) started(c beesting.Container) {
	a.edit(c, func(t *attempt) { t.started = true })
}

// failed reports whether the container got tokens and did not come to its
// start.
func (a *attempts) failed(c beesting.Container) bool {
	failed := false
	a.edit(c, func(t *attempt) { failed = t.planted && !t.started })
	return failed
}

// unseen notes that the agent could not see whether containers started.
func (a *attempts) unseen() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.last.values {
		t.started, t.created = true, true
	}
}

func (a *attempts) edit(c beesting.Container, f func(*attempt)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t, ok := a.last.get(place(c)); ok && t.container == c.ID {
		f(t)
	}
}
