//go:build linux && (native || vmtest)

package fanotify

// These tests need root and fanotify permission events. With the tag native they
// run on the machine itself, with vmtest in a VM for each kernel (`make
// test-vm`). They never skip: a machine that can't is a failure.

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/bpf"
)

// TestMain lets the test binary be its own toucher.
func TestMain(m *testing.M) {
	if what := os.Getenv("BEESTING_TOUCH"); what != "" {
		os.Exit(toucherMain(what, os.Getenv("BEESTING_TOKEN")))
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests need root: run them with sudo, or without the tag native")
		os.Exit(1)
	}
	os.Exit(runTests(m))
}

// program is a copy of the test binary where every user may execute it.
var program string

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "beesting")
	if err == nil {
		defer os.RemoveAll(dir)
		err = os.Chmod(dir, 0o755)
	}
	var self []byte
	if err == nil {
		self, err = os.ReadFile("/proc/self/exe")
	}
	program = filepath.Join(dir, "toucher")
	if err == nil {
		err = os.WriteFile(program, self, 0o755)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
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

func token(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "beesting")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "token")
	if err := os.WriteFile(path, []byte("#!/bin/true\nsecret"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// watch watches path as placement 7.
func watch(t *testing.T, s *Sensor, path string) *Watch {
	t.Helper()
	f, err := os.OpenFile(path, unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := s.Watch(f, 7)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*Watch)
}

// drain returns all events that have happened.
func drain(t *testing.T, s *Sensor) []bpf.Event {
	t.Helper()
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	var events []bpf.Event
	for {
		e, err := s.Read()
		if errors.Is(err, bpf.ErrFlushed) {
			return events
		}
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
}

// touches leaves out the ends of opens.
func touches(events []bpf.Event) []bpf.Event {
	var all []bpf.Event
	for _, e := range events {
		if e.Kind != bpf.KindClose {
			all = append(all, e)
		}
	}
	return all
}

func one(t *testing.T, s *Sensor) bpf.Event {
	t.Helper()
	events := touches(drain(t, s))
	if len(events) != 1 {
		t.Fatalf("%d events, want 1: %s", len(events), brief(events))
	}
	return events[0]
}

func brief(events []bpf.Event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%s pid %d total %d handle %d reads %d; ", e.Kind, e.PID, e.Total, e.Handle, e.Reads)
	}
	return b.String()
}

// toucher is a process that touches the token in a way of touch_test.go.
func toucher(t *testing.T, what, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(program, "first", "second arg")
	cmd.Env = []string{"BEESTING_TOUCH=" + what, "BEESTING_TOKEN=" + path}
	cmd.Stderr = os.Stderr
	return cmd
}

func touch(t *testing.T, what, path string) *exec.Cmd {
	t.Helper()
	cmd := toucher(t, what, path)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return cmd
}

func bootNow(t *testing.T) time.Duration {
	t.Helper()
	now, err := bootTime()
	if err != nil {
		t.Fatal(err)
	}
	return now
}

func TestAttribution(t *testing.T) {
	s := open(t, Options{})
	path := token(t)
	watch(t, s, path)
	before := bootNow(t)
	var cmd *exec.Cmd
	var e bpf.Event
	// An emulator that has to translate everything first takes longer than a task
	// is made to wait.
	for late := uint64(1); late > 0; {
		late = s.Late()
		cmd = toucher(t, "open", path)
		cmd.Dir = "/proc"
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: 1234, Gid: 2345}, Setsid: true,
		}
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		e = one(t, s)
		if late = s.Late() - late; s.Late() > 10 {
			t.Fatal("let go before it was looked at, each time")
		}
	}
	own := s.eye.proc
	ownStat, err := own.stat(uint32(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	pid := uint32(cmd.Process.Pid)
	want := e
	want.Kind, want.Placement, want.Total, want.Variant = bpf.KindOpen, 7, 1, 0
	want.PID, want.TID, want.SessionLeaderPID = pid, pid, pid
	want.ParentPID, want.ParentStartTime = uint32(os.Getpid()), ownStat.start
	want.UID, want.EUID, want.GID, want.EGID, want.Capabilities = 1234, 1234, 2345, 2345, 0
	want.LoginUID, want.AuditSession = own.auditID(uint32(os.Getpid()), "loginuid"), own.auditID(uint32(os.Getpid()), "sessionid")
	want.Executable, want.ExecutableTruncated = program, false
	want.Args, want.ArgsTruncated, want.ArgsMissing = []string{program, "first", "second arg"}, false, false
	want.Cwd, want.Inode, want.Mode = "/proc", st.Ino, fmodeRead
	want.DevMajor, want.DevMinor = unix.Major(st.Dev), unix.Minor(st.Dev)
	want.MountNS, want.PIDNS = own.namespace(uint32(os.Getpid()), "mnt"), own.namespace(uint32(os.Getpid()), "pid")
	want.NetNS, want.UserNS = own.namespace(uint32(os.Getpid()), "net"), own.namespace(uint32(os.Getpid()), "user")
	if got, exp := fmt.Sprintf("%+v", e), fmt.Sprintf("%+v", want); got != exp {
		t.Errorf("event\n%s, want\n%s", got, exp)
	}
	if e.Time < before || e.Time > bootNow(t) || e.StartTime > e.Time || e.StartTime < before-time.Second {
		t.Errorf("time %v, start %v, begun at %v", e.Time, e.StartTime, before)
	}
	if e.Handle == 0 || e.Flags&unix.O_CLOEXEC == 0 || e.MountNS == 0 || e.UserNS == 0 {
		t.Errorf("handle %d, flags %#x, namespaces %d %d", e.Handle, e.Flags, e.MountNS, e.UserNS)
	}
	if len(e.Ancestors) == 0 || e.Ancestors[0].PID != e.ParentPID || e.Ancestors[0].Comm != ownStat.comm {
		t.Errorf("ancestors %+v", e.Ancestors)
	}
	if id, _ := own.cgroup(uint32(os.Getpid())); e.CgroupID != s.eye.cgroups.id(id) {
		t.Errorf("cgroup %d, want that of %s", e.CgroupID, id)
	}
}
