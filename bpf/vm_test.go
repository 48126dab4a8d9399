//go:build vmtest && linux

package bpf

// These tests need a kernel that lets programs attach. `make test-vm` builds
// them and runs them as root in a VM for each kernel; they never skip.

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain lets the test binary be its own toucher: with BEESTING_TOUCH set it
// opens that file, as its first act, and is gone.
func TestMain(m *testing.M) {
	if path := os.Getenv("BEESTING_TOUCH"); path != "" {
		fd, err := unix.Open(path, unix.O_RDONLY, 0)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		unix.Close(fd)
		os.Exit(0)
	}
	if code, ok := childMain(); ok {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

func kernelVersion(t *testing.T) (major, minor int) {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	return major, minor
}

// workingModes are the modes that this kernel has to support: a mode that is
// refused is a failure, not a skip.
func workingModes(t *testing.T) []Mode {
	if lockedDown() {
		return []Mode{ModeLSM, ModeFentry}
	}
	major, minor := kernelVersion(t)
	if major == 5 && minor < 11 {
		return []Mode{ModeKprobe} // no bpf_get_current_task_btf
	}
	return Modes()
}

// TestSensor runs everything that one sensor can be used for in turn, in each
// mode: loading and attaching is what takes long.
func TestSensor(t *testing.T) {
	tests := []struct {
		name string
		run  func(*testing.T, *Sensor)
	}{
		{"attribution", testAttribution},
		{"short-lived processes", testShortLived},
		{"own opens", testOwnOpensAreNoEvents},
		{"watch ends", testWatchEnds},
		{"refusals", testWatchRefuses},
		{"enrolment is own", testEnrolmentIsOwn},
		{"inode reuse", testInodeReuse},
		{"entry process", testEntryProcess},
		{"long arguments", testLongArguments},
		{"program paths", testProgramPaths},
		{"program path in a root", testProgramPathInRoot},
		{"ways to open", testWaysToOpen},
		{"io_uring", testRing},
		{"paths to a file", testPathsToAFile},
		{"repeats", testRepeats},
		{"close", testClose},
		{"a lock of the workload", testOthersLock},
		{"exempt", testExempt},
		{"a skipped return", testStalePending},
		{"io_uring below an overlay", testRingBelowOverlay},
		{"overlay, upper layer", testOverlayUpper},
		{"overlay, lower layer", testOverlayLower},
		{"overlay, copy-up is waited for", testCopyUpIsWaitedFor},
		{"overlay, watched below", testOverlayWatchedBelow},
	}
	for _, mode := range workingModes(t) {
		t.Run(string(mode), func(t *testing.T) {
			s := open(t, Options{Mode: mode})
			for _, tt := range tests {
				t.Run(tt.name, func(t *testing.T) { tt.run(t, s) })
			}
		})
	}
}

func open(t *testing.T, o Options) *Sensor {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// publicDir is a directory that every user may enter.
func publicDir(t *testing.T, parent string) string {
	t.Helper()
	dir, err := os.MkdirTemp(parent, "beesting")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func token(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "token")
	if err := os.WriteFile(path, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func watch(t *testing.T, s *Sensor, path string, placement uint64) *Watch {
	t.Helper()
	f, err := os.OpenFile(path, unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := s.Watch(f, placement)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// drain returns all touches that have happened.
func drain(t *testing.T, s *Sensor) []Event {
	t.Helper()
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	var events []Event
	for {
		e, err := s.Read()
		if errors.Is(err, ErrFlushed) {
			return events
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind != KindClose {
			events = append(events, e)
		}
	}
}

func one(t *testing.T, s *Sensor) Event {
	t.Helper()
	events := drain(t, s)
	if len(events) != 1 {
		t.Fatalf("%d events, want 1: %+v", len(events), events)
	}
	return events[0]
}

// touch opens path from a process of its own, started as attr says.
func touch(t *testing.T, path string, attr *syscall.SysProcAttr) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "first", "second arg")
	cmd.Env = []string{"BEESTING_TOUCH=" + path}
	cmd.SysProcAttr = attr
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("touch: %v: %s", err, out)
	}
	return cmd
}

func TestModesOfThisKernel(t *testing.T) {
	// The kernel's own word, since the tests go by what the package found out.
	b, err := os.ReadFile("/sys/kernel/security/lockdown")
	if err != nil || lockedDown() != strings.Contains(string(b), "[confidentiality]") {
		t.Errorf("lockdown %q, %v: taken for %v", b, err, lockedDown())
	}
	want := workingModes(t)
	for _, a := range Probe(Options{}) {
		if works := slices.Contains(want, a.Mode); works != (a.Err == nil) {
			t.Errorf("%s: %v", a.Mode, a.Err)
		} else {
			t.Logf("%s: %v", a.Mode, a.Err)
		}
	}
	t.Logf("preempts: %v", kernelPreempts())
	if s := open(t, Options{}); s.Mode() != want[0] {
		t.Errorf("auto took %s after %v", s.Mode(), s.Refused())
	}
}

func testAttribution(t *testing.T, s *Sensor) {
	path := token(t, publicDir(t, ""))
	w := watch(t, s, path, 7)
	defer w.Close()

	before := bootTime(t)
	cred := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1234, Gid: 2345}, Setsid: true}
	cmd := touch(t, path, cred)
	after := bootTime(t)

	e := one(t, s)
	self, _ := os.Executable()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	pid := uint32(cmd.Process.Pid)
	e.ParentStartTime = e.ParentStartTime.Truncate(10 * time.Millisecond) // as /proc has it
	want := e
	want.Kind, want.Placement = KindOpen, 7
	want.PID, want.TID, want.SessionLeaderPID = pid, pid, pid
	want.ParentPID = uint32(os.Getpid())
	want.ParentStartTime = startTime(t, os.Getpid())
	want.UID, want.EUID, want.GID, want.EGID = 1234, 1234, 2345, 2345
	want.LoginUID, want.AuditSession = ^uint32(0), ^uint32(0)
	want.Inode, want.CgroupID = st.Ino, cgroupID(t)
	want.Comm = filepath.Base(self)[:min(15, len(filepath.Base(self)))]
	want.Executable, want.ExecutableTruncated = self, false
	want.Args = []string{self, "first", "second arg"}
	want.ArgsTruncated, want.ArgsMissing = false, false
	if lockedDown() {
		want.Args, want.ArgsMissing = nil, true
	}
	if !equal(e, want) {
		t.Errorf("got  %+v\nwant %+v", e, want)
	}
	if e.Time < before || e.Time > after || e.StartTime < before-time.Second || e.StartTime > e.Time {
		t.Errorf("times: before %v, start %v, touch %v, after %v", before, e.StartTime, e.Time, after)
	}
	if e.EntryPID == 0 || e.EntryStartTime == 0 || e.EntryStartTime > e.StartTime {
		t.Errorf("entry process %d, started %v", e.EntryPID, e.EntryStartTime)
	}
	if e.Flags&unix.O_ACCMODE != unix.O_RDONLY {
		t.Errorf("flags %#x", e.Flags)
	}
}

func equal(a, b Event) bool { return fmt.Sprintf("%+v", a) == fmt.Sprintf("%+v", b) }

func bootTime(t *testing.T) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// startTime reads a process's start from /proc, in the precision of its clock
// ticks, and checks the event's against it.
func startTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+2:]))
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func cgroupID(t *testing.T) uint64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			var st unix.Stat_t
			if err := unix.Stat(filepath.Join("/sys/fs/cgroup", p), &st); err != nil {
				t.Fatal(err)
			}
			return st.Ino
		}
	}
	t.Fatal("no cgroup v2")
	return 0
}

