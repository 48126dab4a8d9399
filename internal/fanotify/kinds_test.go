//go:build linux && (native || vmtest)

package fanotify

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/bpf"
)

func TestKinds(t *testing.T) {
	tests := []struct {
		touch   string
		want    []bpf.Kind
		mode    uint32
		flags   uint32
		variant uint8
	}{
		{"open", []bpf.Kind{bpf.KindOpen, bpf.KindClose}, fmodeRead, unix.O_CLOEXEC, 0},
		{"open for writing", []bpf.Kind{bpf.KindOpen, bpf.KindClose}, fmodeRead | fmodeWrite, unix.O_RDWR, 1},
		{"openat2", []bpf.Kind{bpf.KindOpen, bpf.KindClose}, fmodeWrite, unix.O_WRONLY, 1},
		{"read", []bpf.Kind{bpf.KindOpen, bpf.KindClose}, fmodeRead, 0, 0},
		{"write", []bpf.Kind{bpf.KindOpen, bpf.KindClose}, fmodeWrite, unix.O_WRONLY, 1},
		{"exit open", []bpf.Kind{bpf.KindOpen, bpf.KindClose}, fmodeRead, 0, 0},
		{"exec", []bpf.Kind{bpf.KindExec, bpf.KindClose}, fmodeRead | fmodeExec, 0, 0},
		{"chmod", []bpf.Kind{bpf.KindSetattr}, 0, 0, 0},
		{"link", []bpf.Kind{bpf.KindLink}, 0, 0, 0},
		{"unlink", []bpf.Kind{bpf.KindUnlink}, 0, 0, 0},
		{"rename", []bpf.Kind{bpf.KindRename}, 0, 0, 0},
	}
	s := open(t, Options{})
	path := token(t)
	watch(t, s, path)
	changes := hasChanges(t, s)
	for _, tt := range tests {
		t.Run(tt.touch, func(t *testing.T) {
			if tt.mode == 0 && !changes {
				touch(t, tt.touch, path)
				if events := settled(t, s, 0); len(events) != 0 {
					t.Errorf("events %s, of what this kernel doesn't tell", brief(events))
				}
				return
			}
			before, late := seen(t, s, 7), s.Late()
			touch(t, tt.touch, path)
			events := settled(t, s, len(tt.want))
			kinds := make([]bpf.Kind, 0, len(events))
			for _, e := range events {
				kinds = append(kinds, e.Kind)
			}
			if !slices.Equal(kinds, tt.want) {
				t.Fatalf("events %s", brief(events))
			}
			e := events[0]
			if s.Late() > late {
				t.Log("let go before it was looked at: this machine is too slow or too busy")
			} else if e.Mode != tt.mode || e.Variant != tt.variant || e.Flags&tt.flags != tt.flags {
				t.Errorf("mode %#x, variant %d, flags %#x", e.Mode, e.Variant, e.Flags)
			}
			if e.Total != 1 || e.Placement != 7 || e.PID == 0 {
				t.Errorf("event %+v", e)
			}
			if now := seen(t, s, 7); now != before+1 {
				t.Errorf("%d touches counted, want 1", now-before)
			}
		})
	}
}

// hasChanges says whether changes of attributes can be told of here. From 5.15 on
// they have to be; before, tmpfs has no file system id, and not every stable
// series has pidfds.
func hasChanges(t *testing.T, s *Sensor) bool {
	t.Helper()
	has := s.changes != nil && s.changes.failed == 0
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	if !has && (major > 5 || major == 5 && minor >= 15) {
		t.Errorf("no changes of attributes on %d.%d", major, minor)
	}
	return has
}

func seen(t *testing.T, s *Sensor, placement uint64) (n uint64) {
	t.Helper()
	c, err := s.Count(placement)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range c.Seen {
		n += k
	}
	return n
}

// settled waits for n events: the end of an open is told after the process has
// gone on, and a change of attributes by another way.
func settled(t *testing.T, s *Sensor, n int) []bpf.Event {
	t.Helper()
	var events []bpf.Event
	for deadline := time.Now().Add(5 * time.Second); ; {
		events = append(events, drain(t, s)...)
		if len(events) >= n || time.Now().After(deadline) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond)
	return append(events, drain(t, s)...)
}

func TestReadsAndWritesOfAnOpen(t *testing.T) {
	s := open(t, Options{})
	path := token(t)
	watch(t, s, path)
	for what, want := range map[string][2]uint64{"read": {3, 0}, "write": {0, 1}} {
		touch(t, what, path)
		events := settled(t, s, 2)
		if len(events) != 2 {
			t.Fatalf("%s: %s", what, brief(events))
		}
		o, c := events[0], events[1]
		if c.Kind != bpf.KindClose || c.Handle != o.Handle || c.OpenTime != o.Time || c.Time < o.Time {
			t.Errorf("%s: open %+v, close %+v", what, o, c)
		}
		if c.Reads != want[0] || c.Writes != want[1] {
			t.Errorf("%s: %d reads, %d writes", what, c.Reads, c.Writes)
		}
	}
}

