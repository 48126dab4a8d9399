//go:build linux && (amd64 || arm64)

package fanotify

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/bpf"
)

func TestMessages(t *testing.T) {
	want := message{
		Type: fromEvent, Result: 5, Seq: 1 << 40, Mask: 1 << 16, Key: inodeKey{8 << 32, 42},
		Time: time.Hour, Thread: 7, Count: 3,
	}
	got, err := decode(want.encode())
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	var malformed *bpf.DecodeError
	if _, err := decode(want.encode()[1:]); !errors.As(err, &malformed) {
		t.Errorf("short: %v", err)
	}
	if _, err := decode(message{Type: toMark}.encode()); !errors.As(err, &malformed) {
		t.Errorf("other direction: %v", err)
	}
}

func TestParseStat(t *testing.T) {
	const tail = " S 4 7 9 0 -1 4194560 111 0 0 0 0 0 0 0 20 0 1 0 4242 1024 0\n"
	got, err := parseStat("7 (a) S 1 (b)" + tail)
	if want := (stat{comm: "a) S 1 (b", parent: 4, session: 9, start: 42420 * time.Millisecond}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, s := range []string{"", "7 a S", "7 (a", "7 )a(", "7 (a) S 1", "7 (a)" + strings.Replace(tail, "4242", "x", 1)} {
		if got, err := parseStat(s); err == nil {
			t.Errorf("%q: %+v", s, got)
		}
	}
}

func TestParseStatus(t *testing.T) {
	const s = "Name:\tx\nTgid:\t7\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nCapEff:\t00000000a80425fb\n"
	got, err := parseStatus([]byte(s))
	want := status{process: 7, uid: 1, euid: 2, gid: 5, egid: 6, capabilities: 0xa80425fb}
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"", "Tgid:\t-1\n", strings.Replace(s, "Tgid", "X", 1), strings.Replace(s, "\t2\t", "\ty\t", 1)} {
		if got, err := parseStatus([]byte(bad)); err == nil {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

func TestParseSyscall(t *testing.T) {
	got, ok := parseSyscall("257 0xffffff9c 0xc000 0x80000 0x0 0x0 0x0 0x7ffd 0x40\n")
	if !ok || got.number != 257 || got.args[2] != 0x80000 {
		t.Errorf("got %+v, %v", got, ok)
	}
	for _, s := range []string{"", "running\n", "-1 0x0 0x0\n", "257 x 0 0 0 0 0 0 0"} {
		if got, ok := parseSyscall(s); ok {
			t.Errorf("%q: %+v", s, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(message{Type: fromEvent, Seq: 1, Mask: 1 << 16, Thread: 7}.encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(b)
		if err == nil && string(m.encode()) != string(b) {
			t.Errorf("%v: encoded again as %x", m, m.encode())
		}
	})
}

func FuzzParseChange(f *testing.F) {
	f.Add([]byte{24, 0, 0, 0, 3, 0, 24, 0, 4, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 7, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for n := 0; ; n++ {
			_, rest, ok := parseChange(b)
			if !ok {
				return
			}
			if len(rest) >= len(b) || n > len(b) {
				t.Fatal("no progress")
			}
			b = rest
		}
	})
}

func FuzzParseTask(f *testing.F) {
	f.Add("7 (a) S 4 7 9 0 -1 4194560 111 0 0 0 0 0 0 0 20 0 1 0 4242 1024 0\n")
	f.Add("Tgid:\t7\nUid:\t1\t2\t3\t4\n")
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := parseStat(s); err == nil && got.start < 0 {
			t.Errorf("start %v", got.start)
		}
		if got, err := parseStatus([]byte(s)); err == nil && got.process == 0 {
			t.Error("no process")
		}
		parseSyscall(s)
	})
}

func TestRepeatsByKey(t *testing.T) {
	r := newRepeats(time.Second, 2)
	key := func(pid uint32) repeatKey {
		return repeatKey{placement: 1, who: identity{pid: pid}, kind: bpf.KindOpen}
	}
	e, due, _ := r.add(key(1), time.Second)
	if !due || e.total != 1 {
		t.Errorf("first: %+v, due %v", e, due)
	}
	e.sent(time.Second)
	if _, due, _ := r.add(key(1), time.Second+time.Millisecond); due {
		t.Error("due after 1ms")
	}
	if e, due, _ := r.add(key(1), 2*time.Second); !due || e.total != 3 {
		t.Errorf("after the interval: %+v, due %v", e, due)
	}
	e2, _, _ := r.add(key(2), 3*time.Second)
	e2.sent(3 * time.Second)
	_, _, lost := r.add(key(3), 4*time.Second)
	if lost == nil || lost.key != key(1) || lost.total-lost.told != 2 {
		t.Errorf("lost %+v", lost)
	}
	if _, _, lost := r.add(key(4), 5*time.Second); lost != nil {
		t.Errorf("lost %+v, which had been told", lost)
	}
	if all := r.all(); len(all) != 2 {
		t.Errorf("%d keys, want 2", len(all))
	}
	r.forget(1)
	if all := r.all(); len(all) != 0 || r.byAge.Len() != 0 {
		t.Errorf("after forget: %+v", all)
	}
}

func TestOpensAreBounded(t *testing.T) {
	o := newOpens(2)
	who := func(pid uint32) identity { return identity{pid: pid} }
	for pid := uint32(1); pid <= 3; pid++ {
		if f := o.open(1, who(pid), pid, 0); (f.handle != 0) != (pid <= 2) {
			t.Errorf("process %d: handle %d", pid, f.handle)
		}
	}
	if !o.full() {
		t.Error("not full")
	}
	// By a process that inherited one of two: which is not known.
	if f := o.close(1, who(9), 9); f != nil {
		t.Errorf("closed %+v", f)
	}
	o.sweep(func(i identity) bool { return i == who(2) })
	// By a process that inherited the only one.
	if f := o.close(1, who(9), 9); f == nil || f.who != who(2) {
		t.Errorf("closed %+v", f)
	}
	if o.count != 0 || len(o.files) != 0 {
		t.Errorf("%d left", o.count)
	}
}

func TestQueueKeepsRoomForFirsts(t *testing.T) {
	q := newQueue(4)
	for i := range 5 {
		if ok := q.push(bpf.Event{Total: uint64(i)}, false); ok != (i < 3) {
			t.Errorf("repeat %d: %v", i, ok)
		}
	}
	if !q.push(bpf.Event{Total: 9}, true) || q.push(bpf.Event{}, true) {
		t.Error("room for one first touch wanted")
	}
	q.flush()
	for _, want := range []uint64{0, 1, 2, 9} {
		if e, err := q.pull(); err != nil || e.Total != want {
			t.Errorf("got %d, %v; want %d", e.Total, err, want)
		}
	}
	if _, err := q.pull(); !errors.Is(err, bpf.ErrFlushed) {
		t.Errorf("after the flush: %v", err)
	}
	q.push(bpf.Event{Total: 1}, true)
	reason := errors.New("no guard")
	q.close(reason)
	if e, err := q.pull(); err != nil || e.Total != 1 {
		t.Errorf("what was there: %v, %v", e, err)
	}
	if _, err := q.pull(); !errors.Is(err, reason) {
		t.Errorf("end: %v", err)
	}
	q.close(os.ErrClosed)
	if _, err := q.pull(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// Every kind is there once, and one that is not seen says why.
func TestCoverage(t *testing.T) {
	for _, changes := range []bool{true, false} {
		all := coverage(changes)
		if len(all) != int(bpf.KindClose)-1 {
			t.Errorf("%d kinds", len(all))
		}
		for i, k := range all {
			if k.Kind != bpf.Kind(i+1) || !k.Seen && k.Note == "" {
				t.Errorf("%+v", k)
			}
		}
	}
}

// Flushes that wait are answered together, behind what was there at the last one.
func TestQueueAnswersFlushesOnce(t *testing.T) {
	q := newQueue(4)
	q.flush()
	if !q.push(bpf.Event{PID: 1}, false) {
		t.Fatal("no room")
	}
	q.flush()
	if !q.push(bpf.Event{PID: 2}, false) {
		t.Fatal("no room")
	}
	for _, want := range []uint32{1, 0, 2} {
		e, err := q.pull()
		if e.PID != want || (err == nil) != (want != 0) || err != nil && !errors.Is(err, bpf.ErrFlushed) {
			t.Errorf("event of process %d, %v, want %d", e.PID, err, want)
		}
	}
}
