//go:build vmtest && linux

package bpf

import (
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What is needed of include/uapi/linux/io_uring.h to open one file.
type (
	sqOffsets struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		_                                                   uint64
	}
	cqOffsets struct {
		head, tail, mask, entries, overflow, cqes, flags, _ uint32
		_                                                   uint64
	}
	uringParams struct {
		sqEntries, cqEntries, flags, _, _, features, _ uint32
		_                                              [3]uint32
		sq                                             sqOffsets
		cq                                             cqOffsets
	}
	openEntry struct { // struct io_uring_sqe as IORING_OP_OPENAT uses it
		opcode, flags uint8
		_             uint16
		dir           int32
		_             uint64
		path          uint64
		mode          uint32
		openFlags     uint32
		_             uint64
		_             uint16
		creds         uint16
		_             uint32
		_             [2]uint64
	}
	completion struct {
		_      uint64
		result int32
		_      uint32
	}
)

const (
	opOpenat     = 18
	registerCred = 9      // IORING_REGISTER_PERSONALITY
	sqeAsync     = 1 << 4 // IOSQE_ASYNC: by a worker thread, never inline
	setupSQPoll  = 1 << 1 // IORING_SETUP_SQPOLL: submitted by a kernel thread
	enterGetEvts = 1 << 0
	enterWakeup  = 1 << 1
	offSQEs      = 0x10000000
	offCQ        = 0x8000000
)

func at(b []byte, off uint32) *uint32 { return (*uint32)(unsafe.Pointer(&b[off])) }

// openByRing opens path through io_uring in one of its three ways, or as
// somebody that the thread has been: with credentials that the worker borrows.
func openByRing(way, path string) error {
	runtime.LockOSThread()
	p := uringParams{}
	entry := openEntry{opcode: opOpenat, dir: unix.AT_FDCWD}
	switch way {
	case "async":
		entry.flags = sqeAsync
	case "sqpoll":
		p.flags = setupSQPoll
	}
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		return err
	}
	entry.path = uint64(uintptr(unsafe.Pointer(name)))
	ring, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return fmt.Errorf("io_uring_setup: %w", errno)
	}
	if way == "borrowed" {
		id, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, ring, registerCred, 0, 0, 0, 0)
		if errno != 0 {
			return fmt.Errorf("io_uring_register: %w", errno)
		}
		if _, _, errno := unix.RawSyscall(unix.SYS_SETGID, 1234, 0, 0); errno != 0 { // of this thread only
			return fmt.Errorf("setgid: %w", errno)
		}
		entry.creds, entry.flags = uint16(id), sqeAsync
	}
	var maps [3][]byte
	for i, m := range []struct {
		off  int64
		size uint32
	}{
		{0, p.sq.array + 4*p.sqEntries},
		{offCQ, p.cq.cqes + p.cqEntries*uint32(unsafe.Sizeof(completion{}))},
		{offSQEs, p.sqEntries * uint32(unsafe.Sizeof(entry))},
	} {
		if maps[i], err = unix.Mmap(int(ring), m.off, int(m.size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE); err != nil {
			return fmt.Errorf("mmap %#x: %w", m.off, err)
		}
	}
	*(*openEntry)(unsafe.Pointer(&maps[2][0])) = entry
	*at(maps[0], p.sq.array) = 0
	*at(maps[0], p.sq.tail) = 1
	if _, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, ring, 1, 1, enterGetEvts|enterWakeup, 0, 0); errno != 0 {
		return fmt.Errorf("io_uring_enter: %w", errno)
	}
	if r := (*completion)(unsafe.Pointer(&maps[1][p.cq.cqes])).result; r < 0 {
		return fmt.Errorf("open: %w", unix.Errno(-r))
	}
	return nil
}

// Whoever opens through io_uring is named, not the kernel's worker.
func testRing(t *testing.T, s *Sensor) {
	path := token(t, publicDir(t, ""))
	defer watch(t, s, path, 1).Close()
	for _, way := range []string{"inline", "async", "sqpoll"} {
		cmd := child("io_uring", way, path)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", way, err, out)
		}
		e := one(t, s)
		if int(e.PID) != cmd.Process.Pid || e.ExecutableTruncated || e.Executable == "" || (len(e.Args) != 3 && !lockedDown()) {
			t.Errorf("%s by %d: %+v", way, cmd.Process.Pid, e)
		}
	}
}

// The file below an overlay, reached on the host: that a worker of io_uring acts
// on borrowed credentials doesn't make it overlayfs.
func testRingBelowOverlay(t *testing.T, s *Sensor) {
	merged, upper, _ := overlay(t, "/tmp", nil)
	path := token(t, merged)
	defer watch(t, s, path, 1).Close()
	for _, path := range []string{filepath.Join(upper, "token"), path} {
		for _, way := range []string{"inline", "async", "borrowed"} {
			cmd := child("io_uring", way, path)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v: %s", way, err, out)
			}
			if events := drain(t, s); len(events) != 1 || events[0].Kind != KindOpen || int(events[0].PID) != cmd.Process.Pid {
				t.Errorf("%s of %s by %d: %+v", way, path, cmd.Process.Pid, events)
			}
		}
	}
}