// A descriptor that was opened before the watch began, and one after it by this
// process, whose own touches are none.
func TestInheritedDescriptor(t *testing.T) {
	s := open(t, Options{})
	path := token(t)
	before, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	watch(t, s, path)
	after, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	for name, f := range map[string]*os.File{"opened before": before, "opened after": after} {
		for what, kind := range map[string]bpf.Kind{"inherited read": bpf.KindRead, "inherited write": bpf.KindWrite} {
			t.Run(what+" "+name, func(t *testing.T) {
				cmd := toucher(t, what, path)
				cmd.ExtraFiles = []*os.File{f}
				if err := cmd.Run(); err != nil {
					t.Fatal(err)
				}
				events := settled(t, s, 1)
				if len(events) != 1 || events[0].Kind != kind || events[0].PID != uint32(cmd.Process.Pid) {
					t.Fatalf("events %s", brief(events))
				}
			})
		}
	}
}

func TestRepeats(t *testing.T) {
	s := open(t, Options{RepeatInterval: time.Hour})
	path := token(t)
	watch(t, s, path)
	cmd := touch(t, "thousand", path)
	events := touches(drain(t, s))
	if len(events) != 1 || events[0].Total != 1 {
		t.Errorf("events %s", brief(events))
	}
	if n := seen(t, s, 7); n != 1000 {
		t.Errorf("%d counted", n)
	}
	all, err := s.Repeats()
	if err != nil || len(all) != 1 {
		t.Fatalf("repeats %+v, %v", all, err)
	}
	r := all[0]
	if r.Total != 1000 || r.PID != uint32(cmd.Process.Pid) || r.Kind != bpf.KindOpen || r.Placement != 7 || r.Last == 0 {
		t.Errorf("repeat %+v", r)
	}
}

func TestRepeatsAreToldInTime(t *testing.T) {
	s := open(t, Options{RepeatInterval: time.Millisecond})
	path := token(t)
	watch(t, s, path)
	touch(t, "thousand", path)
	events := touches(drain(t, s))
	last := uint64(0)
	for _, e := range events {
		if e.Total <= last {
			t.Errorf("total %d after %d", e.Total, last)
		}
		last = e.Total
	}
	if len(events) < 2 || len(events) > 1000 {
		t.Errorf("%d events of 1000 touches", len(events))
	}
}

// Two files that one process has open can't be told apart: no end is better than
// a wrong one.
func TestTwoOpensAtATime(t *testing.T) {
	s := open(t, Options{})
	path := token(t)
	watch(t, s, path)
	touch(t, "two at a time", path)
	for _, e := range settled(t, s, 1) {
		if e.Kind == bpf.KindClose {
			t.Errorf("an end was told: %+v", e)
		}
	}
}

func TestExempt(t *testing.T) {
	path := token(t)
	binary, err := os.OpenFile(program, unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	for _, tt := range []struct {
		name           string
		o              Options
		actor          bpf.Actor
		events, exempt int
	}{
		{"allowed", Options{}, bpf.ActorAllowed, 0, 1},
		{"allowed and told", Options{ReportExempt: true}, bpf.ActorAllowed, 1, 0},
		{"recognised", Options{}, bpf.ActorRuntime, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, tt.o)
			watch(t, s, path)
			e, err := s.Exempt(binary, tt.actor)
			if err != nil {
				t.Fatal(err)
			}
			touch(t, "open", path)
			events := touches(drain(t, s))
			c, err := s.Count(7)
			if err != nil || int(c.Exempt) != tt.exempt || int(c.Seen[bpf.KindOpen]) != tt.events || len(events) != tt.events {
				t.Errorf("count %+v, %v, events %s", c, err, brief(events))
			}
			if len(events) == 1 && events[0].Actor != tt.actor {
				t.Errorf("actor %d", events[0].Actor)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
			touch(t, "open", path)
			if e := one(t, s); e.Actor != 0 {
				t.Errorf("actor %d after the exemption", e.Actor)
			}
		})
	}
}

func TestExemptCgroup(t *testing.T) {
	s := open(t, Options{})
	if s.eye.cgroups == "" {
		t.Fatal("no cgroup v2 hierarchy is mounted here")
	}
	path := token(t)
	watch(t, s, path)
	group, err := os.MkdirTemp(string(s.eye.cgroups), "beesting")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(group) })
	var st unix.Stat_t
	if err := unix.Stat(group, &st); err != nil {
		t.Fatal(err)
	}
	if err := s.ExemptCgroup(st.Ino); err != nil {
		t.Fatal(err)
	}
	touch(t, "open", path)
	one(t, s)

	dir, err := os.Open(group)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	cmd := toucher(t, "open", path)
	inCgroup(t, cmd, dir)
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if events := drain(t, s); len(touches(events)) != 0 {
		t.Errorf("events %s", brief(events))
	}
	if c, err := s.Count(7); err != nil || c.Exempt != 1 || c.Seen[bpf.KindOpen] != 1 {
		t.Errorf("count %+v, %v", c, err)
	}
}
