package agent

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/nri"
)

// hierarchy stands for the cgroups, and for a runtime that tells what it is made to.
type hierarchy struct {
	mu      sync.Mutex
	cgroups map[string]string // paths by id
	known   map[string]bool
	resyncs int
}

func (h *hierarchy) sweeper() *sweeper {
	return &sweeper{
		look: func() (map[string]string, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			return maps.Clone(h.cgroups), nil
		},
		lives: func(path string) bool { return path != "/empty" },
		resync: func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.resyncs++
		},
		log: slog.New(slog.DiscardHandler), now: time.Now, wake: make(chan struct{}, 1),
		sandboxes: map[string]struct{}{}, asked: map[string]struct{}{}, refuted: newFIFO[string, struct{}](maxRefuted),
	}
}

func (h *hierarchy) heard() map[string]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.known)
}

func (h *hierarchy) snapshot(containers ...string) nri.Snapshot {
	s := nri.Snapshot{Received: time.Now(), Sandboxes: []string{"pause"}}
	for _, id := range containers {
		s.Containers = append(s.Containers, nri.Container{Container: beesting.Container{ID: id}})
	}
	return s
}

func TestSweepAsksForWhatIsUnknown(t *testing.T) {
	h := &hierarchy{cgroups: map[string]string{"told": "/a", "pause": "/b", "untold": "/c", "dead": "/empty"}, known: map[string]bool{"told": true}}
	s := h.sweeper()
	s.synchronized(h.snapshot("told"))
	s.sweep(t.Context(), h.heard)
	if h.resyncs != 1 || len(s.asked) != 1 {
		t.Fatalf("%d registrations, for %v", h.resyncs, s.asked)
	}
	s.synchronized(nri.Snapshot{Received: s.askedAt.Add(-time.Second)}) // the one before comes to its end
	if len(s.asked) != 1 {
		t.Error("an earlier snapshot was taken for the answer")
	}
	h.known["untold"] = true
	s.synchronized(h.snapshot("told", "untold"))
	s.sweep(t.Context(), h.heard)
	if got := s.status(); h.resyncs != 1 || got.Found != 1 || got.Unknown != 0 || got.Resyncs != 1 || got.Looks != 3 {
		t.Errorf("%d registrations, %+v", h.resyncs, got)
	}
}

// A cgroup that is nobody's container is the reason for one registration, and
// others of its kind for fewer and fewer.
func TestSweepGivesUp(t *testing.T) {
	h := &hierarchy{cgroups: map[string]string{"stray": "/a"}, known: map[string]bool{}}
	s := h.sweeper()
	s.synchronized(h.snapshot())
	for range 3 {
		s.sweep(t.Context(), h.heard)
		s.synchronized(h.snapshot())
	}
	if got := s.status(); h.resyncs != 1 || got.Unknown != 1 || got.Found != 0 {
		t.Errorf("%d registrations, %+v", h.resyncs, got)
	}
	s.pause = minResync
	h.cgroups["another"] = "/b"
	if wait := s.sweep(t.Context(), h.heard); h.resyncs != 1 || wait <= 0 || wait > minResync {
		t.Errorf("%d registrations in a row, again in %v", h.resyncs, wait)
	}
	s.last = s.last.Add(-minResync)
	if wait := s.sweep(t.Context(), h.heard); h.resyncs != 2 || wait != 0 {
		t.Errorf("%d registrations, again in %v", h.resyncs, wait)
	}
	s.synchronized(h.snapshot())
	if s.pause != 2*minResync {
		t.Errorf("after a registration in vain: %v", s.pause)
	}
}

// One that the runtime tells of while it is being set up is no reason.
func TestSweepWaitsForTheSetUp(t *testing.T) {
	h := &hierarchy{cgroups: map[string]string{"new": "/a"}, known: map[string]bool{}}
	s := h.sweeper()
	asked := 0
	s.sweep(t.Context(), func() map[string]bool {
		asked++
		return map[string]bool{"new": asked > 1} // told of between the two looks
	})
	if h.resyncs != 0 {
		t.Error("registered for a container that was just being made")
	}
}

// The whole loop: each synchronization has looks of its own.
func TestSweeperRuns(t *testing.T) {
	h := &hierarchy{cgroups: map[string]string{"untold": "/a"}, known: map[string]bool{}}
	s := h.sweeper()
	s.times, s.pause = []time.Duration{time.Millisecond, 2 * time.Millisecond}, time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { s.run(ctx, h.heard); close(done) }()
	s.synchronized(h.snapshot())
	until(t, "a registration", func() bool { return s.status().Resyncs == 1 })
	s.synchronized(h.snapshot("untold"))
	until(t, "the container", func() bool { st := s.status(); return st.Found == 1 && st.Looks >= 4 })
	cancel()
	<-done
}
