//go:build vmtest && linux

package bpf

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childMain runs what a test needs done in a process of its own, named by
// BEESTING_CHILD; the answer goes to standard output.
func childMain() (code int, ok bool) {
	var err error
	switch os.Getenv("BEESTING_CHILD") {
	case "":
		return 0, false
	case "no-btf":
		err = noBTF()
	case "own-pid-namespace":
		err = ownPIDNamespace(Mode(os.Args[1]), os.Args[2])
	case "grandchild":
		// Touches the token from a child of this process.
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = []string{"BEESTING_TOUCH=" + os.Args[1]}
		err = cmd.Run()
	case "append":
		var f *os.File
		if f, err = os.OpenFile(os.Args[1], os.O_WRONLY|os.O_APPEND, 0); err == nil {
			err = f.Close()
		}
	case "open-loop":
		for deadline := time.Now().Add(4 * time.Second); time.Now().Before(deadline); {
			for _, path := range os.Args[1:] {
				fd, openErr := unix.Open(path, unix.O_RDONLY, 0)
				if openErr != nil {
					err = openErr
					break
				}
				unix.Close(fd)
			}
		}
	case "io_uring":
		err = openByRing(os.Args[1], os.Args[2])
	case "by-handle":
		var h unix.FileHandle
		if h, _, err = unix.NameToHandleAt(unix.AT_FDCWD, os.Args[1], 0); err == nil {
			var mount int
			if mount, err = unix.Open(filepath.Dir(os.Args[1]), unix.O_RDONLY|unix.O_DIRECTORY, 0); err == nil {
				_, err = unix.OpenByHandleAt(mount, h, unix.O_RDONLY)
			}
		}
	case "again":
		var fd int
		if fd, err = unix.Open(os.Args[1], unix.O_PATH, 0); err == nil {
			_, err = unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDONLY, 0)
		}
	case "openat2":
		_, err = unix.Openat2(unix.AT_FDCWD, os.Args[1], &unix.OpenHow{Flags: unix.O_RDONLY})
	case "hold":
		err = hold(os.Args[1])
	case "unlink-when-told":
		err = unlinkWhenTold(os.Args[1])
	case "unlink":
		err = unix.Unlink(os.Args[1])
	case "lock-and-stat":
		err = lockAndStat(os.Args[1])
	case "symlinks":
		err = symlinks(os.Args[1], os.Args[2], os.Args[3])
	case "often":
		err = openOften(os.Args[1], os.Args[2])
	case "creat":
		_, err = unix.Creat(os.Args[1], 0)
	case "open":
		var s *Sensor
		if s, err = Open(Options{}); err == nil {
			fmt.Println("opened in mode", s.Mode())
		}
	}
	if err != nil {
		fmt.Println(err)
		return 1, true
	}
	return 0, true
}

func child(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = []string{"BEESTING_CHILD=" + name}
	return cmd
}

func noBTF() error {
	if err := unix.Mount("none", "/sys/kernel/btf", "tmpfs", 0, ""); err != nil {
		return err
	}
	_, err := Open(Options{})
	return err
}

func TestNoBTF(t *testing.T) {
	cmd := child("no-btf")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	out, err := cmd.Output()
	if err == nil || strings.TrimSpace(string(out)) != ErrNoBTF.Error() {
		t.Errorf("%v: %s", err, out)
	}
}

func TestNoPermission(t *testing.T) {
	cmd := child("open")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.Output()
	text := strings.TrimSpace(string(out))
	if err == nil || strings.Contains(text, "\n") || !strings.Contains(text, "not permitted") {
		t.Errorf("%v: %s", err, out)
	}
}

// In a pid namespace of its own the sensor still knows itself, and events carry
// the host's pids.
func ownPIDNamespace(mode Mode, path string) error {
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return err
	}
	s, err := Open(Options{Mode: mode})
	if err != nil {
		return err
	}
	defer s.Close()
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := s.Watch(f, 1); err != nil {
		return err
	}
	if _, err := os.ReadFile(path); err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{"BEESTING_TOUCH=" + path}
	if err := cmd.Run(); err != nil {
		return err
	}
	e, err := s.Read()
	if err != nil {
		return err
	}
	if c, err := s.Count(1); err != nil || c.Seen[KindOpen] != 1 {
		return fmt.Errorf("count %+v, %w", c, err)
	}
	if os.Getpid() != 1 || int(e.PID) == cmd.Process.Pid {
		return fmt.Errorf("pid %d, event's %d, child's %d", os.Getpid(), e.PID, cmd.Process.Pid)
	}
	return nil
}

