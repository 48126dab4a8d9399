//go:build linux && (amd64 || arm64)

package fanotify

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/bpf"
)

const (
	// A guard that doesn't live may have its reasons in the tokens' files, and
	// the kernel denies an access each time: a few tries, and it is over.
	maxRestarts = 5
	restartTime = time.Minute
	// sweepInterval keeps thousands of looks at /proc from becoming a habit.
	sweepInterval = 10 * time.Second
)

// run handles what the guard says, and starts another one when it has ended.
func (s *Sensor) run() {
	defer close(s.looks)
	var ends []time.Time
	for {
		s.mu.Lock()
		g := s.guard
		s.mu.Unlock()
		s.serve(g)
		g.finish()
		if s.ctx.Err() != nil {
			return
		}
		// Killed by its timer, or on its own account: neither is news.
		_ = g.close()
		now := time.Now()
		ends = append(ends, now)
		if len(ends) > maxRestarts {
			if now.Sub(ends[0]) < restartTime {
				s.events.close(fmt.Errorf("guard ended %d times in %v", len(ends), now.Sub(ends[0]).Round(time.Second)))
				return
			}
			ends = ends[1:]
		}
		if err := s.restart(); err != nil {
			s.events.close(err)
			return
		}
	}
}

// serve returns when the guard has ended.
func (s *Sensor) serve(g *guard) {
	for {
		m, err := g.read()
		var malformed *bpf.DecodeError
		switch {
		case errors.As(err, &malformed):
			s.mu.Lock()
			s.stats.DecodeErrors++
			s.mu.Unlock()
		case err != nil:
			return
		default:
			s.handle(g, m)
		}
	}
}