func skippedRuns(t *testing.T, s *Sensor) int {
	t.Helper()
	st, err := s.Stats()
	if err != nil {
		t.Fatal(err)
	}
	return int(st.Lost[LostRecursion])
}

// A process that is gone at once is complete all the same, and none is missed.
func testShortLived(t *testing.T, s *Sensor) {
	path := token(t, t.TempDir())
	w := watch(t, s, path, 1)
	defer w.Close()

	skippedBefore := skippedRuns(t, s)
	const n = 200
	pids := make(chan int, n)
	var wg sync.WaitGroup
	slots := make(chan struct{}, 32)
	for range n {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			cmd := exec.Command("/bin/busybox", "cat", path)
			if err := cmd.Run(); err != nil {
				t.Error(err)
				return
			}
			pids <- cmd.Process.Pid
		})
	}
	wg.Wait()
	close(pids)

	seen := make(map[uint32]int)
	for _, e := range drain(t, s) {
		seen[e.PID]++
		args := []string{"/bin/busybox", "cat", path}
		if lockedDown() {
			args = nil
		}
		if e.Comm != "busybox" || e.Executable != "/bin/busybox" || !slices.Equal(e.Args, args) ||
			e.ParentPID != uint32(os.Getpid()) || e.ExecutableTruncated || e.ArgsMissing != lockedDown() || e.ArgsTruncated {
			t.Errorf("incomplete: %+v", e)
		}
	}
	// See NotePreempts: nothing may be missing that the kernel didn't skip.
	skipped := 0
	if s.Mode() == ModeFentry && kernelPreempts() {
		skipped = skippedRuns(t, s) - skippedBefore
		t.Logf("%d of %d seen, the kernel skipped %d runs", len(seen), n, skipped)
	}
	for pid := range pids {
		if c := seen[uint32(pid)]; c != 1 && (c != 0 || skipped == 0) {
			t.Errorf("pid %d: %d events", pid, c)
		}
	}
	if len(seen)+skipped < n {
		t.Errorf("%d processes, want %d", len(seen), n)
	}
	c, err := s.Count(1)
	if err != nil {
		t.Fatal(err)
	}
	// Whose open was skipped is still seen to read what it never opened.
	if opens := c.Seen[KindOpen]; opens != uint64(len(seen)) && (skipped == 0 || opens > uint64(len(seen))) {
		t.Errorf("count %+v", c)
	}
}

