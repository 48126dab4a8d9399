//go:build linux && (amd64 || arm64)

package bpf

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// The constants of sensor.h.
const (
	enrolAdd    = 1
	enrolRemove = 2
	enrolClaim  = 3
	enrolFollow = 4
	enrolLeave  = 5

	watchCovered   = 0x200
	watchDirectory = 0x400
	watchFollowed  = 0x800

	variantWrite = 1
)

// Watch is one watched file. It keeps the file open until Close.
type Watch struct {
	sensor    *Sensor
	placement uint64
	pin       *os.File
	inodes    uint32 // how many it took; two for an overlay file
	second    bool   // of a placement that has a watch already
	follow    bool   // holds the lock of FollowOpens
	once      sync.Once
	err       error
}

// Watch starts watching the inode of f under the given placement id, which must
// not be zero and not be in use. f may be opened with O_PATH; it is opened once
// more through /proc/self/fd, so the path plays no part, and the caller may
// close f afterwards. From the return on every touch of the inode, by any path,
// is an event. An inode that an earlier process watched for the same placement
// goes on being watched, with its counters.
//
// Errors: ErrNotRegular, ErrTooMany, *WatchedError, or what the file system
// said. After an error nothing is watched that was not before.
func (s *Sensor) Watch(f *os.File, placement uint64) (*Watch, error) {
	return s.watch(f, placement, unix.S_IFREG, 0)
}

// WatchCovered watches the inode that the file of a watched placement is mounted
// over: renaming or removing its name is a touch of the placement.
func (s *Sensor) WatchCovered(f *os.File, placement uint64) (*Watch, error) {
	return s.watch(f, placement, unix.S_IFREG, watchCovered)
}

// WatchDirectory watches a directory that the file of a watched placement is in:
// listing it is a touch of the placement.
func (s *Sensor) WatchDirectory(f *os.File, placement uint64) (*Watch, error) {
	return s.watch(f, placement, unix.S_IFDIR, watchDirectory)
}

func (s *Sensor) watch(f *os.File, placement uint64, format, flags uint32) (*Watch, error) {
	if placement == 0 {
		return nil, errors.New("watch: placement id is zero")
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, fmt.Errorf("watch %s: stat: %w", f.Name(), err)
	}
	if st.Mode&unix.S_IFMT != format {
		return nil, fmt.Errorf("watch %s: %w", f.Name(), ErrNotRegular)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkOpen(); err != nil {
		return nil, fmt.Errorf("watch %s: %w", f.Name(), err)
	}
	w := &Watch{sensor: s, placement: placement, second: flags != 0}
	if w.second != (s.byPlacement[placement] != nil) {
		return nil, fmt.Errorf("watch %s: placement %#x: watched already, or not yet", f.Name(), placement)
	}
	counted, err := s.count(w)
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", f.Name(), err)
	}
	follow := !w.second && onReadOnlyMount(f)
	if follow {
		flags |= watchFollowed
	}
	if err := s.add(w, f, flags); err != nil {
		if counted {
			err = errors.Join(err, s.dropCounters(placement))
		}
		return nil, fmt.Errorf("watch %s: %w", f.Name(), err)
	}
	s.watches[w] = struct{}{}
	if !w.second {
		s.byPlacement[placement] = w
		// Only tried: without locks the ends of opens aren't told.
		w.follow = follow && s.lock(w) == nil
	}
	return w, nil
}

// count makes the placement's counters, unless an earlier process has.
func (s *Sensor) count(w *Watch) (made bool, err error) {
	if w.second {
		return false, nil
	}
	err = s.coll.Maps["counts"].Update(w.placement, lsmCount{}, ebpf.UpdateNoExist)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, ebpf.ErrKeyExist):
		return false, nil
	case errors.Is(err, unix.E2BIG):
		err = ErrTooMany
	}
	return false, fmt.Errorf("counter of placement %#x: %w", w.placement, err)
}

// add enrols the inodes of f, and sets the open file that pins them.
func (s *Sensor) add(w *Watch, f *os.File, flags uint32) error {
	pin, result, err := s.enrol(f, lsmEnrolment{Placement: w.placement, Op: enrolAdd, Flags: flags})
	if err != nil {
		return err
	}
	switch {
	case result.Conflict != 0:
		err = &WatchedError{Placement: result.Conflict}
	case result.Failed != 0:
		err = ErrTooMany
	case result.Done == 0:
		err = ErrHookSilent
	default:
		w.pin, w.inodes = pin, result.Done
		return nil
	}
	if result.Done != 0 {
		// One of the two inodes of an overlay file went in: take it out again.
		again, _, undo := s.enrol(pin, lsmEnrolment{Placement: w.placement, Op: enrolRemove})
		if undo != nil {
			return errors.Join(err, fmt.Errorf("undo: %w", undo), pin.Close())
		}
		err = errors.Join(err, again.Close())
	}
	return errors.Join(err, pin.Close())
}

