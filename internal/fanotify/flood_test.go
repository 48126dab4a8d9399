//go:build linux && (native || vmtest)

package fanotify

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/bpf"
)

// Eight processes as fast as they can, on one token and on many: what was
// counted is what is told, and the first touches are all told.
func TestFlood(t *testing.T) {
	const processes, each = 8, 1000
	s := open(t, Options{RepeatInterval: 200 * time.Millisecond})
	path := token(t)
	watch(t, s, path)
	var cmds []*exec.Cmd
	for range processes {
		cmd := toucher(t, "thousand", path)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		cmds = append(cmds, cmd)
	}
	for _, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	events := touches(drain(t, s))
	all, err := s.Repeats()
	if err != nil {
		t.Fatal(err)
	}
	total, last := uint64(0), make(map[bpf.Repeat]uint64)
	for _, r := range all {
		total += r.Total
	}
	for _, e := range events {
		key := bpf.Repeat{PID: e.PID, StartTime: e.StartTime, Variant: e.Variant}
		if e.Total <= last[key] {
			t.Errorf("process %d: total %d after %d", e.PID, e.Total, last[key])
		}
		last[key] = e.Total
	}
	c, err := s.Count(7)
	if err != nil || c.Seen[bpf.KindOpen] != processes*each || total+c.Lost[bpf.KindOpen] != processes*each {
		t.Errorf("seen %d, lost %d, %v; %d in the repeats", c.Seen[bpf.KindOpen], c.Lost[bpf.KindOpen], err, total)
	}
	t.Logf("%d events, %d lost, %d let go before they were looked at", len(events), c.Lost[bpf.KindOpen], s.Late())
	if s.Late() > 0 {
		return // this machine is too slow or too busy to promise more
	}
	firsts := make(map[uint32]int)
	for _, e := range events {
		if e.Total == 1 {
			firsts[e.PID]++
		}
		if len(e.Args) != 3 || e.Executable != program || e.MountNS == 0 {
			t.Errorf("event without its process: %+v", e)
		}
	}
	for _, cmd := range cmds {
		if n := firsts[uint32(cmd.Process.Pid)]; n != 1 {
			t.Errorf("process %d: told %d first touches", cmd.Process.Pid, n)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) != 0 || s.opens.count != 0 || len(s.execs) != 0 {
		t.Errorf("left: %d looks, %d opens, %d execs", len(s.pending), s.opens.count, len(s.execs))
	}
}

// A token in a container's own overlay: opened from there it is one access by
// whoever did it. What is done to the backing file below is not seen.
func TestOverlay(t *testing.T) {
	dir, err := os.MkdirTemp("", "beesting")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	// Not on an overlay, as a root directory may be one.
	mount(t, "tmpfs", dir, "tmpfs", "")
	for _, d := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "lower/token"), []byte("secret"), 0o666); err != nil {
		t.Fatal(err)
	}
	mount(t, "overlay", filepath.Join(dir, "merged"), "overlay",
		fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", dir))
	s := open(t, Options{})
	path := filepath.Join(dir, "merged/token")
	w := watch(t, s, path)
	if e := touchOne(t, s, "open", path); e.Kind != bpf.KindOpen {
		t.Errorf("event %+v", e)
	}
	// Opening for writing copies it up: the inode below is another one then.
	if e := touchOne(t, s, "write", path); e.Kind != bpf.KindOpen || e.Mode != fmodeWrite {
		t.Errorf("event %+v", e)
	}
	if e := touchOne(t, s, "open", path); e.Kind != bpf.KindOpen {
		t.Errorf("after copy-up: %+v", e)
	}
	// Before 6.6 an overlay gives no file handles, unless it is to be exported.
	if s.changes != nil && s.changes.failed == 0 {
		cmd := touch(t, "chmod", path)
		events := settled(t, s, 1)
		if len(events) != 1 || events[0].Kind != bpf.KindSetattr || events[0].PID != uint32(cmd.Process.Pid) {
			t.Errorf("chmod: events %s", brief(events))
		}
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// touchOne touches until the task was looked at while it waited, which a slow or
// busy machine doesn't always do in time.
func touchOne(t *testing.T, s *Sensor, what, path string) bpf.Event {
	t.Helper()
	for range 10 {
		late := s.Late()
		cmd := touch(t, what, path)
		events := touches(settled(t, s, 2))
		if len(events) != 1 || events[0].PID != uint32(cmd.Process.Pid) {
			t.Fatalf("%s: events %s", what, brief(events))
		}
		if s.Late() == late {
			return events[0]
		}
	}
	t.Fatalf("%s: let go before it was looked at, each time", what)
	return bpf.Event{}
}

func mount(t *testing.T, source, target, kind, options string) {
	t.Helper()
	if err := unix.Mount(source, target, kind, 0, options); err != nil {
		t.Fatalf("mount of %s: %v", kind, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			t.Error(err)
		}
	})
}

// BenchmarkOpen is what an open and close cost: of a file that nobody watches,
// of its sibling in the same directory, and of the token itself.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	for _, name := range []string{"token", "sibling"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("secret"), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	run := func(name, file string) {
		b.Run(name, func(b *testing.B) {
			path := filepath.Join(dir, file)
			cmd := exec.Command(program, "first", "second arg")
			cmd.Env = []string{"BEESTING_TOUCH=time", "BEESTING_TOKEN=" + path, fmt.Sprintf("BEESTING_COUNT=%d", b.N)}
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
		})
	}
	run("unwatched", "token")
	s, err := Open(Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	f, err := os.Open(filepath.Join(dir, "token"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, err := s.Watch(f, 7); err != nil {
		b.Fatal(err)
	}
	run("sibling of the token", "sibling")
	run("token", "token")
}

// BenchmarkFirstOpen is the first open by a process, which is looked at in full.
func BenchmarkFirstOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "token")
	if err := os.WriteFile(path, []byte("secret"), 0o644); err != nil {
		b.Fatal(err)
	}
	run := func(name string) {
		b.Run(name, func(b *testing.B) {
			var sum time.Duration
			for range b.N {
				cmd := exec.Command(program, "first", "second arg")
				cmd.Env = []string{"BEESTING_TOUCH=time", "BEESTING_TOKEN=" + path, "BEESTING_COUNT=1"}
				out, err := cmd.CombinedOutput()
				if err != nil {
					b.Fatalf("%v: %s", err, out)
				}
				took, err := time.ParseDuration(strings.TrimSpace(string(out)) + "ns")
				if err != nil {
					b.Fatal(err)
				}
				sum += took
			}
			b.ReportMetric(float64(sum.Nanoseconds())/float64(b.N), "ns/open")
		})
	}
	run("unwatched")
	s, err := Open(Options{MaxEvents: 1 << 16})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, err := s.Watch(f, 7); err != nil {
		b.Fatal(err)
	}
	run("token")
}
