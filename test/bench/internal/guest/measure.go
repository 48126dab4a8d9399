//go:build linux && (amd64 || arm64)

package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// touchedFiles are opened in turn: with one only, the figure would depend on
	// whether its inode shares a hash bucket with a watched one.
	touchedFiles = 16
	// batches are short, so that most of them end before the next timer tick, and
	// many, so that the least of them had neither a tick nor a cold path.
	batches = 400
	warmUp  = 40
)

// measure prints the instructions of one open and close in dir.
//
// The system calls are made without the Go scheduler taking part (RawSyscall),
// on one thread, with the garbage collector off. What the loop itself costs is
// in every figure and so in no difference between two.
func measure(dir string) error {
	debug.SetGCPercent(-1)
	runtime.LockOSThread()
	if err := os.Chdir(dir); err != nil {
		return err
	}
	var names [touchedFiles]*byte
	for i := range names {
		name, err := unix.BytePtrFromString(touchedName(i))
		if err != nil {
			return err
		}
		names[i] = name
	}
	least := time.Duration(math.MaxInt64)
	for i := range warmUp + batches {
		took, err := batch(&names)
		if err != nil {
			return err
		}
		if i >= warmUp {
			least = min(least, took)
		}
	}
	fmt.Printf("%.2f\n", float64(least.Nanoseconds())/touchedFiles)
	return nil
}

func touchedName(i int) string { return fmt.Sprintf("f%02d", i) }

// batch opens and closes each file once and returns the time that took: under
// -icount, nanoseconds are instructions.
func batch(names *[touchedFiles]*byte) (time.Duration, error) {
	const flags = unix.O_RDONLY | unix.O_CLOEXEC
	at := unix.AT_FDCWD
	start := time.Now()
	for _, name := range names {
		fd, _, errno := syscall.RawSyscall6(unix.SYS_OPENAT, uintptr(at), uintptr(unsafe.Pointer(name)), flags, 0, 0, 0)
		if errno != 0 {
			return 0, fmt.Errorf("open: %w", errno)
		}
		if _, _, errno = syscall.RawSyscall(unix.SYS_CLOSE, fd, 0, 0); errno != 0 {
			return 0, fmt.Errorf("close: %w", errno)
		}
	}
	return time.Since(start), nil
}

// makeFiles creates the files that are touched, one beside them, and the files
// to be watched. All are there from the start: what a hundred thousand more
// entries in the directory cache cost is no sensor's cost.
func makeFiles(touched, watched string, n int) error {
	for _, dir := range []string{touched, watched} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	paths := []string{filepath.Join(touched, sibling)}
	for i := range touchedFiles {
		paths = append(paths, filepath.Join(touched, touchedName(i)))
	}
	for i := range n {
		paths = append(paths, watchedPath(watched, i))
	}
	for _, p := range paths {
		fd, err := unix.Open(p, unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
		if err != nil {
			return fmt.Errorf("create %s: %w", p, err)
		}
		if err := unix.Close(fd); err != nil {
			return err
		}
	}
	return nil
}

func watchedPath(dir string, i int) string { return fmt.Sprintf("%s/%d", dir, i) }
