package vm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/test/vm/internal/wire"
)

// machine is a guest that is ready to be started.
type machine struct {
	arch   arch
	qemu   string
	kernel Kernel
	// dir holds the initramfs and what else this boot needs; its owner removes
	// it.
	dir    string
	images []string
}

// args is QEMU's command line but for the serial ports.
//
// One thread emulates all processors: with one each, QEMU 7.2 hangs now and then
// while the kernel patches its text for probes. The processors take turns then,
// in the middle of whatever their tasks do, and none is faster for it.
func (m *machine) args(cfg Config) []string {
	args := append([]string{}, m.arch.machine...)
	args = append(args,
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-smp", strconv.Itoa(cfg.CPUs),
		"-m", strconv.Itoa(cfg.MemoryMiB),
		"-kernel", filepath.Join(m.kernel.Dir, "vmlinuz"),
		"-initrd", m.initrd(),
		"-append", m.commandLine(cfg),
	)
	switch {
	case cfg.ICount:
		args = append(args, "-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off")
	case cfg.CPUs > 1:
		args = append(args, "-accel", "tcg,thread=single")
	default:
		args = append(args, "-accel", "tcg")
	}
	for i, image := range m.images {
		// A comma ends a value in QEMU's options; two are one.
		file := strings.ReplaceAll(image, ",", ",,")
		args = append(args,
			"-drive", fmt.Sprintf("if=none,id=d%d,format=raw,snapshot=on,file=%s", i, file),
			"-device", fmt.Sprintf("virtio-blk-pci,drive=d%d", i))
	}
	if cfg.Net {
		// romfile= leaves the network boot ROM out, which is another package.
		args = append(args, "-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0,romfile=")
	}
	return args
}

func (m *machine) commandLine(cfg Config) string {
	words := []string{
		"console=" + m.arch.console,
		// Only what went wrong reaches the console: an emulated serial port is
		// slow.
		"quiet", "loglevel=4",
		// With -no-reboot an immediate reboot ends QEMU, so a dead kernel is
		// noticed at once.
		"panic=-1", "oops=panic",
		// Time that proves nothing here.
		"mitigations=off", "cryptomgr.notests", "random.trust_cpu=on",
	}
	return strings.Join(slices.Concat(words, m.arch.words, cfg.Append), " ")
}

// session runs the guest and listens to it until the last job has ended.
func (m *machine) session(ctx context.Context, cfg Config, jobs int, done func(int, Result)) ([]Result, Boot, error) {
	listener, err := net.Listen("unix", filepath.Join(m.dir, "data"))
	if err != nil {
		return nil, Boot{}, err
	}
	defer listener.Close()
	console := &tail{w: cfg.Console}
	var complaints bytes.Buffer
	args := append(m.args(cfg), "-serial", "stdio")
	args = append(args, m.arch.dataPort(filepath.Join(m.dir, "data"))...)
	cmd := exec.CommandContext(ctx, m.qemu, args...)
	cmd.Stdout, cmd.Stderr = console, &complaints
	// A guest must not outlive a test run that was killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	start := time.Now()
	stop, exited, err := startProcess(cmd)
	if err != nil {
		return nil, Boot{}, fmt.Errorf("start of QEMU: %w", err)
	}
	go func() {
		<-exited
		// Without a connection Accept would wait for ever.
		listener.Close()
	}()
	s := &session{cfg: cfg, start: start, jobs: jobs, done: done, boot: Boot{Kernel: m.kernel}}
	conn, err := listener.Accept()
	if err == nil {
		err = s.listen(conn)
		conn.Close()
	}
	stop()
	<-exited
	if err == nil {
		return s.results, s.boot, nil
	}
	return s.results, s.boot, explain(ctx, err, s, console, complaints.Bytes())
}

// explain says why a session ended early, with what the console said last.
func explain(ctx context.Context, err error, s *session, console *tail, complaints []byte) error {
	switch {
	case errors.Is(err, errGuest):
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case impossibleFlags(console.last(tailLines)):
		err = ErrEmulator
	case console.contains("Kernel panic"):
		err = errors.New("the kernel panicked")
	default:
		err = fmt.Errorf("the guest died: %w", err)
	}
	where := "before its first command"
	if s.boot.Wall > 0 {
		where = fmt.Sprintf("in command %d of %d", min(len(s.results)+1, s.jobs), s.jobs)
	}
	text := console.last(tailLines)
	if q := strings.TrimSpace(string(complaints)); q != "" {
		text += "\nqemu: " + q
	}
	if text == "" {
		text = "(nothing)"
	}
	return fmt.Errorf("%w, %s; the console's last lines:\n%s", err, where, text)
}

