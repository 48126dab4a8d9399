//go:build linux && (amd64 || arm64)

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/test/bench/internal/figure"
)

// sibling lies beside the touched files.
const sibling = "sibling"

// pageSize is what is mapped of a file.
const pageSize = 4096

// toucher makes the operations that are measured. The names are absolute: what
// looks at each directory of a path pays for each.
type toucher struct {
	names    [touchedFiles]*byte
	fds      [touchedFiles]uintptr
	programs [touchedFiles]*byte
	argv     []*byte
	buf      [512]byte // a struct stat, or what is read
}

func newToucher(dir string) (*toucher, error) {
	quiet()
	t := &toucher{}
	var err error
	for i := range t.names {
		path := filepath.Join(dir, touchedName(i))
		if t.names[i], err = unix.BytePtrFromString(path); err != nil {
			return nil, err
		}
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", path, err)
		}
		t.fds[i] = uintptr(fd)
		if t.programs[i], err = unix.BytePtrFromString(filepath.Join(dir, programName(i))); err != nil {
			return nil, err
		}
	}
	return t, defaultSIGCHLD()
}

// operation returns what makes an operation once, on the k-th file.
func (t *toucher) operation(op string) (f func(k int) error, err error) {
	switch op {
	case figure.Open:
		return t.open, nil
	case figure.Stat:
		return t.stat, nil
	case figure.Read:
		return t.read, nil
	case figure.Mmap:
		return t.mmap, nil
	}
	return nil, fmt.Errorf("operation %q", op)
}

// defaultSIGCHLD takes the signal from Go's runtime, whose handler would run at
// each child's end, on any of the threads. By default the kernel drops it.
func defaultSIGCHLD() error {
	var action [4]uint64 // struct kernel_sigaction: SIG_DFL, no flags
	_, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	if errno != 0 {
		return fmt.Errorf("signal: %w", errno)
	}
	return nil
}

func (t *toucher) open(k int) error {
	at := unix.AT_FDCWD
	fd, _, errno := syscall.RawSyscall6(unix.SYS_OPENAT, uintptr(at), uintptr(unsafe.Pointer(t.names[k])),
		unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("open: %w", errno)
	}
	if _, _, errno = syscall.RawSyscall(unix.SYS_CLOSE, fd, 0, 0); errno != 0 {
		return fmt.Errorf("close: %w", errno)
	}
	return nil
}

func (t *toucher) stat(k int) error {
	at := unix.AT_FDCWD
	_, _, errno := syscall.RawSyscall6(sysStatAt, uintptr(at), uintptr(unsafe.Pointer(t.names[k])),
		uintptr(unsafe.Pointer(&t.buf)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func (t *toucher) read(k int) error {
	n, _, errno := syscall.RawSyscall6(unix.SYS_PREAD64, t.fds[k], uintptr(unsafe.Pointer(&t.buf)), 1, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	if n != 1 {
		return fmt.Errorf("%d bytes", n)
	}
	return nil
}

func (t *toucher) mmap(k int) error {
	addr, _, errno := syscall.RawSyscall6(unix.SYS_MMAP, 0, pageSize, unix.PROT_READ, unix.MAP_PRIVATE, t.fds[k], 0)
	if errno != 0 {
		return errno
	}
	if _, _, errno = syscall.RawSyscall(unix.SYS_MUNMAP, addr, pageSize, 0); errno != 0 {
		return fmt.Errorf("unmap: %w", errno)
	}
	return nil
}

// vforkExec starts a program in a child that has this process's memory until
// then, and returns its pid or a negated error number. A fork would copy Go's
// page tables, which are never twice the same.
//
//go:noescape
func vforkExec(path *byte, argv **byte) int

// chain starts a process that executes n programs in turn, of which the last
// ends at once, and waits for it.
func (t *toucher) chain(n int) error {
	if len(t.argv) != n+1 {
		t.argv = make([]*byte, n+1)
		for i := range n {
			t.argv[i] = t.programs[i%touchedFiles]
		}
	}
	pid := vforkExec(t.argv[0], &t.argv[0])
	if pid < 0 {
		return fmt.Errorf("exec: %w", syscall.Errno(-pid))
	}
	var status uint32
	_, _, errno := syscall.RawSyscall6(unix.SYS_WAIT4, uintptr(pid), uintptr(unsafe.Pointer(&status)), 0, 0, 0, 0)
	if errno != 0 || status != 0 {
		return fmt.Errorf("wait: status %#x: %w", status, errno)
	}
	return nil
}

func touchedName(i int) string { return fmt.Sprintf("f%02d", i) }
func programName(i int) string { return fmt.Sprintf("p%02d", i) }

// makeFiles creates the files that are touched, one beside them, and the files
// to be watched. All are there from the start: what a hundred thousand more
// entries in the directory cache cost is no sensor's cost.
func makeFiles(touched, watched string, n int) error {
	for _, dir := range []string{touched, watched} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for i := range touchedFiles {
		if err := os.WriteFile(filepath.Join(touched, touchedName(i)), make([]byte, pageSize), 0o644); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(touched, programName(i)), chainProgram(), 0o755); err != nil {
			return err
		}
	}
	paths := []string{filepath.Join(touched, sibling)}
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
