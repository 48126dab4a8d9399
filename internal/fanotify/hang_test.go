//go:build linux && (native || vmtest)

package fanotify

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/bpf"
)

// inCgroup starts cmd in a cgroup.
func inCgroup(t *testing.T, cmd *exec.Cmd, dir *os.File) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
}

// slowest runs n opens in a process of its own and returns how long the slowest
// took, and all of them together.
func slowest(t *testing.T, path string, n int) (one, all time.Duration) {
	t.Helper()
	cmd := toucher(t, "time", path)
	cmd.Env = append(cmd.Env, "BEESTING_COUNT="+strconv.Itoa(n))
	var out bytes.Buffer
	cmd.Stdout = &out
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hung := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer hung.Stop()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("toucher: %v", err)
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(out.String()), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(ns), time.Since(start)
}

// A sensor in another process, which the tests can stop and kill.
type otherSensor struct {
	cmd   *exec.Cmd
	guard int
}

func startOther(t *testing.T, path string) otherSensor {
	t.Helper()
	cmd := exec.Command(program, "sensor")
	cmd.Env = []string{"BEESTING_TOUCH=be a sensor", "BEESTING_TOKEN=" + path}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var o otherSensor
	if _, err := fmt.Fscanf(out, "watching %d\n", &o.guard); err != nil {
		t.Fatal(err)
	}
	o.cmd = cmd
	return o
}

// beSensor watches path until it is killed.
func beSensor(path string) error {
	s, err := Open(Options{})
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	if _, err := s.Watch(f, 1); err != nil {
		return err
	}
	fmt.Printf("watching %d\n", s.GuardPID())
	for {
		if _, err := s.Read(); err != nil {
			return err
		}
	}
}

// The first touches wait for as long as is waited for at most, the others not.
func TestStoppedSensorDoesNotHoldAnyone(t *testing.T) {
	path := token(t)
	o := startOther(t, path)
	if one, _ := slowest(t, path, 10); one > 2*time.Second {
		t.Errorf("a sensor that runs: %v", one)
	}
	if err := o.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	one, all := slowest(t, path, 2000)
	t.Logf("stopped: slowest of 2000 opens %v, all together %v", one, all)
	if one < 50*time.Millisecond || one > 2*time.Second {
		t.Errorf("slowest open %v, want about 100ms", one)
	}
	if all > 10*time.Second {
		t.Errorf("all opens took %v", all)
	}
	if err := o.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	again, _ := slowest(t, path, 10)
	t.Logf("continued: slowest of 10 opens %v", again)
}

// Both stopped: only the kernel is left to help, by its timer.
func TestStoppedGuardDoesNotHoldAnyone(t *testing.T) {
	path := token(t)
	o := startOther(t, path)
	for _, pid := range []int{o.cmd.Process.Pid, o.guard} {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	one, _ := slowest(t, path, 100)
	t.Logf("sensor and guard stopped: slowest open %v", one)
	if one > 5*time.Second {
		t.Errorf("slowest open %v", one)
	}
}

func TestKilledSensorDoesNotHoldAnyone(t *testing.T) {
	path := token(t)
	o := startOther(t, path)
	if err := o.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	done := make(chan time.Duration)
	go func() {
		one, _ := slowest(t, path, 1)
		done <- one
	}()
	time.Sleep(20 * time.Millisecond)
	if err := o.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	t.Logf("killed while one waits: %v", <-done)
	gone := func() bool { return errors.Is(syscall.Kill(o.guard, 0), syscall.ESRCH) || zombie(o.guard) }
	for deadline := time.Now().Add(5 * time.Second); !gone(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the guard outlives the sensor")
		}
	}
}

func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(b), ") Z ")
}

// A guard that is killed is replaced, and its successor watches the same.
func TestGuardIsReplaced(t *testing.T) {
	s := open(t, Options{})
	path := token(t)
	watch(t, s, path)
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
		old := s.GuardPID()
		if err := syscall.Kill(old, signal); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(5 * time.Second); s.GuardPID() == old; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%v: no new guard", signal)
			}
		}
		time.Sleep(50 * time.Millisecond) // until the marks are set
		touch(t, "open", path)
		one(t, s)
	}
	stats, err := s.Stats()
	if err != nil || stats.Lost[LostGuard] != 2 {
		t.Errorf("stats %+v, %v", stats, err)
	}
}

// While this process' reader is stuck in nothing but the tests' lock, the guard
// answers in its place; everything is counted all the same.
func TestSlowSensorStillCounts(t *testing.T) {
	s := open(t, Options{})
	path := token(t)
	watch(t, s, path)
	one := func() time.Duration {
		s.mu.Lock()
		defer s.mu.Unlock() // or Close would wait for it when the test ends here
		one, _ := slowest(t, path, 5000)
		return one
	}()
	t.Logf("slowest open %v", one)
	if one > 2*time.Second {
		t.Errorf("slowest open %v", one)
	}
	drain(t, s)
	c, err := s.Count(7)
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.Repeats()
	if err != nil {
		t.Fatal(err)
	}
	told := uint64(0)
	for _, r := range all {
		told += r.Total
	}
	if c.Seen[bpf.KindOpen] != 5000 || told+c.Lost[bpf.KindOpen] != 5000 {
		t.Errorf("seen %d, told of %d, lost %d", c.Seen[bpf.KindOpen], told, c.Lost[bpf.KindOpen])
	}
	if stats, err := s.Stats(); err != nil || stats.Lost[LostUnanswered] == 0 || s.Late() == 0 {
		t.Errorf("stats %+v, late %d, %v", stats, s.Late(), err)
	}
}

func TestRefusals(t *testing.T) {
	s := open(t, Options{MaxWatches: 1})
	path := token(t)
	w := watch(t, s, path)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if again, err := s.Watch(f, 7); err != nil || again != w {
		t.Errorf("the same once more: %v", err)
	}
	var watched *bpf.WatchedError
	if _, err := s.Watch(f, 8); !errors.As(err, &watched) || watched.Placement != 7 {
		t.Errorf("another placement: %v", err)
	}
	other, err := os.Open(token(t))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := s.Watch(other, 8); !errors.Is(err, bpf.ErrTooMany) {
		t.Errorf("one too many: %v", err)
	}
	dir, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if _, err := s.Watch(dir, 8); !errors.Is(err, bpf.ErrNotRegular) {
		t.Errorf("a directory: %v", err)
	}
	if err := s.Forget(7); err == nil {
		t.Error("forgot a placement that is watched")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	touch(t, "open", path)
	if events := drain(t, s); len(events) != 0 {
		t.Errorf("after the watch: %s", brief(events))
	}
	if err := s.Forget(7); err != nil {
		t.Error(err)
	}
	if _, err := s.Count(7); err == nil {
		t.Error("counts what was forgotten")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Read(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
	if _, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		t.Errorf("open after close: %v", err)
	}
}