// ErrEmulator is returned when the kernel crashed with flags that no processor
// can have. QEMU 7.2 does that to 6.18 once in a while: the flags of an
// interrupted decrement (SLUB's preempt count, in kmem_cache_alloc_node) hold an
// operand's bits. It says nothing of what ran in the guest, so it may be run
// again.
var ErrEmulator = errors.New("the emulator broke the processor's flags")

// impossibleFlags looks for a register dump in which a bit of EFLAGS from 22 on
// is set; all of these are zero (Intel SDM, volume 1, 3.4.3).
func impossibleFlags(console string) bool {
	for _, m := range regexp.MustCompile(`EFLAGS: ([0-9a-f]{8})\b`).FindAllStringSubmatch(console, -1) {
		if flags, err := strconv.ParseUint(m[1], 16, 32); err == nil && flags>>22 != 0 {
			return true
		}
	}
	return false
}

// startProcess starts cmd. stop kills it, exited is closed when it has ended.
//
// The death signal is sent when the thread that started the process ends, so
// that thread waits for it.
func startProcess(cmd *exec.Cmd) (stop func(), exited chan struct{}, err error) {
	exited = make(chan struct{})
	started := make(chan error)
	go func() {
		defer close(exited)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			// How QEMU ends says nothing about the guest.
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, nil, err
	}
	return func() { _ = cmd.Process.Kill() }, exited, nil
}

// errGuest marks what the guest's init itself said was wrong.
var errGuest = errors.New("guest")

// session is the host's side of one boot.
type session struct {
	cfg     Config
	start   time.Time
	jobs    int
	done    func(int, Result)
	boot    Boot
	results []Result
	// jobStart is when the running job began.
	jobStart time.Time
}

// listen reads frames until the guest says that it is done.
func (s *session) listen(r io.Reader) error {
	for {
		t, p, err := wire.Read(r)
		if err != nil {
			return err
		}
		finished, err := s.frame(t, p)
		if err != nil || finished {
			return err
		}
	}
}

func (s *session) frame(t wire.Type, p []byte) (finished bool, err error) {
	switch t {
	case wire.TypeReady:
		var ready wire.Ready
		if err := json.Unmarshal(p, &ready); err != nil {
			return false, fmt.Errorf("guest's first frame: %w", err)
		}
		if ready.Release != s.boot.Kernel.Release {
			return false, fmt.Errorf("%w runs %s", errGuest, ready.Release)
		}
		s.jobStart = time.Now()
		s.boot.Wall = s.jobStart.Sub(s.start)
		s.boot.Guest = time.Duration(ready.Uptime * float64(time.Second))
	case wire.TypeStdout:
		_, err = s.cfg.Stdout.Write(p)
	case wire.TypeStderr:
		_, err = s.cfg.Stderr.Write(p)
	case wire.TypeExit:
		return false, s.exit(p)
	case wire.TypeFatal:
		return false, fmt.Errorf("%w: %s", errGuest, p)
	case wire.TypeDone:
		if len(s.results) != s.jobs {
			return false, fmt.Errorf("%w: only %d of %d commands reported", errGuest, len(s.results), s.jobs)
		}
		return true, nil
	default:
		return false, fmt.Errorf("%w: frame of unknown type %q", errGuest, byte(t))
	}
	return false, err
}

func (s *session) exit(p []byte) error {
	var exit wire.Exit
	if err := json.Unmarshal(p, &exit); err != nil {
		return fmt.Errorf("guest's exit frame: %w", err)
	}
	r := Result{ExitCode: exit.Code, Elapsed: time.Since(s.jobStart)}
	if exit.Error != "" {
		r.Err = errors.New(exit.Error)
	}
	s.jobStart = time.Now()
	s.results = append(s.results, r)
	if s.done != nil {
		s.done(len(s.results)-1, r)
	}
	return nil
}

// tail passes the console on and keeps its end.
type tail struct {
	mu  sync.Mutex
	w   io.Writer
	end []byte
}

// tailSize is how much of the console is kept: a panic with its call trace.
const tailSize = 16 << 10

// tailLines is how much of that is shown: the trace and both register dumps.
const tailLines = 120

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, p...)
	t.end = t.end[max(0, len(t.end)-tailSize):]
	return t.w.Write(p)
}

func (t *tail) contains(s string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Contains(t.end, []byte(s))
}

func (t *tail) last(n int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return lastLines(t.end, n)
}

// terminalSize returns the size of the terminal this process writes to, or
// zeros.
func terminalSize() (rows, cols int) {
	size, err := unix.IoctlGetWinsize(int(os.Stdout.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return int(size.Row), int(size.Col)
}
