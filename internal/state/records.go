package state

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// maxPendingGone bounds how many removed containers wait for the disk to take
// them into the history. Records of containers that are there are bounded by
// the containers of the node.
const maxPendingGone = 4096

var errClosed = fmt.Errorf("container record: state directory: %w", os.ErrClosed)

// Stats says how the records fare. It is a copy, made for JSON.
type Stats struct {
	// Containers have a record; History is how many placements of removed ones
	// are on disk.
	Containers int `json:"containers"`
	History    int `json:"history"`
	// Pending counts the containers whose last change is not on disk yet, and
	// PendingSince is when the oldest of these was made. Where they stay, Error
	// says why; it is the last commit's, empty if that went well.
	Pending      int       `json:"pending"`
	PendingSince time.Time `json:"pending_since,omitzero"`
	Error        string    `json:"error,omitempty"`
	// Commits and FailedCommits are since Open; CommitSeconds is how long the
	// last one took.
	Commits       uint64  `json:"commits"`
	FailedCommits uint64  `json:"failed_commits"`
	CommitSeconds float64 `json:"commit_seconds"`
	// Dropped counts the removed containers that are not in the history because
	// too many waited for a disk that took none.
	Dropped uint64 `json:"dropped"`
	// SetAside is the file that holds a damaged database found by this Open;
	// empty if there was none.
	SetAside string `json:"set_aside,omitempty"`
}

// change is what a commit has to do for one container.
type change struct {
	live *Record // to be stored; nil if there is no record any more
	gone *Record // to be added to the history; nil if there is nothing to add
}

// records are in memory, and follow on disk. Writers of records meet the mutex
// only, which is never held during I/O.
type records struct {
	db   *database
	old  oldLayout // used by Open, then by the writer
	log  *slog.Logger
	now  func() time.Time
	step func(string)
	// release is called when the last commit is over.
	release func() error

	wake chan struct{} // holds one: there is something to commit
	stop chan struct{}
	done chan struct{} // closed when the writer has ended
	end  sync.Once

	mu      sync.Mutex
	closed  bool
	live    map[string]Record // by recordKey
	pending map[string]change
	gone    int               // of pending and flight
	flight  map[string]change // those of the commit under way
	stats   Stats
	endErr  error // of release, once done is closed
}

func newRecords(db *database, o Options, release func() error) *records {
	return &records{
		db: db, log: o.Log, now: o.Now, step: o.Step, release: release,
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		live: map[string]Record{}, pending: map[string]change{},
	}
}

func (s *records) put(r Record) error {
	r = r.clone()
	key := recordKey(r.Container)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	s.live[key] = r
	c := s.pending[key]
	c.live = &r
	s.note(key, c)
	s.step("record noted")
	return nil
}

func (s *records) get(container string) (Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.live[recordKey(container)]
	if !ok {
		return Record{}, fmt.Errorf("container record: %s: %w", clip([]byte(container)), fs.ErrNotExist)
	}
	return r.clone(), nil
}

func (s *records) remove(container string) error {
	at := s.now().UTC().Round(0)
	key := recordKey(container)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	r, ok := s.live[key]
	if !ok {
		return nil
	}
	delete(s.live, key)
	r.RemovedAt = at
	c := s.pending[key]
	c.live = nil
	switch {
	case len(r.Tokens) == 0: // nothing to remember
	case c.gone == nil && s.gone >= maxPendingGone:
		s.stats.Dropped++
	default:
		if c.gone == nil {
			s.gone++
		}
		c.gone = &r
	}
	s.note(key, c)
	s.step("removal noted")
	return nil
}

// note has c committed; s.mu is held.
func (s *records) note(key string, c change) {
	if len(s.pending) == 0 && len(s.flight) == 0 {
		s.stats.PendingSince = s.now()
	}
	s.pending[key] = c
	s.poke()
}

func (s *records) poke() {
	select {
	case s.wake <- struct{}{}:
	default: // the writer is going to look anyway
	}
}

// containers returns the ids of all containers with a record, sorted.
func (s *records) containers() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, r := range s.live {
		all = append(all, r.Container)
	}
	slices.Sort(all)
	return all
}

func (s *records) statistics() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Containers = len(s.live)
	st.Pending = len(s.pending)
	for key := range s.flight {
		if _, again := s.pending[key]; !again {
			st.Pending++
		}
	}
	if st.Pending == 0 {
		st.PendingSince = time.Time{}
	}
	return st
}

// close has the writer commit what is pending and end. After the time-out it
// goes on by itself, and the directory stays locked until it has ended.
func (s *records) close(timeout time.Duration) error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end.Do(func() { close(s.stop) })
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-s.done:
	case <-timer.C:
		return fmt.Errorf("container records: %d are not on disk after %v: %w", s.statistics().Pending, timeout, os.ErrDeadlineExceeded)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.pending); n > 0 {
		return errors.Join(fmt.Errorf("container records: %d are not on disk: %s", n, s.stats.Error), s.endErr)
	}
	return s.endErr
}
