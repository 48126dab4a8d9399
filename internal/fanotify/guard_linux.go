//go:build linux && (amd64 || arm64)

package fanotify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// socketBytes is how much may wait in the socket to the guard, for a stopped
// agent to find when it goes on: over a thousand events.
const socketBytes = 1 << 20

// guard is a running guard process and the socket to it.
type guard struct {
	process *os.Process
	conn    *net.UnixConn
	// results has room for one: marks are set one at a time.
	results chan message
	// gone is closed when the socket has ended.
	gone chan struct{}
	once sync.Once
	end  error

	mu       sync.Mutex
	ended    bool
	barriers []func() // by their number, from passed+1 on
	passed   uint64
}

// startGuard starts the guard and waits until it has its fanotify group.
func startGuard(ctx context.Context) (*guard, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	g := &guard{conn: ours, results: make(chan message, 1), gone: make(chan struct{})}
	if g.process, err = runProgram(theirs); err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	if err := theirs.Close(); err != nil {
		return nil, errors.Join(fmt.Errorf("guard: %w", err), g.close())
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(10 * time.Second)
	}
	if err := ours.SetReadDeadline(deadline); err != nil {
		return nil, errors.Join(fmt.Errorf("guard: %w", err), g.close())
	}
	m, err := g.read()
	switch {
	case err != nil:
		err = fmt.Errorf("start of the guard: %w", err)
	case m.Type != fromReady:
		err = fmt.Errorf("start of the guard: message of type %d", m.Type)
	case m.Result != 0:
		err = fmt.Errorf("fanotify_init: %w", syscall.Errno(m.Result))
	default:
		err = ours.SetReadDeadline(time.Time{})
	}
	if err != nil {
		return nil, errors.Join(err, g.close())
	}
	return g, nil
}

// socketPair gives the sensor's end, and the guard's as a file.
func socketPair() (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket to the guard: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "guard"), os.NewFile(uintptr(fds[1]), "guard's")
	defer ours.Close() // FileConn makes a duplicate
	for _, fd := range fds {
		if err := setSendBuffer(fd); err != nil {
			return nil, nil, errors.Join(fmt.Errorf("socket to the guard: %w", err), theirs.Close())
		}
	}
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("socket to the guard: %w", err), theirs.Close())
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, nil, errors.Join(errors.New("socket to the guard: not a unix socket"), conn.Close(), theirs.Close())
	}
	return unixConn, theirs, nil
}

// setSendBuffer gives a socket socketBytes. More than net.core.wmem_max takes
// CAP_NET_ADMIN, which a container that changes nothing about the network has no
// other use for: without it the buffer is as large as that (208 KiB by default), and
// what a stopped agent finds no more is counted by the guard all the same.
func setSendBuffer(fd int) error {
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, socketBytes)
	if errors.Is(err, unix.EPERM) {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, socketBytes)
	}
	return err
}

// runProgram runs the guard from memory, or from an unlinked file where that is
// forbidden (vm.memfd_noexec=2). Its end is waited for.
func runProgram(socket *os.File) (*os.Process, error) {
	var errs []error
	for _, make := range []func() (*os.File, error){memoryFile, unlinkedFile} {
		f, err := make()
		if err == nil {
			var p *os.Process
			if p, err = runFile(f, socket); err == nil {
				return p, f.Close()
			}
			err = errors.Join(err, f.Close())
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("guard: %w", errors.Join(errs...))
}

func memoryFile() (*os.File, error) {
	fd, err := unix.MemfdCreate("beesting-guard", unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before 6.3
		fd, err = unix.MemfdCreate("beesting-guard", unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("memfd: %w", err)
	}
	return written(os.NewFile(uintptr(fd), "beesting-guard"))
}

func unlinkedFile() (*os.File, error) {
	w, err := os.OpenFile(os.TempDir(), unix.O_TMPFILE|os.O_RDWR, 0o700)
	if err != nil {
		return nil, fmt.Errorf("program file: %w", err)
	}
	if w, err = written(w); err != nil {
		return nil, err
	}
	defer w.Close()
	// A file that is open for writing can't be executed.
	r, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", w.Fd()))
	if err != nil {
		return nil, fmt.Errorf("program file: %w", err)
	}
	return r, nil
}

func written(f *os.File) (*os.File, error) {
	if _, err := f.WriteString(guardProgram); err != nil {
		return nil, errors.Join(fmt.Errorf("program file: %w", err), f.Close())
	}
	return f, nil
}

func runFile(program, socket *os.File) (*os.Process, error) {
	// Descriptor 4 is the program, seen from the child.
	cmd := &exec.Cmd{
		Path: "/proc/self/fd/4", Args: []string{"beesting-guard"}, Env: []string{}, Dir: "/",
		ExtraFiles: []*os.File{socket, program},
		// ^C at a terminal is the agent's to handle.
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("run: %w", err)
	}
	return cmd.Process, nil
}

func (g *guard) read() (message, error) {
	var b [messageSize + 1]byte
	n, err := g.conn.Read(b[:])
	if err != nil {
		return message{}, fmt.Errorf("read: %w", err)
	}
	return decode(b[:n])
}

// send takes f's descriptor along if f is not nil.
func (g *guard) send(m message, f *os.File) error {
	var rights []byte
	if f != nil {
		rights = unix.UnixRights(int(f.Fd()))
	}
	if _, _, err := g.conn.WriteMsgUnix(m.encode(), rights, nil); err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	return nil
}

// errGuardGone: it ended while it was asked something.
var errGuardGone = errors.New("guard has ended")

// mark sets or removes a mark and waits for the outcome. One at a time.
func (g *guard) mark(t messageType, mask uint64, f *os.File) error {
	if err := g.send(message{Type: t, Mask: mask}, f); err != nil {
		return err
	}
	select {
	case m := <-g.results:
		if m.Result != 0 {
			return fmt.Errorf("fanotify_mark: %w", syscall.Errno(m.Result))
		}
		return nil
	case <-g.gone:
		return errGuardGone
	}
}

// close ends the guard: everybody who waits goes on, and all marks are gone.
func (g *guard) close() error {
	g.once.Do(func() {
		err := g.conn.Close()
		kill := g.process.Kill() // in case it is stopped
		if errors.Is(kill, os.ErrProcessDone) {
			kill = nil
		}
		_, wait := g.process.Wait()
		g.end = errors.Join(err, kill, wait)
	})
	return g.end
}

// barrier calls f after all that had happened before has been handled, or when
// the guard has ended. f is called by whoever handles messages, and once only.
func (g *guard) barrier(f func()) {
	g.mu.Lock()
	if g.ended {
		g.mu.Unlock()
		f()
		return
	}
	defer g.mu.Unlock()
	g.barriers = append(g.barriers, f)
	// An error means that the end is about to be noticed.
	_ = g.send(message{Type: toFlush, Seq: g.passed + uint64(len(g.barriers))}, nil)
}

// pass calls the functions of the barriers up to a number.
func (g *guard) pass(number uint64) {
	g.mu.Lock()
	n := min(int(number-g.passed), len(g.barriers))
	reached := g.barriers[:n]
	g.barriers = g.barriers[n:]
	g.passed += uint64(n)
	g.mu.Unlock()
	for _, f := range reached {
		f()
	}
}

// finish says that no more messages come.
func (g *guard) finish() {
	close(g.gone)
	g.mu.Lock()
	g.ended = true
	number := g.passed + uint64(len(g.barriers))
	g.mu.Unlock()
	g.pass(number)
}
