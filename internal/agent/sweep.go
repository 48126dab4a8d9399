package agent

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/beesting-otel/beesting/nri"
)

const (
	// maxRefuted bounds how many ids are remembered that no snapshot had.
	maxRefuted = 8192
	// Between two registrations that a sweep asks for. The longer one is reached
	// when they are in vain, and then an agent is blind for milliseconds a day.
	minResync = 30 * time.Second
	maxResync = time.Hour
)

// sweepTimesTable has when it is looked after a synchronization. A container that
// was created during it can be long in the making.
var sweepTimesTable = [...]time.Duration{2 * time.Second, 10 * time.Second, 30 * time.Second}

// SweepStats says what was found of containers that the runtime did not tell of:
// containerd (2.4, issue 13698) reports none that is created while it
// synchronizes a plugin.
type SweepStats struct {
	// Looks is how often the cgroups were looked through.
	Looks uint64 `json:"looks"`
	// Resyncs counts the registrations that were made because of an unknown
	// container, Found the containers that were told then, Unknown those that
	// were not: they are none of the runtime's, and are left alone from then on.
	Resyncs uint64 `json:"resyncs"`
	Found   uint64 `json:"found"`
	Unknown uint64 `json:"unknown"`
	// LastError says why the cgroups could not be looked through the last time.
	LastError string `json:"last_error,omitempty"`
}

// sweeper looks for cgroups of containers that the agent doesn't know, and has the
// runtime tell all its containers anew if there are any. Every id is the reason
// for that once at most: whatever a snapshot doesn't have that was taken after the
// cgroup was seen is no container of the runtime.
type sweeper struct {
	look   func() (map[string]string, error) // paths by id; nil without cgroup v2
	lives  func(path string) bool            // has processes
	resync func()
	log    *slog.Logger
	now    func() time.Time // the clock of snapshots
	setUp  time.Duration
	times  []time.Duration

	wake chan struct{} // holds the word that there was a synchronization

	mu        sync.Mutex
	sandboxes map[string]struct{}
	asked     map[string]struct{} // ids that a later snapshot is expected to have
	askedAt   time.Time
	refuted   *fifo[string, struct{}]
	pause     time.Duration // before the next registration
	last      time.Time     // of the latest one, by the monotonic clock
	stats     SweepStats
}

func (a *Agent) newSweeper() *sweeper {
	s := &sweeper{
		resync: a.plugin.Resync, log: a.log, now: a.now, setUp: a.setUp, times: sweepTimesTable[:], wake: make(chan struct{}, 1),
		sandboxes: map[string]struct{}{}, asked: map[string]struct{}{}, refuted: newFIFO[string, struct{}](maxRefuted), pause: minResync,
	}
	if fs := a.core.cgroups; fs != nil {
		s.look = fs.PodContainers
		s.lives = func(path string) bool {
			pid, err := fs.FirstProcess(path)
			return err == nil && pid != 0
		}
	}
	return s
}

// synchronized takes what a snapshot has, which the agent has dealt with.
func (s *sweeper) synchronized(snapshot nri.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sandboxes = make(map[string]struct{}, len(snapshot.Sandboxes))
	for _, id := range snapshot.Sandboxes {
		s.sandboxes[id] = struct{}{}
	}
	if len(s.asked) > 0 && !snapshot.Received.Before(s.askedAt) {
		s.answered(snapshot)
	}
	select {
	case s.wake <- struct{}{}:
	default: // the word is out
	}
}

// answered takes the snapshot that was asked for; s.mu is held.
func (s *sweeper) answered(snapshot nri.Snapshot) {
	found := uint64(0)
	for _, c := range snapshot.Containers {
		if _, ok := s.asked[c.ID]; ok {
			found++
			delete(s.asked, c.ID)
		}
	}
	for id := range s.asked {
		if _, sandbox := s.sandboxes[id]; !sandbox {
			s.refuted.set(id, struct{}{})
			s.stats.Unknown++
		}
	}
	clear(s.asked)
	s.stats.Found += found
	if found == 0 {
		s.pause = min(2*s.pause, maxResync)
		return
	}
	s.pause = minResync
	s.log.Warn("containers found that the runtime had not told of", slog.Uint64("containers", found))
}

// run looks some times after each synchronization, until ctx ends. known reports
// whether the agent has heard of a container.
func (s *sweeper) run(ctx context.Context, known func() map[string]bool) {
	if s.look == nil {
		return
	}
	var looks []time.Time // to come
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var due <-chan time.Time
		if len(looks) > 0 {
			timer.Reset(time.Until(looks[0]))
			due = timer.C
		}
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
			looks = looks[:0]
			for _, d := range s.times {
				looks = append(looks, time.Now().Add(d))
			}
		case <-due:
			looks = looks[1:]
			if wait := s.sweep(ctx, known); wait > 0 && len(looks) == 0 {
				looks = append(looks, time.Now().Add(wait))
			}
		}
	}
}

// sweep asks for another registration if there are unknown containers which are
// still unknown after the time that setting one up takes. If it is too early for
// that it returns for how long.
func (s *sweeper) sweep(ctx context.Context, known func() map[string]bool) (wait time.Duration) {
	first := s.unknown(known)
	if len(first) == 0 {
		return 0
	}
	select {
	case <-ctx.Done():
		return 0
	case <-time.After(s.setUp):
	}
	second := s.unknown(known)
	maps.DeleteFunc(second, func(id string, _ struct{}) bool {
		_, both := first[id]
		return !both
	})
	if len(second) == 0 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if wait := s.pause - time.Since(s.last); !s.last.IsZero() && wait > 0 {
		return wait
	}
	s.last, s.asked, s.askedAt = time.Now(), second, s.now()
	s.stats.Resyncs++
	s.log.Info("cgroups of containers that the runtime has not told of", slog.Int("cgroups", len(second)))
	s.resync()
	return 0
}

// unknown are the ids of containers' cgroups that have processes and that nobody
// has told the agent of.
func (s *sweeper) unknown(known func() map[string]bool) map[string]struct{} {
	there, err := s.look()
	heard := known() // after the look: who was told of meanwhile is not unknown
	s.mu.Lock()
	s.stats.Looks++
	s.stats.LastError = ""
	if err != nil {
		s.stats.LastError = err.Error()
	}
	unknown := map[string]struct{}{}
	for id := range there {
		_, sandbox := s.sandboxes[id]
		_, refuted := s.refuted.get(id)
		if !heard[id] && !sandbox && !refuted {
			unknown[id] = struct{}{}
		}
	}
	s.mu.Unlock()
	maps.DeleteFunc(unknown, func(id string, _ struct{}) bool { return !s.lives(there[id]) })
	return unknown
}

func (s *sweeper) status() SweepStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// heard are the containers that the agent has been told of, and their sandboxes.
func (a *Agent) heard() map[string]bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make(map[string]bool, 2*len(a.tenants))
	for id, t := range a.tenants {
		all[id], all[t.container.Pod.ID] = true, true
	}
	for id := range a.removed.values {
		all[id] = true
	}
	return all
}
