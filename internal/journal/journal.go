package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/beesting-otel/beesting/internal/state"
)

// The defaults of Options.
const (
	DefaultMaxBytes = 256 << 20
	DefaultMaxAge   = 7 * 24 * time.Hour
	MinMaxBytes     = 4 << 20
)

const (
	// maxWaiting bounds the entries that are taken and not written, in memory.
	maxWaiting = 8192
	// maxGroup bounds the bytes of a commit; who comes then waits for the next.
	maxGroup = 8 << 20
	// tailEntries is how many of the newest entries stay in memory for the cursors.
	tailEntries = 1024
	// flushEvery is how often at most the disk is asked to keep what was written.
	flushEvery = 100 * time.Millisecond
	// retryEvery is how soon at most a disk is tried again that took nothing.
	retryEvery = time.Second
	// cursorsEvery is how often where the cursors stand is written down for itself.
	cursorsEvery = 200 * time.Millisecond
)

var (
	// ErrFull is what Append returns when the disk takes nothing and as much as
	// may be is in memory.
	ErrFull = errors.New("journal is full")
	// ErrClosed is what methods return after Close.
	ErrClosed = errors.New("journal is closed")
	// ErrLocked says that another process has the journal.
	ErrLocked = state.ErrLocked
)

// Options are how a journal is kept.
type Options struct {
	// MaxBytes bounds the files together, MaxAge how old an entry gets: what is
	// beyond is removed, also where it has not been delivered. The defaults stand
	// for 0, and there are 4 MiB at least.
	MaxBytes int64
	MaxAge   time.Duration
	// Log is required. It hears of damage, of a disk that takes nothing, and of
	// entries that are removed before they were delivered.
	Log *slog.Logger
	// Now is time.Now if nil.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	o.MaxBytes = max(o.MaxBytes, MinMaxBytes)
	if o.MaxAge <= 0 {
		o.MaxAge = DefaultMaxAge
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// segmentBytes is when a new segment begins: an eighth of what there may be, so
// that little is removed at once.
func (o Options) segmentBytes() int64 { return min(o.MaxBytes/8, 16<<20) }

// Journal is open for appending. Safe for concurrent use.
type Journal struct {
	dir   string
	o     Options
	codec codec
	lock  *os.File
	dead  *deadLetters

	// files is held for reading while segments are read or written, and for
	// writing while one is closed.
	files sync.RWMutex

	mu       sync.Mutex
	segments []*segment // oldest first; the last one is written to
	next     uint64     // the next entry's number
	open     *group     // entries that the next commit takes; nil if there are none
	writing  bool       // somebody commits
	waiting  *frame     // what could not be written and is part of the next commit
	retryAt  time.Time  // not tried again before, while something waits
	tail     []Entry    // the newest entries, up to next-1
	cursors  map[string]*Cursor
	stored   map[string]uint64 // where cursors stood that nobody has opened
	unknown  uint64            // where cursors begin that are not in stored; 0 for next
	moved    bool              // a cursor has, since that was written down
	dirty    bool              // something was written since the last flush
	closed   bool
	stats    Stats

	wake chan struct{} // holds a token when there is something to flush
	stop chan struct{}
	done chan struct{}
}

// group is what one commit takes.
type group struct {
	frame
	entries []Entry
	done    chan struct{}
}

// Stats are a journal's numbers since it was opened, but for those that say now.
type Stats struct {
	Appended uint64 `json:"appended"` // entries
	Commits  uint64 `json:"commits"`
	// Refused entries found the disk taking nothing, and no room in memory.
	Refused uint64 `json:"refused"`
	// Dropped entries were removed before a cursor had them, once for each.
	Dropped uint64 `json:"dropped"`
	// Damaged counts entries that were lost to damaged files, as far as that can be
	// said: how many stood at the end of the newest file, nobody knows.
	Damaged      uint64 `json:"damaged"`
	DamagedFiles uint64 `json:"damaged_files"`
	FailedWrites uint64 `json:"failed_writes"`
	// Waiting are the entries in memory now that the disk doesn't take, for the
	// reason in Error.
	Waiting int    `json:"waiting"`
	Error   string `json:"error,omitempty"`
	// Bytes and Segments are what is on the disk now.
	Bytes    int64 `json:"bytes"`
	Segments int   `json:"segments"`
	// Pending are the entries that a cursor has still to deliver, now.
	Pending map[string]int `json:"pending"`
	// LagSeconds is how long ago the first of them was appended, by cursor, at
	// least; 0 where there is none.
	LagSeconds map[string]float64 `json:"lag_seconds"`
	// DeadLetters are set aside now, and DeadDropped were, for want of room.
	DeadLetters int    `json:"dead_letters"`
	DeadDropped uint64 `json:"dead_dropped"`
	// FlushSeconds is how long the last flush took.
	FlushSeconds float64 `json:"flush_seconds"`
}

// Open opens the journal in dir, which is made if it is missing. Only one process
// may have it. What is damaged is set aside, and what is still whole of it kept.
// An error that is ErrLocked says that another process has it.
func Open(dir string, o Options) (_ *Journal, err error) {
	o = o.withDefaults()
	c, err := newCodec()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{
		dir: dir, o: o, codec: c, cursors: map[string]*Cursor{}, stored: map[string]uint64{}, next: 1,
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	if j.lock, err = state.Lock(dir); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if err := j.load(); err != nil {
		return nil, errors.Join(err, j.release())
	}
	j.dead = openDead(dir, c, o)
	go j.keep()
	return j, nil
}

// Below is where the journal of a state directory is.
func Below(stateDir string) string { return filepath.Join(stateDir, "journal") }

// OpenBelow opens the journal of a state directory for an agent. An agent that
// watches all the same, and delivers from memory, is worth more than none: where the
// disk has no place for a journal the log says so, and it returns nil. The error
// says that another agent uses the directory.
func OpenBelow(stateDir string, o Options) (*Journal, error) {
	j, err := Open(Below(stateDir), o)
	switch {
	case errors.Is(err, ErrLocked):
		return nil, fmt.Errorf("state directory %s: another agent uses it: %w", stateDir, err)
	case err != nil:
		o.Log.Error("no journal: what is not delivered when this process ends is lost", slog.Any("error", err))
		return nil, nil
	}
	return j, nil
}

// Append keeps entries, all of them or, with ErrFull or ErrClosed, none, and gives
// them to the cursors. When it returns they outlive the process; where the disk
// takes nothing, they are kept in memory and written as soon as it does. What they
// refer to must not be changed afterwards.
func (j *Journal) Append(entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	encoded := room(len(entries))
	own := make([]Entry, len(entries))
	now := j.o.Now()
	for i, e := range entries {
		e.Recorded = now
		e.strip()
		var err error
		if encoded, err = j.codec.encode(encoded, &e); err != nil {
			return err
		}
		own[i] = e
	}
	j.mu.Lock()
	for j.open != nil && len(j.open.raw)+len(encoded) > maxGroup {
		g := j.open
		j.mu.Unlock()
		<-g.done
		j.mu.Lock()
	}
	g, err := j.join(own, encoded)
	if err != nil {
		j.stats.Refused += uint64(len(own))
		j.mu.Unlock()
		return err
	}
	if !j.writing {
		j.commit()
	}
	j.mu.Unlock()
	<-g.done
	return nil
}

// join makes entries part of the next commit; j.mu is held. Who comes while that
// is under way waits for the one after it, together with all others.
func (j *Journal) join(entries []Entry, encoded []byte) (*group, error) {
	switch {
	case j.closed:
		return nil, ErrClosed
	case j.waiting != nil && int(j.waiting.count)+len(entries) > maxWaiting:
		return nil, ErrFull
	}
	if j.open == nil {
		j.open = &group{done: make(chan struct{})}
	}
	for i := range entries {
		entries[i].Seq = j.next
		j.next++
	}
	j.open.add(entries, encoded)
	j.open.entries = append(j.open.entries, entries...)
	return j.open, nil
}

// commit writes what there is until there is nothing; j.mu is held, but not while
// it writes.
func (j *Journal) commit() {
	j.writing = true
	for j.open != nil {
		g := j.open
		j.open = nil
		f := &g.frame
		if j.waiting != nil { // these have waited longer
			j.waiting.join(f)
			f = j.waiting
		}
		if f != j.waiting || !time.Now().Before(j.retryAt) {
			j.write(f)
		}
		j.stats.Appended += uint64(len(g.entries))
		j.hand(g.entries)
		close(g.done)
	}
	j.writing = false
}

// hand gives new entries to the cursors; j.mu is held.
func (j *Journal) hand(entries []Entry) {
	j.tail = append(j.tail, entries...)
	keep := tailEntries
	if j.waiting != nil {
		keep = max(keep, int(j.waiting.count))
	}
	if over := len(j.tail) - keep; over > tailEntries { // moved now and then, not each time
		j.tail = append([]Entry(nil), j.tail[over:]...)
	}
	for _, c := range j.cursors {
		c.offer(entries)
	}
}

// positions is where all cursors stand; j.mu is held.
func (j *Journal) positions() map[string]uint64 {
	at := make(map[string]uint64, len(j.cursors)+len(j.stored)+1)
	for name, seq := range j.stored {
		at[name] = seq
	}
	for name, c := range j.cursors {
		at[name] = c.position()
	}
	at[marker] = 1
	return at
}

// Stats returns the journal's numbers.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.stats
	s.Segments, s.Pending, s.LagSeconds = len(j.segments), make(map[string]int, len(j.cursors)), make(map[string]float64, len(j.cursors))
	for _, seg := range j.segments {
		s.Bytes += seg.size
	}
	if j.waiting != nil {
		s.Waiting = int(j.waiting.count)
	}
	for name, c := range j.cursors {
		s.Pending[name], s.LagSeconds[name] = c.pending, c.lag().Seconds()
	}
	s.DeadLetters, s.DeadDropped = j.dead.count()
	return s
}
