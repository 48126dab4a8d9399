//go:build vmtest && linux

package bpf

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// symlinks makes links from one process, numbered into the target or all with
// the same one.
func symlinks(dir, format, times string) error {
	n, err := strconv.Atoi(times)
	if err != nil {
		return err
	}
	target := format
	for i := range n {
		if format != "" && format[0] == '%' {
			target = fmt.Sprintf(format, i)
		}
		name := filepath.Join(dir, "link")
		if err := unix.Symlink(target, name); err != nil {
			return err
		}
		if err := unix.Unlink(name); err != nil {
			return err
		}
	}
	return nil
}

// Anybody can make symbolic links. While nobody reads the ring they leave room
// for first touches, whatever they point at; what isn't told is counted.
func TestSymlinksFillNoRing(t *testing.T) {
	for _, mode := range workingModes(t) {
		if lockedDown() {
			return // the target can't be read: see Coverage
		}
		t.Run(string(mode), func(t *testing.T) {
			s := open(t, Options{Mode: mode, RingBytes: 1 << 16, RepeatInterval: 1 << 40})
			dir := publicDir(t, "")
			path := token(t, dir)
			defer watch(t, s, path, 1).Close()
			link := func(format string, n int) {
				t.Helper()
				if out, err := child("symlinks", dir, format, strconv.Itoa(n)).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			link("/a/token", 1)
			if events := drain(t, s); len(events) != 0 {
				t.Errorf("a name that nobody watches: %+v", events)
			}
			if err := s.WatchName("token"); err != nil {
				t.Fatal(err)
			}
			link("/a/token", 20)
			if e := one(t, s); e.Kind != KindSymlink || e.Detail != "/a/token" || e.Cwd != dir {
				t.Errorf("the same link again and again: %+v", e)
			}
			link("%d/other", 100)
			link("%d/token", 100)
			touch(t, path, nil)
			events := drain(t, s)
			last := events[len(events)-1]
			st, err := s.Stats()
			if err != nil {
				t.Fatal(err)
			}
			told := uint64(len(events) - 1)
			if last.Kind != KindOpen || told < 5 || told+st.Lost[LostRingFull] != 100 {
				t.Errorf("%d links told, the last event %+v, stats %+v", told, last, st)
			}
			if err := s.ForgetName("token"); err != nil {
				t.Fatal(err)
			}
			link("/b/token", 1)
			if events := drain(t, s); len(events) != 0 {
				t.Errorf("a name that was forgotten: %+v", events)
			}
			_ = os.Remove(filepath.Join(dir, "link"))
		})
	}
}