func testOwnOpensAreNoEvents(t *testing.T, s *Sensor) {
	path := token(t, t.TempDir())
	w := watch(t, s, path, 1)
	for range 100 {
		if _, err := os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if events := drain(t, s); len(events) != 0 {
		t.Errorf("%d events: %+v", len(events), events)
	}
}

func testWatchEnds(t *testing.T, s *Sensor) {
	path := token(t, t.TempDir())
	w := watch(t, s, path, 1)
	touch(t, path, nil)
	one(t, s)
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	touch(t, path, nil)
	if events := drain(t, s); len(events) != 0 {
		t.Errorf("events after the end: %+v", events)
	}
	if _, err := s.Count(1); err == nil {
		t.Error("the counter outlives the watch")
	}
	// The same inode and the same id can be used again.
	defer watch(t, s, path, 1).Close()
	touch(t, path, nil)
	one(t, s)
}

func testWatchRefuses(t *testing.T, s *Sensor) {
	dir := t.TempDir()
	path := token(t, dir)
	defer watch(t, s, path, 1).Close()

	try := func(path string, placement uint64) error {
		f, err := os.OpenFile(path, unix.O_PATH, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		_, err = s.Watch(f, placement)
		return err
	}
	var we *WatchedError
	if err := try(path, 2); !errors.As(err, &we) || we.Placement != 1 {
		t.Errorf("inode watched twice: %v", err)
	}
	if err := try(dir, 3); !errors.Is(err, ErrNotRegular) {
		t.Errorf("directory: %v", err)
	}
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := try(other, 0); err == nil {
		t.Error("placement zero accepted")
	}
	if err := try(other, 1); err == nil {
		t.Error("placement used twice")
	}
	touch(t, path, nil)
	if e := one(t, s); e.Placement != 1 {
		t.Errorf("placement %d after refusals", e.Placement)
	}
}

// An inode number that is used again is another file.
func testInodeReuse(t *testing.T, s *Sensor) {
	dir := t.TempDir()
	path := token(t, dir)
	w := watch(t, s, path, 1)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		other := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(other, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		touch(t, other, nil)
	}
	if err := w.Close(); err != nil {
		t.Errorf("unwatch a deleted file: %v", err)
	}
	if events := drain(t, s); len(events) != 0 {
		t.Errorf("%d events of other files", len(events))
	}
}

// In one mode: rings and maps are the same in all of them.
func TestFullRingIsCounted(t *testing.T) {
	for _, mode := range workingModes(t)[:1] {
		t.Run(string(mode), func(t *testing.T) {
			s := open(t, Options{Mode: mode, RingBytes: 4096})
			path := token(t, t.TempDir())
			defer watch(t, s, path, 1).Close()
			const n = 10
			for range n {
				touch(t, path, nil)
			}
			got := uint64(len(drain(t, s)))
			c, err := s.Count(1)
			if err != nil {
				t.Fatal(err)
			}
			st, err := s.Stats()
			if err != nil {
				t.Fatal(err)
			}
			seen, lost := c.Seen[KindOpen], c.Lost[KindOpen]
			if seen != n || got == 0 || lost == 0 || seen != got+lost || st.Lost[LostRingFull] != lost {
				t.Errorf("read %d, count %+v, stats %+v", got, c, st)
			}
			t.Logf("read %d of %d, stats %+v", got, n, st)
		})
	}
}

func TestTooManyWatches(t *testing.T) {
	for _, mode := range workingModes(t)[:1] {
		t.Run(string(mode), func(t *testing.T) {
			s := open(t, Options{Mode: mode, MaxWatches: 2})
			dir := t.TempDir()
			var err error
			for i := range 3 {
				name := filepath.Join(dir, fmt.Sprint(i))
				if err := os.WriteFile(name, nil, 0o644); err != nil {
					t.Fatal(err)
				}
				f, oerr := os.Open(name)
				if oerr != nil {
					t.Fatal(oerr)
				}
				_, err = s.Watch(f, uint64(i+1))
				f.Close()
				if i < 2 && err != nil {
					t.Fatal(err)
				}
			}
			if !errors.Is(err, ErrTooMany) {
				t.Errorf("third watch of two: %v", err)
			}
		})
	}
}
