package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/beesting-otel/beesting/internal/state"
)

// active is the segment that is written to; j.mu is held.
func (j *Journal) active() *segment { return j.segments[len(j.segments)-1] }

// write brings a frame to the file, or makes it wait; j.mu is held, but not
// meanwhile. Only who has set j.writing calls it.
func (j *Journal) write(f *frame) {
	for again := true; ; again = false {
		s, at := j.active(), j.positions()
		j.moved = false
		j.mu.Unlock()
		var raw []byte
		if f.count > 0 {
			packed := j.codec.pack(f)
			raw = packed.bytes()
		}
		j.files.RLock()
		size, err := s.write(raw, f.first, at)
		j.files.RUnlock()
		j.mu.Lock()
		if err == nil {
			j.written(s, f, size)
			return
		}
		j.moved = true
		if !again || !j.makeRoom(err) {
			j.refused(f, err)
			return
		}
	}
}

func (j *Journal) written(s *segment, f *frame, size int64) {
	if f.count > 0 {
		s.note(f, f.recorded)
	}
	s.size, j.waiting, j.dirty = size, nil, true
	j.stats.Commits++
	if j.stats.Error != "" {
		j.stats.Error = ""
		j.o.Log.Info("the journal is written again")
	}
	select {
	case j.wake <- struct{}{}:
	default:
	}
	if size >= j.o.segmentBytes() {
		if err := j.rotate(); err != nil {
			j.complain(err)
		}
	}
}

// refused keeps in memory what the disk doesn't take.
func (j *Journal) refused(f *frame, err error) {
	j.stats.FailedWrites++
	if f.count > 0 {
		j.waiting, j.retryAt = f, time.Now().Add(retryEvery)
	}
	j.complain(err)
}

func (j *Journal) complain(err error) {
	if j.stats.Error == "" {
		j.o.Log.Error("the journal can't be written: accesses are kept in memory, and tried again", slog.Any("error", err))
	}
	j.stats.Error = err.Error()
}

