package sensortest

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/beesting-otel/beesting/bpf"
)

// Key names what the kernel side counts by.
type Key struct {
	Placement uint64
	PID       uint32
	Start     time.Duration
	Kind      bpf.Kind
	Variant   uint8
}

type repeat struct {
	total     uint64
	last, due time.Duration
}

// Exemption is one that was asked for.
type Exemption struct {
	File   os.FileInfo // nil for a cgroup
	Actor  bpf.Actor
	Cgroup uint64
	Closed bool
}

// counter returns the counters of a placement, new if there were none; s.mu is
// held.
func (s *Fake) counter(id uint64) *bpf.Count {
	if s.counts[id] == nil {
		s.counts[id] = &bpf.Count{}
	}
	return s.counts[id]
}

// Act counts a touch as the kernel does, and puts its event in if there is to be
// one. It reports whether there is.
func (s *Fake) Act(e bpf.Event, room bool) bool {
	e, sent := s.Tally(e, room)
	if sent {
		s.Events <- e
	}
	return sent
}

// Tally counts a touch as the kernel does. It returns the event that is sent if
// it is the process's first, or a second after the one before. Without room in
// the ring, a first event is lost and a later one waits for the next touch.
func (s *Fake) Tally(e bpf.Event, room bool) (bpf.Event, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.counter(e.Placement)
	n.Seen[e.Kind]++
	key := Key{e.Placement, e.PID, e.StartTime, e.Kind, e.Variant}
	r := s.repeats[key]
	if r == nil {
		r = &repeat{}
		s.repeats[key] = r
	}
	r.total++
	r.last = e.Time
	e.Total = r.total
	switch {
	case e.Time < r.due:
		return e, false
	case room:
		r.due = e.Time + time.Second
	case r.total == 1:
		n.Lost[e.Kind]++
	}
	return e, room
}

// Evict makes the kernel forget how often a process touched.
func (s *Fake) Evict(k Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.repeats, k)
}

// Miscount adds touches of which there is neither event nor repeat.
func (s *Fake) Miscount(id uint64, k bpf.Kind, n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counter(id).Seen[k] += n
}

// Resume says that the sensor was found attached.
func (s *Fake) Resume(since time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resumed = &bpf.Resumed{Since: since}
}

// Count implements agent.Sensor, as all below.
func (s *Fake) Count(id uint64) (bpf.Count, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.counts[id]
	if n == nil {
		return bpf.Count{}, fmt.Errorf("placement %#x: %w", id, os.ErrNotExist)
	}
	return *n, nil
}

// Account returns what was set.
func (s *Fake) Account(id uint64) (bpf.Account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accounts[id], nil
}

// SetAccount keeps the account.
func (s *Fake) SetAccount(id uint64, a bpf.Account) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[id] = a
	return nil
}

// Repeats returns all counts.
func (s *Fake) Repeats() ([]bpf.Repeat, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]bpf.Repeat, 0, len(s.repeats))
	for k, r := range s.repeats {
		all = append(all, bpf.Repeat{
			Placement: k.Placement, PID: k.PID, StartTime: k.Start, Kind: k.Kind, Variant: k.Variant, Total: r.total, Last: r.last,
		})
	}
	return all, nil
}

// Placements returns those that have counters.
func (s *Fake) Placements() ([]uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]uint64, 0, len(s.counts))
	for id := range s.counts {
		all = append(all, id)
	}
	return all, nil
}

// Forget drops a placement's counters.
func (s *Fake) Forget(id uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(id)
	return nil
}

// drop takes a placement's counters away; s.mu is held.
func (s *Fake) drop(id uint64) {
	delete(s.counts, id)
	delete(s.accounts, id)
	for k := range s.repeats {
		if k.Placement == id {
			delete(s.repeats, k)
		}
	}
}

// Resumed returns what Resume set.
func (s *Fake) Resumed() (bpf.Resumed, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.resumed == nil {
		return bpf.Resumed{}, false
	}
	return *s.resumed, true
}

// SignOfLife counts, for SignsOfLife.
func (s *Fake) SignOfLife() { s.signs.Add(1) }

// SignsOfLife says how often there was one.
func (s *Fake) SignsOfLife() int { return int(s.signs.Load()) }

// Pinned returns Stays.
func (s *Fake) Pinned() bool { return s.Stays }

// Tier is the default.
func (*Fake) Tier() bpf.Tier { return bpf.TierDefault }

// Coverage says that opens are seen and nothing else is.
func (*Fake) Coverage() []bpf.KindSupport {
	return []bpf.KindSupport{{Kind: bpf.KindOpen, Seen: true}, {Kind: bpf.KindStat, Note: "not by a fake"}}
}

// Exempt notes the binary.
func (s *Fake) Exempt(f *os.File, a bpf.Actor) (io.Closer, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.exempt)
	s.exempt = append(s.exempt, Exemption{File: fi, Actor: a})
	return watch(func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.exempt[n].Closed = true
		return nil
	}), nil
}

// ExemptCgroup notes the cgroup.
func (s *Fake) ExemptCgroup(id uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exempt = append(s.exempt, Exemption{Cgroup: id, Actor: bpf.ActorAllowed})
	return nil
}

// ForgetEarlier has nothing to forget.
func (s *Fake) ForgetEarlier() error { return nil }

// Exemptions returns those that were asked for.
func (s *Fake) Exemptions() []Exemption {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Exemption{}, s.exempt...)
}

// WatchCovered implements agent.Surroundings, as all below.
func (s *Fake) WatchCovered(f *os.File, id uint64) (io.Closer, error) {
	return s.watchBeside(f, id, "covered")
}

// WatchDirectory notes the directory.
func (s *Fake) WatchDirectory(f *os.File, id uint64) (io.Closer, error) {
	return s.watchBeside(f, id, "directory")
}

// Beside names what is watched beside a placement's file.
type Beside struct {
	Placement uint64
	What      string // "covered" or "directory"
}

func (s *Fake) watchBeside(f *os.File, id uint64, what string) (io.Closer, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for other, seen := range s.beside {
		if other.Placement != id && os.SameFile(fi, seen) {
			return nil, &bpf.WatchedError{Placement: other.Placement}
		}
	}
	key := Beside{id, what}
	s.beside[key] = fi
	return watch(func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.beside, key)
		return nil
	}), nil
}

// Beside returns what is watched beside a placement's file, or nil.
func (s *Fake) Beside(b Beside) os.FileInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.beside[b]
}

// WatchName counts the name.
func (s *Fake) WatchName(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[name]++
	return nil
}

// ForgetName takes one back.
func (s *Fake) ForgetName(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[name]--
	return nil
}

// Names returns how often a name is watched.
func (s *Fake) Names(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names[name]
}