// In one mode: all of them recognise this process in the same way.
func TestOwnPIDNamespace(t *testing.T) {
	path := token(t, t.TempDir())
	cmd := child("own-pid-namespace", string(workingModes(t)[0]), path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Cloneflags: unix.CLONE_NEWPID}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// The entry process is the topmost ancestor in the same cgroup.
func testEntryProcess(t *testing.T, s *Sensor) {
	path := token(t, t.TempDir())
	defer watch(t, s, path, 1).Close()

	group := filepath.Join("/sys/fs/cgroup", "beesting-test")
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(group)
	fd, err := unix.Open(group, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	cmd := child("grandchild", path)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	e := one(t, s)
	var st unix.Stat_t
	if err := unix.Stat(group, &st); err != nil {
		t.Fatal(err)
	}
	if int(e.EntryPID) != cmd.Process.Pid || e.PID == e.EntryPID || e.ParentPID != e.EntryPID ||
		e.EntryStartTime != e.ParentStartTime || e.CgroupID != st.Ino {
		t.Errorf("entry %d, want %d; cgroup %d, want %d: %+v", e.EntryPID, cmd.Process.Pid, e.CgroupID, st.Ino, e)
	}
}

func testWaysToOpen(t *testing.T, s *Sensor) {
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(publicDir(t, "/mnt/ext4"), "token")
	put(t, path, busybox)
	defer watch(t, s, path, 1).Close()
	exe := exec.Command(path, "true")
	exe.Args = []string{"busybox", "true"}
	for _, way := range []struct {
		name string
		cmd  *exec.Cmd
		want []Kind
	}{
		{"execve", exe, []Kind{KindExec}},
		{"open_by_handle_at", child("by-handle", path), []Kind{KindHandle, KindOpen}},
		{"O_PATH, reopened", child("again", path), []Kind{KindOpen}},
		{"openat2", child("openat2", path), []Kind{KindOpen}},
	} {
		if out, err := way.cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", way.name, err, out)
		}
		var got []Kind
		for _, e := range drain(t, s) {
			got = append(got, e.Kind)
		}
		if !slices.Equal(got, way.want) {
			t.Errorf("%s: %v, want %v", way.name, got, way.want)
		}
	}
	// Last: it empties the file.
	if out, err := child("creat", path).CombinedOutput(); err != nil {
		t.Fatalf("creat: %v: %s", err, out)
	}
	one(t, s)
}

// Other processes' opens at the moment when an enrolment ends are not enrolled.
func testEnrolmentIsOwn(t *testing.T, s *Sensor) {
	dir := publicDir(t, "")
	var others []string
	for i := range 8 {
		others = append(others, filepath.Join(dir, fmt.Sprint(i)))
		put(t, others[i], nil)
	}
	cmd := child("open-loop", others...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	path := token(t, dir)
	rounds := 0
	for running := true; running; rounds++ {
		if err := watch(t, s, path, 1).Close(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		default:
		}
	}
	if events := drain(t, s); len(events) != 0 {
		t.Errorf("%d events of files that nobody watches after %d rounds: %+v", len(events), rounds, events[0])
	}
}

func testLongArguments(t *testing.T, s *Sensor) {
	path := token(t, t.TempDir())
	defer watch(t, s, path, 1).Close()
	run := func(args ...string) Event {
		cmd := exec.Command("/proc/self/exe", args...)
		cmd.Env = []string{"BEESTING_TOUCH=" + path}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return one(t, s)
	}
	if e := run(strings.Repeat("x", 4000)); !e.ArgsTruncated || len(e.Args) != 2 || len(e.Args[1]) < 900 {
		t.Errorf("long argument: %d arguments, truncated %v", len(e.Args), e.ArgsTruncated)
	}
	if e := run("", "a\nb", ""); e.ArgsTruncated || !slices.Equal(e.Args[1:], []string{"", "a\nb", ""}) {
		t.Errorf("empty arguments: %q", e.Args)
	}
}

func testProgramPaths(t *testing.T, s *Sensor) {
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	path := token(t, t.TempDir())
	defer watch(t, s, path, 1).Close()
	run := func(prog string) Event {
		cmd := exec.Command(prog)
		cmd.Args = []string{"busybox", "cat", path}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", prog, err, out)
		}
		return one(t, s)
	}
	dir := t.TempDir()

	deep := filepath.Join(dir, strings.Repeat("d/", 30), "busybox")
	put(t, deep, busybox)
	if e := run(deep); e.Executable != deep || e.ExecutableTruncated {
		t.Errorf("30 directories: %q, truncated %v", e.Executable, e.ExecutableTruncated)
	}
	long := filepath.Join(dir, strings.Repeat(strings.Repeat("l", 250)+"/", 6), "busybox")
	put(t, long, busybox)
	e := run(long)
	if !e.ExecutableTruncated || e.Executable != "" && !strings.HasSuffix(e.Executable, "/busybox") {
		t.Errorf("1500 bytes: %q, truncated %v", e.Executable, e.ExecutableTruncated)
	}

	mounted := filepath.Join(dir, "mnt")
	if err := errors.Join(os.Mkdir(mounted, 0o755), unix.Mount("none", mounted, "tmpfs", 0, "")); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(mounted, unix.MNT_DETACH)
	put(t, filepath.Join(mounted, "sub/busybox"), busybox)
	if e := run(filepath.Join(mounted, "sub/busybox")); e.Executable != filepath.Join(mounted, "sub/busybox") {
		t.Errorf("across a mount: %q", e.Executable)
	}

	fd, err := unix.MemfdCreate("hidden", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, busybox); err != nil {
		t.Fatal(err)
	}
	if e := run(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd)); e.Executable != "/memfd:hidden (deleted)" {
		t.Errorf("memfd: %q", e.Executable)
	}
}

func put(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o755)); err != nil {
		t.Fatal(err)
	}
}

// The path is the one that the process itself sees below its root.
func testProgramPathInRoot(t *testing.T, s *Sensor) {
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	put(t, filepath.Join(root, "bin/busybox"), busybox)
	path := token(t, root)
	defer watch(t, s, path, 1).Close()
	cmd := exec.Command("/bin/busybox", "cat", "/token")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if e := one(t, s); e.Executable != "/bin/busybox" {
		t.Errorf("got %q", e.Executable)
	}
}
