//go:build linux && (amd64 || arm64)

package bpf

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// enrolTries bounds how often an enrolment is repeated that the program did not
// see. Only fentry programs on a kernel that preempts are skipped now and then,
// see NotePreempts; a program that never runs is found out by the self-test.
const enrolTries = 16

// enrol opens f once more until the program has seen it, and returns the new
// file and what the program did.
func (s *Sensor) enrol(f *os.File, request lsmEnrolment) (*os.File, lsmEnrolment, error) {
	for try := 1; ; try++ {
		again, result, err := s.enrolOnce(f, request)
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
func (s *Sensor) enrolOnce(f *os.File, request lsmEnrolment) (*os.File, lsmEnrolment, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	var result lsmEnrolment
	variable := s.coll.Variables["enrol"]
	request.Tid = uint32(unix.Gettid()) //nolint:gosec // positive
	if err := variable.Set(&request); err != nil {
		return nil, result, fmt.Errorf("enrolment: %w", err)
	}
	// Neither the access time nor a terminal changes, and a lease can't block it.
	const flags = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY
	fd, openErr := unix.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), flags, 0)
	getErr := variable.Get(&result)
	setErr := variable.Set(&lsmEnrolment{})
	if openErr != nil {
		return nil, result, fmt.Errorf("enrolment open: %w", openErr)
	}
	pin := os.NewFile(uintptr(fd), f.Name())
	if err := errors.Join(getErr, setErr); err != nil {
		return nil, result, errors.Join(fmt.Errorf("enrolment result: %w", err), pin.Close())
	}
	return pin, result, nil
}

// sweep takes out what an open doesn't lead to any more: the lower inode of an
// overlay file that has been copied up, or what an earlier process watched.
func (s *Sensor) sweep(placement uint64) error {
	var key uint64
	var w lsmWatch
	stale := map[uint64]lsmWatch{}
	all := s.coll.Maps["watches"].Iterate()
	for all.Next(&key, &w) {
		if w.Placement == placement {
			stale[key] = w
		}
	}
	errs := []error{all.Err()}
	for key, w := range stale {
		errs = append(errs, s.drop(key, w))
	}
	return errors.Join(errs...)
}

// drop takes one inode out of the map and the filter.
func (s *Sensor) drop(key uint64, w lsmWatch) error {
	if err := s.coll.Maps["watches"].Delete(key); err != nil {
		return err
	}
	return errors.Join(s.clearSlot(w.Slot), s.clearSlot(w.SecondSlot))
}

// clearSlot takes one inode out of the filter, as watch_remove in watch.h does.
// The programs write to the filter only during an enrolment, which the mutex
// excludes.
func (s *Sensor) clearSlot(slot uint32) error {
	memory, err := s.coll.Maps[".bss"].Memory()
	if err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	at := s.filterOffset + int64(slot)
	count := make([]byte, 1)
	if _, err := memory.ReadAt(count, at); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	if count[0] == 0 || count[0] == 255 {
		return nil
	}
	count[0]--
	if _, err := memory.WriteAt(count, at); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	return nil
}
