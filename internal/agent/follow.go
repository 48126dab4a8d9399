package agent

import (
	"context"
	"maps"
	"slices"
	"time"
)

// A container whose file system did not answer in time is looked at again after
// firstAgain, twice as long each time, up to lastAgain: a machine can be slow.
const (
	firstAgain = 2 * time.Second
	lastAgain  = time.Minute
)

// lookAgain has a container looked at again, of which something is not known for
// want of an answer.
func (a *Agent) lookAgain(container string) {
	a.mu.Lock()
	a.again[container] = true
	a.mu.Unlock()
	select {
	case a.unsure <- struct{}{}:
	default: // the word is out
	}
}

// follow applies the policy whenever it has changed, once the containers that ran
// before are known, and looks again where that was asked for.
func (a *Agent) follow(ctx context.Context) {
	select {
	case <-a.ready:
	case <-ctx.Done():
		return
	}
	wait := firstAgain
	var due <-chan time.Time
	for {
		select {
		case <-a.changed:
			a.apply(ctx)
		case <-a.unsure:
			if due == nil {
				due = time.After(wait)
			}
		case <-due:
			due = nil
			a.adoptAgain(ctx)
			wait = min(2*wait, lastAgain)
			if !a.anyAgain() {
				wait = firstAgain
			}
		case <-ctx.Done():
			return
		}
	}
}

func (a *Agent) anyAgain() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.again) > 0
}

// adoptAgain does for the containers to be looked at again what their start did.
func (a *Agent) adoptAgain(ctx context.Context) {
	a.mu.Lock()
	ids := slices.Sorted(maps.Keys(a.again))
	clear(a.again)
	a.mu.Unlock()
	for _, id := range ids {
		if !a.locks.acquire(ctx, id) {
			return
		}
		if t, ok := a.tenant(id); ok && t.running() {
			a.adopt(t.describe(), t.seen)
		}
		a.locks.release(id)
	}
}