// makeRoom does what can be done about an error, and reports whether the write is
// worth another try; j.mu is held.
func (j *Journal) makeRoom(err error) bool {
	var damaged *state.DamagedError
	switch {
	case errors.As(err, &damaged):
		return j.replaceActive(err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		// What has been delivered is history, which goes before what hasn't.
		if len(j.segments) > 1 && j.pendingIn(j.segments[0]) == 0 {
			j.o.Log.Warn("the disk is full: the oldest part of the journal is removed", slog.Any("error", err))
			j.dropOldest()
			return true
		}
	}
	return false
}

// rotate begins a new segment. Only who has set j.writing calls it, with j.mu
// held, which it lets go of meanwhile.
func (j *Journal) rotate() error {
	first, log := j.active().last+1, j.o.Log
	old := j.active()
	j.mu.Unlock()
	j.files.RLock()
	errFlush := old.flush()
	j.files.RUnlock()
	s, err := openSegment(segmentName(j.dir, first))
	if err == nil {
		err = state.SyncDir(j.dir)
	}
	j.mu.Lock()
	if errFlush != nil {
		log.Warn("a part of the journal may not outlive the node", slog.Any("error", errFlush))
	}
	if err != nil {
		return err // the old one goes on
	}
	s.first, s.last = first, first-1
	j.segments = append(j.segments, s)
	j.moved = true // the new one knows no cursors
	j.closeFile(old)
	j.trim()
	return nil
}

// closeFile lets go of a file that is not written to any more: it is opened when
// something is read from it. j.mu is held.
func (j *Journal) closeFile(s *segment) {
	j.files.Lock()
	defer j.files.Unlock()
	if err := s.close(); err != nil {
		j.o.Log.Warn("a part of the journal can't be closed", slog.Any("error", err))
	}
}

// replaceActive sets the segment aside that bbolt can't go on with, and writes
// what is whole in it into a new one; j.mu is held.
func (j *Journal) replaceActive(cause error) bool {
	old := j.active()
	j.files.Lock()
	_ = old.close() // may say what cause says
	s, lost, err := salvage(old.name, old.last, j.o.Log, cause)
	j.files.Unlock()
	if err != nil {
		j.complain(err)
		return false
	}
	j.damaged(lost)
	j.segments[len(j.segments)-1] = s
	j.moved = true
	return true
}

// trim removes the oldest segments until what is left is within the bounds; j.mu
// is held.
func (j *Journal) trim() {
	for len(j.segments) > 1 {
		var size int64
		for _, s := range j.segments {
			size += s.size
		}
		oldest := j.segments[0]
		if size <= j.o.MaxBytes && j.o.Now().Sub(oldest.newest) <= j.o.MaxAge {
			return
		}
		j.dropOldest()
	}
}

// tidy is trim for a node where nothing comes any more: what is in the newest
// segment gets too old as well. Nobody writes; j.mu is held.
func (j *Journal) tidy() {
	if a := j.active(); a.last >= a.first && j.o.Now().Sub(a.newest) > j.o.MaxAge {
		j.writing = true
		if err := j.rotate(); err != nil {
			j.complain(err)
		}
		// Who came meanwhile found it being written to.
		j.commit()
	}
	j.trim()
}

// dropOldest removes a segment, and takes it from the cursors that are not beyond
// it; j.mu is held.
func (j *Journal) dropOldest() {
	s := j.segments[0]
	var lost int
	for _, c := range j.cursors {
		lost += c.pass(s)
	}
	if lost > 0 {
		j.stats.Dropped += uint64(lost) //nolint:gosec // a count
		j.o.Log.Error("entries are removed from the journal before they were delivered: it holds no more", slog.Int("entries", lost))
	}
	j.segments = j.segments[1:]
	j.files.Lock()
	defer j.files.Unlock()
	if err := errors.Join(s.close(), os.Remove(s.name)); err != nil {
		j.o.Log.Warn("a part of the journal can't be removed", slog.Any("error", err))
	}
}

// pendingIn is how many entries of a segment are still to be delivered, once for
// each cursor; j.mu is held.
func (j *Journal) pendingIn(s *segment) int {
	n := 0
	for _, c := range j.cursors {
		if c.position() <= s.last {
			n += c.countIn(s)
		}
	}
	return n
}

// keep has the disk keep what is written, tries again what it didn't take, and
// writes down where the cursors stand.
func (j *Journal) keep() {
	defer close(j.done)
	tick := time.NewTicker(cursorsEvery)
	defer tick.Stop()
	for ticks := 0; ; {
		select {
		case <-j.stop:
			return
		case <-j.wake:
			j.flush()
			select { // not sooner again than that
			case <-j.stop:
				return
			case <-time.After(flushEvery):
			}
		case <-tick.C:
			ticks++
			j.again(ticks%5 == 0, ticks%300 == 0)
		}
	}
}

// again writes what waits, if it is time for that, and where the cursors stand.
func (j *Journal) again(retry, trim bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if trim && !j.writing && !j.closed {
		j.tidy()
	}
	if j.writing || j.closed || !(j.moved || j.waiting != nil && retry) || j.stats.Error != "" && !retry {
		return
	}
	j.tryAgain()
}

// tryAgain writes what waits and where the cursors stand; j.mu is held, and nobody
// writes.
func (j *Journal) tryAgain() {
	j.retryAt = time.Time{}
	j.open = &group{done: make(chan struct{})} // of none
	j.commit()
}

func (j *Journal) flush() {
	j.mu.Lock()
	s := j.active()
	wanted := j.dirty
	j.dirty = false
	j.mu.Unlock()
	if !wanted {
		return
	}
	began := time.Now()
	j.files.RLock()
	err := s.flush()
	j.files.RUnlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stats.FlushSeconds = time.Since(began).Seconds()
	if err != nil {
		j.dirty = true
		j.complain(err)
	}
}

// Save writes down where the cursors stand, so that a process which ends after that
// leaves nothing to be delivered twice.
func (j *Journal) Save() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.closed && !j.writing {
		j.tryAgain()
	}
}

// Flush returns when all that was appended before it outlives the node as well.
func (j *Journal) Flush() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.closed:
		return ErrClosed
	case j.waiting != nil:
		return fmt.Errorf("journal: %d entries are not on the disk: %s", j.waiting.count, j.stats.Error)
	}
	j.files.RLock() // who closes segments has j.mu as well
	defer j.files.RUnlock()
	return j.active().flush()
}

// Close writes down where the cursors stand, has the disk keep all, and closes the
// files. Cursors give nothing any more. What the disk still doesn't take is lost
// with the process, which the error tells.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil
	}
	j.closed = true // for who comes now
	j.mu.Unlock()
	close(j.stop)
	<-j.done
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.writing { // for who came before
		j.mu.Unlock()
		time.Sleep(time.Millisecond)
		j.mu.Lock()
	}
	j.tryAgain()
	for _, c := range j.cursors {
		c.signal()
	}
	var err error
	if j.waiting != nil {
		err = fmt.Errorf("journal: %d entries were never written: %s", j.waiting.count, j.stats.Error)
	}
	return errors.Join(err, j.release())
}

// release closes what is open.
func (j *Journal) release() error {
	j.files.Lock()
	defer j.files.Unlock()
	var errs []error
	if n := len(j.segments); n > 0 && j.segments[n-1].db != nil {
		errs = append(errs, j.segments[n-1].flush())
	}
	for _, s := range j.segments {
		errs = append(errs, s.close())
	}
	return errors.Join(append(errs, j.dead.close(), j.lock.Close())...)
}
