//go:build vmtest && linux

package bpf

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openOften opens a file many times from one process, which goes on until its
// standard input ends so that nothing about it changes meanwhile.
func openOften(path, times string) error {
	n, err := strconv.Atoi(times)
	if err != nil {
		return err
	}
	for range n {
		fd, err := unix.Open(path, unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		if err := unix.Close(fd); err != nil {
			return err
		}
	}
	return nil
}

// readAll returns everything that has happened, closes included.
func readAll(t *testing.T, s *Sensor) []Event {
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
		events = append(events, e)
	}
}

// testRepeats: the first is told at once, the rest is in the kernel's table, and
// the sum is what was seen.
func testRepeats(t *testing.T, s *Sensor) {
	path := token(t, publicDir(t, ""))
	defer watch(t, s, path, 5).Close()
	const n = 1000
	cmd := child("often", path, strconv.Itoa(n))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	events := drain(t, s)
	if len(events) == 0 || events[0].Total != 1 || len(events) > 10 {
		t.Fatalf("%d events, the first %+v", len(events), events)
	}
	repeats, err := s.Repeats()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(repeats, func(r Repeat) bool {
		return r.Placement == 5 && r.PID == uint32(cmd.Process.Pid) // others had that id before
	})
	if i < 0 || repeats[i].Total != n || repeats[i].Kind != KindOpen {
		t.Errorf("repeats %+v", repeats)
	}
	if c, err := s.Count(5); err != nil || c.Seen[KindOpen] != n || c.Lost[KindOpen] != 0 {
		t.Errorf("count %+v, %v", c, err)
	}
}

// testClose: an open's end comes with its handle, its time and its reads.
func testClose(t *testing.T, s *Sensor) {
	path := token(t, publicDir(t, ""))
	defer watch(t, s, path, 6).Close()
	if err := s.FollowOpens(6); err != nil {
		t.Fatal(err)
	}
	cmd := child("hold", path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	events := readAll(t, s)
	if len(events) != 2 || events[0].Kind != KindOpen || events[1].Kind != KindClose {
		t.Fatalf("events %+v", events)
	}
	open, end := events[0], events[1]
	if open.Handle == 0 || end.Handle != open.Handle || end.OpenTime != open.Time || end.PID != open.PID {
		t.Errorf("open %+v\nclose %+v", open, end)
	}
	if took := end.Time - open.Time; took < 50*time.Millisecond || end.Reads != 3 || end.Writes != 0 {
		t.Errorf("took %v, %d reads, %d writes", took, end.Reads, end.Writes)
	}
}

func hold(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	b := make([]byte, 1)
	for range 3 {
		if _, err := f.ReadAt(b, 0); err != nil {
			return err
		}
	}
	time.Sleep(50 * time.Millisecond)
	return f.Close()
}

// testExempt: whoever runs an exempt program is counted and not told.
func testExempt(t *testing.T, s *Sensor) {
	path := token(t, publicDir(t, ""))
	defer watch(t, s, path, 8).Close()
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	for _, actor := range []Actor{ActorAllowed, ActorRuntime, ActorKubelet} {
		w, err := s.Exempt(self, actor)
		if err != nil {
			t.Fatal(err)
		}
		touch(t, path, nil)
		events := drain(t, s)
		switch {
		case actor == ActorAllowed && len(events) != 0, actor != ActorAllowed && (len(events) != 1 || events[0].Actor != actor):
			t.Errorf("actor %d: %+v", actor, events)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := s.Count(8); err != nil || c.Exempt != 1 || c.Seen[KindOpen] != 2 {
		t.Errorf("count %+v, %v", c, err)
	}
}

// lockAndStat opens the file under a lock of its own, which is gone before the
// close, and asks for its attributes when it has nothing open any more.
func lockAndStat(path string) error {
	first, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	lock := unix.Flock_t{Type: unix.F_RDLCK}
	if err := unix.FcntlFlock(uintptr(first), unix.F_SETLK, &lock); err != nil {
		return err
	}
	second, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	lock.Type = unix.F_UNLCK
	var st unix.Stat_t
	return errors.Join(unix.FcntlFlock(uintptr(first), unix.F_SETLK, &lock), unix.Close(second), unix.Close(first), unix.Stat(path, &st))
}

// A lock of the workload's own is not the agent's: it says nothing of closes.
func testOthersLock(t *testing.T, s *Sensor) {
	path := token(t, publicDir(t, ""))
	defer watch(t, s, path, 6).Close()
	if out, err := child("lock-and-stat", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	events := drain(t, s)
	if !slices.ContainsFunc(events, func(e Event) bool { return e.Kind == KindStat }) {
		t.Errorf("stat after the close not told: %+v", events)
	}
	for _, e := range events {
		if e.Handle != 0 {
			t.Errorf("the end of an open is awaited that nobody will see: %+v", e)
		}
	}
}