// FollowOpens makes the ends of opens of a watched placement events (KindClose).
// It takes a lock on the file, which nobody who only reads it can meet, but which
// a lock for writing on all of it would: it is for files that the watched can't
// open for writing, as on a read-only mount, and is done without asking where f
// of Watch is on one. When somebody opens the file for writing all the same, the
// lock is let go of and ends are no longer told. An error says that the file
// system has no locks.
func (s *Sensor) FollowOpens(placement uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.byPlacement[placement]
	if w == nil {
		return fmt.Errorf("follow opens: placement %#x is not watched", placement)
	}
	if err := w.setLock(unix.F_RDLCK); err != nil {
		return fmt.Errorf("follow opens of %s: %w", w.pin.Name(), err)
	}
	if err := s.note(w, enrolFollow); err != nil {
		return fmt.Errorf("follow opens of %s: %w", w.pin.Name(), err)
	}
	w.follow = true
	return nil
}

// lock takes the lock that the programs have been told of.
func (s *Sensor) lock(w *Watch) error {
	err := w.setLock(unix.F_RDLCK)
	if err != nil {
		err = errors.Join(err, s.note(w, enrolLeave))
	}
	return err
}

// note tells the programs that the lock is there, or that it is going to be gone.
func (s *Sensor) note(w *Watch, op uint32) error {
	again, result, err := s.enrol(w.pin, lsmEnrolment{Placement: w.placement, Op: op})
	if err != nil {
		return err
	}
	if err := again.Close(); err != nil {
		return fmt.Errorf("enrolment: %w", err)
	}
	if result.Done == 0 {
		return ErrHookSilent
	}
	return nil
}

// setLock sets the lock that makes the last close of a file visible, see
// closes.h: on a byte that nobody asks for but together with all others.
func (w *Watch) setLock(kind int16) error {
	return unix.FcntlFlock(w.pin.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: kind, Start: 1 << 62, Len: 1})
}

// onReadOnlyMount says whether f came by a mount, or is of a file system, that
// nothing can be written through.
func onReadOnlyMount(f *os.File) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(int(f.Fd()), &st) == nil && st.Flags&unix.ST_RDONLY != 0
}

// unlock lets go of the lock when somebody has opened the file for writing, or
// is locking it: nobody's lock is to fail because of ours.
func (s *Sensor) unlock(placement uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.byPlacement[placement]; w != nil && w.follow {
		// If the note stays, only somebody else's lock can be taken for ours.
		_ = s.note(w, enrolLeave)
		w.follow = w.setLock(unix.F_UNLCK) != nil
	}
}

// Placement returns the id under which the inode is watched.
func (w *Watch) Placement() uint64 { return w.placement }

// Close stops watching and lets go of the file. Events that are in the ring
// already can still be read. When the inode can't be taken out of the kernel's
// map, the file stays open so that a stale entry can't meet another file, and
// the error says so. Further calls return the first one's result.
func (w *Watch) Close() error {
	w.once.Do(func() { w.err = w.sensor.unwatch(w) })
	return w.err
}

func (s *Sensor) unwatch(w *Watch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil // Close has let go of everything
	}
	again, result, err := s.enrol(w.pin, lsmEnrolment{Placement: w.placement, Op: enrolRemove})
	if err != nil {
		return fmt.Errorf("unwatch %s: %w", w.pin.Name(), err)
	}
	err = again.Close()
	if result.Done == 0 {
		return errors.Join(fmt.Errorf("unwatch %s: inode not found in the kernel's map", w.pin.Name()), err)
	}
	delete(s.watches, w)
	if w.placement != 0 && !w.second {
		delete(s.byPlacement, w.placement)
		s.copies.forget(w.placement)
		if result.Done < w.inodes {
			err = errors.Join(err, s.sweep(w.placement))
		}
		err = errors.Join(err, s.dropCounters(w.placement))
	}
	return errors.Join(err, w.pin.Close())
}