func (s *Sensor) restart() error {
	g, err := startGuard(s.ctx)
	if err != nil {
		return fmt.Errorf("restart of the guard: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.Join(os.ErrClosed, g.close())
	}
	s.guard = g
	s.stats.Lost[LostGuard]++
	s.opens.clear()
	clear(s.execs)
	clear(s.readers)
	// Not here: the answers to it are read by this goroutine.
	s.work.Go(func() { s.remark(g) })
	return nil
}

// remark sets the marks once more. One that can't be set ends the guard, and
// with that, before long, the sensor: nothing is left unwatched quietly.
func (s *Sensor) remark(g *guard) {
	s.marking.Lock()
	defer s.marking.Unlock()
	s.mu.Lock()
	pins := make([]*os.File, 0, len(s.watches))
	for w := range s.watches {
		pins = append(pins, w.pin)
	}
	s.mu.Unlock()
	for _, pin := range pins {
		if err := g.mark(toMark, markedEvents, pin); err != nil {
			_ = g.conn.Close()
			return
		}
	}
}

func (s *Sensor) handle(g *guard, m message) {
	switch m.Type {
	case fromEvent:
		s.event(g, m)
	case fromResult:
		select {
		case g.results <- m:
		default: // nobody has asked
		}
	case fromFlushed:
		g.pass(m.Seq)
	case fromLate:
		s.mu.Lock()
		s.late++
		s.mu.Unlock()
	case fromLost:
		s.unanswered(m)
	case fromOverflow:
		s.mu.Lock()
		s.stats.Lost[LostQueueOverflow] += uint64(m.Count)
		s.mu.Unlock()
	}
}

// unanswered counts the touches that the guard let go without a word.
func (s *Sensor) unanswered(m message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kind := bpf.KindOpen
	switch {
	case m.Mask&unix.FAN_OPEN_EXEC_PERM != 0:
		kind = bpf.KindExec
	case m.Mask&permissionEvents == 0:
		return // no touch, or part of one
	case m.Mask&unix.FAN_ACCESS_PERM != 0:
		return // most are reads of an open that was counted
	}
	s.stats.Lost[LostUnanswered] += uint64(m.Count)
	if w := s.byInode[m.Key]; w != nil {
		c := &s.counts[w.placement].count
		c.Seen[kind] += uint64(m.Count)
		c.Lost[kind] += uint64(m.Count)
	}
}

// event handles one event of the kernel. They come in order, so what is known of
// open files is as it was when the event happened. What only has to be counted
// is counted here; who is to be told of is looked at elsewhere.
func (s *Sensor) event(g *guard, m message) {
	t, gone := s.recent.find(m.Thread, m.Time)
	j := look{guard: g, seq: m.Seq, time: m.Time, task: t, gone: gone}
	if t.identity() == s.self {
		j.answer()
		return
	}
	if m.Mask&unix.FAN_OPEN_PERM != 0 && !gone {
		j.opened = s.eye.openFlags(m.Thread)
	}
	s.mu.Lock()
	var kinds []bpf.Kind
	if j.watch = s.find(m.Key); j.watch != nil {
		kinds = s.classify(&j, m.Mask)
	}
	answered := false
	for _, j.kind = range kinds { // more than one only if nobody waits
		if !s.countRepeat(&j) {
			answered = s.enqueue(j)
		}
	}
	s.mu.Unlock()
	if !answered {
		j.answer()
	}
}

// enqueue hands a touch to who looks at tasks and answers them; false if there
// is no room. The caller locks.
func (s *Sensor) enqueue(j look) bool {
	s.looked++
	j.number = s.looked
	select {
	case s.looks <- j:
		s.pending[j.number] = struct{}{}
		return true
	default:
		c := &s.counts[j.watch.placement].count
		c.Seen[j.kind]++
		c.Lost[j.kind]++
		s.stats.Lost[bpf.LostRingFull]++
		return false
	}
}

// classify says what kinds of touch an event is; none if it belongs to another.
func (s *Sensor) classify(j *look, mask uint64) []bpf.Kind {
	w, who := j.watch.number, j.identity()
	switch {
	case mask&unix.FAN_OPEN_EXEC_PERM != 0:
		if len(s.execs) >= maxOpens {
			clear(s.execs) // of tasks that were killed between the two events
		}
		// The kernel asks twice: FAN_OPEN_PERM of the same open comes next.
		s.execs[j.thread] = w
		j.file = s.openFile(w, who, j)
		return []bpf.Kind{bpf.KindExec}
	case mask&unix.FAN_OPEN_PERM != 0:
		if exec, ok := s.execs[j.thread]; ok && exec == w {
			delete(s.execs, j.thread)
			return nil
		}
		j.file = s.openFile(w, who, j)
		return []bpf.Kind{bpf.KindOpen}
	case mask&unix.FAN_ACCESS_PERM != 0:
		if f := s.opens.of(w, who); f != nil {
			f.reads++
			return nil
		}
		if len(s.readers) >= maxOpens {
			clear(s.readers)
		}
		s.readers[reader{w, who}] = struct{}{}
		return []bpf.Kind{bpf.KindRead}
	}
	return s.notice(j, mask, who)
}

func (s *Sensor) openFile(w openKey, who identity, j *look) *opened {
	f := s.opens.open(w, who, j.thread, j.time)
	// Somebody may keep as many files open as there is room for.
	if s.opens.full() && j.time-s.swept > sweepInterval {
		s.swept = j.time
		s.opens.sweep(func(i identity) bool {
			stat, err := s.eye.proc.stat(i.pid)
			return err == nil && stat.start == i.start
		})
	}
	return f
}

// notice handles what the kernel tells afterwards, several at once if need be.
//
// Since 6.14 a file that was opened before the first mark for permission events
// was set on its file system gives none (FMODE_NONOTIFY_PERM). FAN_ACCESS tells
// of reads of those, too; where there are permission events it follows them.
func (s *Sensor) notice(j *look, mask uint64, who identity) (kinds []bpf.Kind) {
	w := j.watch.number
	f := s.opens.of(w, who)
	if f == nil {
		f = s.opens.byThread(w, j.thread)
	}
	if mask&unix.FAN_ACCESS != 0 && f == nil {
		if _, ok := s.readers[reader{w, who}]; !ok {
			kinds = append(kinds, bpf.KindRead)
		}
	}
	switch {
	case mask&unix.FAN_MODIFY != 0 && f != nil:
		f.writes++
	case mask&unix.FAN_MODIFY != 0:
		kinds = append(kinds, bpf.KindWrite)
	}
	if mask&(unix.FAN_CLOSE_WRITE|unix.FAN_CLOSE_NOWRITE) != 0 {
		if f := s.opens.close(w, who, j.thread); f != nil {
			f.closed = j.time
			s.tellClose(j.watch, f)
		}
	}
	return kinds
}

// tellClose tells the end of an open whose beginning has been told. The caller
// locks.
func (s *Sensor) tellClose(w *Watch, f *opened) {
	if f.handle == 0 || !f.told || f.closed == 0 {
		return
	}
	e := bpf.Event{
		Kind: bpf.KindClose, Placement: w.placement, Time: f.closed, Handle: f.handle, OpenTime: f.at,
		Reads: f.reads, Writes: f.writes, PID: f.who.pid, TID: f.thread, StartTime: f.who.start,
		LoginUID: unset, AuditSession: unset,
	}
	if !s.events.push(e, true) {
		s.stats.Lost[bpf.LostRingFull]++
	}
}
