package agent

import (
	"context"
	"path/filepath"
	"strings"
	"sync"

	"github.com/beesting-otel/beesting/internal/state"
)

// locks are one lock for each container that is being dealt with. With a single
// one for all, a container whose file systems don't answer would have the
// runtime's requests for every other one wait: live planting gives a token up to
// 400 ms, and the runtime sends one request after the other.
type locks struct {
	mu   sync.Mutex
	held map[string]*lock

	// files are the paths that are being written for the holders' containers, so
	// that they aren't taken for leftovers before they are in use.
	fileMu sync.Mutex
	files  map[string]string // container by path
}

type lock struct {
	turn  chan struct{} // held by sending to it
	users int           // who hold it and who wait for it
}

func newLocks() *locks {
	return &locks{held: map[string]*lock{}, files: map[string]string{}}
}

// acquire waits for the container's turn until ctx ends.
func (l *locks) acquire(ctx context.Context, container string) bool {
	l.mu.Lock()
	k := l.held[container]
	if k == nil {
		k = &lock{turn: make(chan struct{}, 1)}
		l.held[container] = k
	}
	k.users++
	l.mu.Unlock()
	select {
	case k.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		l.leave(container, k)
		return false
	}
}

// release ends what acquire began, and the claims of the container's files.
func (l *locks) release(container string) {
	l.fileMu.Lock()
	for path, owner := range l.files {
		if owner == container {
			delete(l.files, path)
		}
	}
	l.fileMu.Unlock()
	l.mu.Lock()
	k := l.held[container]
	l.mu.Unlock()
	<-k.turn
	l.leave(container, k)
}

func (l *locks) leave(container string, k *lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.users--; k.users == 0 {
		delete(l.held, container)
	}
}

// claim keeps removeUnused off a file, and off one with an unfinished name beside
// it, until the container's lock, which is held, is released.
func (l *locks) claim(container, path string) {
	l.fileMu.Lock()
	defer l.fileMu.Unlock()
	l.files[path] = container
}

// removeUnused calls remove if nobody writes the file and it isn't in use. A
// claim that comes meanwhile waits for it.
func (l *locks) removeUnused(path string, used func() bool, remove func() error) error {
	l.fileMu.Lock()
	defer l.fileMu.Unlock()
	unfinished := strings.HasPrefix(filepath.Base(path), state.Unfinished)
	for claimed := range l.files {
		if claimed == path || unfinished && filepath.Dir(claimed) == filepath.Dir(path) {
			return nil
		}
	}
	if used() {
		return nil
	}
	return remove()
}
