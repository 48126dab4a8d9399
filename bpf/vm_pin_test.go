//go:build vmtest && linux

package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func bpffs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return filepath.Join(dir, "beesting")
}

// TestPinned: what is touched between two sensors is told by the second, and the
// counters go on.
func TestPinned(t *testing.T) {
	for _, mode := range workingModes(t) {
		t.Run(string(mode), func(t *testing.T) {
			if major, minor := kernelVersion(t); mode == ModeKprobe && (major < 5 || major == 5 && minor < 15) {
				pinRefused(t, mode)
				return
			}
			testPinned(t, mode)
		})
	}
}

// Links of perf events came with 5.15.
func pinRefused(t *testing.T, mode Mode) {
	dir := bpffs(t)
	s, err := Open(Options{Mode: mode, Pin: dir})
	if !errors.Is(err, ErrUnpinnable) {
		t.Errorf("error %v, want %v", err, ErrUnpinnable)
	}
	if err == nil {
		_ = s.Close()
	}
	if left, err := Pinned(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func testPinned(t *testing.T, mode Mode) {
	dir := bpffs(t)
	path := token(t, publicDir(t, ""))
	o := Options{Mode: mode, Pin: dir}
	first, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, resumed := first.Resumed(); resumed || !first.Pinned() {
		t.Errorf("first: resumed %v, pinned %v", resumed, first.Pinned())
	}
	watch(t, first, path, 3)
	touch(t, path, nil)
	one(t, first)
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	exempt, err := first.Exempt(self, ActorRuntime)
	if err != nil {
		t.Fatal(err)
	}
	touch(t, path, nil)
	if e := one(t, first); e.Actor != ActorRuntime {
		t.Errorf("actor %d", e.Actor)
	}
	tool, err := os.Open(token(t, publicDir(t, "")))
	if err != nil {
		t.Fatal(err)
	}
	defer tool.Close()
	if _, err := first.Exempt(tool, ActorAllowed); err != nil {
		t.Fatal(err)
	}
	_ = exempt // not closed: the next sensor goes on with it
	if err := first.SetAccount(3, Account{Delivered: [Kinds]uint64{KindOpen: 1}, Position: 7}); err != nil {
		t.Fatal(err)
	}
	first.Retain(true)
	left := touch(t, path, nil)
	dealtWith := one(t, first)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	away := touch(t, path, nil)

	second, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if second.generation != first.generation || len(second.links) != len(first.links) || len(second.coll.Programs) != len(first.links) {
		t.Errorf("generation %d with %d programs, after %d with %d: the same should go on", second.generation, len(second.links), first.generation, len(first.links))
	}
	resumed, ok := second.Resumed()
	if !ok || resumed.Placements != 1 || resumed.Since <= 0 {
		t.Errorf("resumed %+v, %v", resumed, ok)
	}
	events := drain(t, second)
	if len(events) != 2 || events[0].Position != dealtWith.Position || events[0].PID != uint32(left.Process.Pid) {
		t.Fatalf("event that the first sensor was dealing with, %+v: %+v", dealtWith, events)
	}
	if e := events[1]; e.PID != uint32(away.Process.Pid) || e.Placement != 3 || e.Position <= dealtWith.Position {
		t.Errorf("touch while away: %+v", e)
	}
	watch(t, second, path, 3)
	actor := func(when string, want Actor) {
		t.Helper()
		touch(t, path, nil)
		if e := one(t, second); e.Actor != want {
			t.Errorf("%s: actor %d, want %d", when, e.Actor, want)
		}
	}
	actor("taken over", ActorRuntime)
	kubelet, err := second.Exempt(self, ActorKubelet)
	if err != nil {
		t.Fatal(err)
	}
	actor("exempt anew", ActorKubelet)
	if _, err := second.Watch(tool, 4); !errors.As(err, new(*WatchedError)) {
		t.Errorf("watch what is exempt still: %v", err)
	}
	if err := second.ForgetEarlier(); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Watch(tool, 4); err != nil {
		t.Errorf("watch what is exempt no more: %v", err)
	}
	actor("what is earlier forgotten", ActorKubelet)
	if err := kubelet.Close(); err != nil {
		t.Fatal(err)
	}
	actor("exempt no more", 0)
	c, err := second.Count(3)
	a, errA := second.Account(3)
	if err != nil || errA != nil || c.Seen[KindOpen] != 8 || a.Position != 7 || a.Delivered[KindOpen] != 1 {
		t.Errorf("count %+v, account %+v, %v, %v", c, a, err, errA)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	uninstalled(t, mode, dir, path)
}

func uninstalled(t *testing.T, mode Mode, dir, path string) {
	t.Helper()
	removed, err := Uninstall(dir)
	if err != nil || len(removed) < 10 {
		t.Errorf("uninstalled %v, %v", removed, err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s after uninstalling: %v", dir, err)
	}
	if mode != workingModes(t)[0] {
		return // a sensor more takes long, and tells nothing of the mode
	}
	third, err := Open(Options{Mode: mode})
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	touch(t, path, nil)
	if events := drain(t, third); len(events) != 0 {
		t.Errorf("%d events of a file that nobody watches", len(events))
	}
}

// TestPinnedChanges: another mode goes on with what is pinned, in the sizes that
// it has; with maps that don't fit it begins anew, and replaces what was there.
func TestPinnedChanges(t *testing.T) {
	modes := workingModes(t)
	last, best := modes[len(modes)-1], modes[0]
	if major, minor := kernelVersion(t); last == ModeKprobe && (major < 5 || major == 5 && minor < 15) {
		return // see pinRefused
	}
	dir := bpffs(t)
	path := token(t, publicDir(t, ""))
	first, err := Open(Options{Mode: last, Pin: dir, RingBytes: 1 << 16})
	if err != nil {
		t.Fatal(err)
	}
	watch(t, first, path, 3)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	touch(t, path, nil)

	second, err := Open(Options{Mode: best, Pin: dir, RingBytes: 1 << 17})
	if err != nil {
		t.Fatal(err)
	}
	var full uint64
	err = second.coll.Variables["ring_full_for_repeats"].Get(&full)
	want := []KeptSize{{Map: "events", Size: 1 << 16, Wanted: 1 << 17}}
	if r, ok := second.Resumed(); !ok || !slices.Equal(r.Kept, want) || err != nil || full != 3<<14 {
		t.Errorf("resumed %v: %+v; %d bytes for repeats, %v", ok, r, full, err)
	}
	one(t, second)
	watch(t, second, path, 3)
	touch(t, path, nil)
	one(t, second)
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	links := filepath.Join(dir, fmt.Sprintf("v%d", layout), "links", fmt.Sprint(second.generation))
	if err := os.Remove(filepath.Join(links, "file_open")); err != nil {
		t.Fatal(err)
	}
	again, err := Open(Options{Mode: best, Pin: dir, RingBytes: 1 << 17})
	if err != nil {
		t.Fatal(err)
	}
	if r, ok := again.Resumed(); !ok || again.generation <= second.generation {
		t.Errorf("a program is missing: generation %d after %d, resumed %v: %+v", again.generation, second.generation, ok, r)
	}
	touch(t, path, nil)
	one(t, again)
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	second = again
	if err := os.Remove(filepath.Join(dir, fmt.Sprintf("v%d", layout), "maps", "names")); err != nil {
		t.Fatal(err)
	}

	third, err := Open(Options{Mode: last, Pin: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	if _, ok := third.Resumed(); ok || third.generation <= second.generation {
		t.Errorf("resumed %v, generation %d after %d", ok, third.generation, second.generation)
	}
	watch(t, third, path, 3)
	touch(t, path, nil)
	one(t, third)
	pinned, err := Pinned(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range pinned {
		generation := fmt.Sprintf("v%d/links/%d/", layout, third.generation)
		if strings.Contains(name, "/links/") && !strings.HasPrefix(name, generation) {
			t.Errorf("left of another generation: %s", name)
		}
	}
}
