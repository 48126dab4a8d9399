//go:build linux && (amd64 || arm64)

package bpf

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

const (
	enrolAdd    = 1
	enrolRemove = 2
)

// Watch starts watching the inode of f under the given placement id, which must
// not be zero and not be in use. f may be opened with O_PATH; it is opened once
// more through /proc/self/fd, so the path plays no part, and the caller may
// close f afterwards. From the return on every open of the inode, by any path,
// is an event.
//
// Errors: ErrNotRegular, ErrTooMany, *WatchedError, or what the file system
// said. After an error nothing is watched that was not before.
func (s *Sensor) Watch(f *os.File, placement uint64) (*Watch, error) {
	if placement == 0 {
		return nil, errors.New("watch: placement id is zero")
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, fmt.Errorf("watch %s: stat: %w", f.Name(), err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("watch %s: %w", f.Name(), ErrNotRegular)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("watch %s: sensor: %w", f.Name(), os.ErrClosed)
	}
	if err := s.objs.Counts.Update(placement, lsmCount{}, ebpf.UpdateNoExist); err != nil {
		if errors.Is(err, unix.E2BIG) {
			err = ErrTooMany
		}
		return nil, fmt.Errorf("watch %s: counter of placement %#x: %w", f.Name(), placement, err)
	}
	pin, inodes, err := s.add(f, placement)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("watch %s: %w", f.Name(), err), s.objs.Counts.Delete(placement))
	}
	w := &Watch{sensor: s, placement: placement, pin: pin, inodes: inodes}
	s.watches[w] = struct{}{}
	return w, nil
}

// add enrols the inodes of f and returns the open file that pins them, and how
// many they are.
func (s *Sensor) add(f *os.File, placement uint64) (*os.File, uint32, error) {
	pin, result, err := s.enrol(f, placement, enrolAdd)
	if err != nil {
		return nil, 0, err
	}
	switch {
	case result.Conflict != 0:
		err = &WatchedError{Placement: result.Conflict}
	case result.Failed != 0:
		err = ErrTooMany
	case result.Done == 0:
		err = ErrHookSilent
	default:
		return pin, result.Done, nil
	}
	if result.Done != 0 {
		// One of the two inodes of an overlay file went in: take it out again.
		again, _, undo := s.enrol(pin, placement, enrolRemove)
		if undo != nil {
			return nil, 0, errors.Join(err, fmt.Errorf("undo: %w", undo))
		}
		err = errors.Join(err, again.Close())
	}
	return nil, 0, errors.Join(err, pin.Close())
}

// enrolTries bounds how often an enrolment is repeated that the program did not
// see. Only fentry programs on a kernel that preempts are skipped now and then,
// see NotePreempts; a program that never runs is found out by the self-test.
const enrolTries = 16

// enrol opens f once more until the program has seen it, and returns the new
// file and what the program did.
func (s *Sensor) enrol(f *os.File, placement uint64, op uint32) (*os.File, lsmEnrolment, error) {
	for try := 1; ; try++ {
		again, result, err := s.enrolOnce(f, placement, op)
		seen := result.Done != 0 || result.Failed != 0 || result.Conflict != 0
		if err != nil || seen || try == enrolTries {
			return again, result, err
		}
		if err := again.Close(); err != nil {
			return nil, result, fmt.Errorf("enrolment: %w", err)
		}
		// Lets the task run on that was switched away inside the program.
		time.Sleep(time.Duration(try) * time.Millisecond)
	}
}

// enrolOnce opens f once more from a thread that the program recognises.
func (s *Sensor) enrolOnce(f *os.File, placement uint64, op uint32) (*os.File, lsmEnrolment, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	var result lsmEnrolment
	request := lsmEnrolment{Placement: placement, Tid: uint32(unix.Gettid()), Op: op}
	if err := s.objs.Enrol.Set(&request); err != nil {
		return nil, result, fmt.Errorf("enrolment: %w", err)
	}
	// Neither the access time nor a terminal changes, and a lease can't block it.
	const flags = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY
	fd, openErr := unix.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), flags, 0)
	getErr := s.objs.Enrol.Get(&result)
	setErr := s.objs.Enrol.Set(&lsmEnrolment{})
	if openErr != nil {
		return nil, result, fmt.Errorf("enrolment open: %w", openErr)
	}
	pin := os.NewFile(uintptr(fd), f.Name())
	if err := errors.Join(getErr, setErr); err != nil {
		return nil, result, errors.Join(fmt.Errorf("enrolment result: %w", err), pin.Close())
	}
	return pin, result, nil
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
	again, result, err := s.enrol(w.pin, w.placement, enrolRemove)
	if err != nil {
		return fmt.Errorf("unwatch %s: %w", w.pin.Name(), err)
	}
	err = again.Close()
	if result.Done == 0 {
		return errors.Join(fmt.Errorf("unwatch %s: inode not found in the kernel's map", w.pin.Name()), err)
	}
	if result.Done < w.inodes {
		err = errors.Join(err, s.sweep(w.placement))
	}
	delete(s.watches, w)
	return errors.Join(err, s.objs.Counts.Delete(w.placement), w.pin.Close())
}

// sweep takes out what an open doesn't lead to any more: the lower inode of an
// overlay file that has been copied up. Inode storage ends with the inode; an
// address in the hash would come to mean another one.
func (s *Sensor) sweep(placement uint64) error {
	if s.mode == ModeLSM {
		return nil
	}
	var key uint64
	var w lsmWatch
	var stale []uint64
	all := s.objs.Watches.Iterate()
	for all.Next(&key, &w) {
		if w.Placement == placement {
			stale = append(stale, key)
		}
	}
	errs := []error{all.Err()}
	for _, key := range stale {
		errs = append(errs, s.objs.Watches.Delete(key))
	}
	return errors.Join(errs...)
}
