package account

import (
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
)

// all takes everything.
type all struct {
	told []Summary
	lost []Loss
	now  bpf.Count
}

func (o *all) Tell(s Summary) bool {
	o.told = append(o.told, s)
	return true
}

func (o *all) Lose(l Loss) bool {
	o.lost = append(o.lost, l)
	return true
}

func (o *all) Recount(uint64) (bpf.Count, bool) { return o.now, true }

func open(placement uint64, pid uint32, total uint64) bpf.Event {
	return bpf.Event{Kind: bpf.KindOpen, Placement: placement, PID: pid, StartTime: time.Duration(pid), Total: total, Time: time.Minute}
}

func deliver(b *Book, e bpf.Event) uint64 {
	n := b.Stands(e)
	b.Delivered(e, n, beesting.Access{Process: beesting.Process{PID: e.PID}})
	return n
}

// snapshot counts touches of placement 1, of which the kernel remembers no process.
func snapshot(b *Book, seen uint64) Snapshot {
	s := b.Mark(2 * time.Minute)
	var n bpf.Count
	n.Seen[bpf.KindOpen] = seen
	s.Counts[1] = n
	return s
}

// A key that was forgotten costs no touch: the sum says what is missing.
func TestForgottenKeys(t *testing.T) {
	b := New(2)
	b.Begin(1, Origin{})
	for pid := range uint32(3) {
		if n := deliver(b, open(1, pid, 1)); n != 1 {
			t.Fatalf("first of %d stands for %d", pid, n)
		}
	}
	if b.recent.Len() != 2 || len(b.keys) != 2 || len(b.places[1].keys) != 2 {
		t.Fatalf("%d, %d, %d keys", b.recent.Len(), len(b.keys), len(b.places[1].keys))
	}
	if n := deliver(b, open(1, 0, 11)); n != 1 {
		t.Errorf("an event of a forgotten key stands for %d", n)
	}
	var o all
	b.Settle(1, snapshot(b, 13), Terms{Interval: time.Second}, &o)
	if len(o.told)+len(o.lost) != 0 {
		t.Errorf("at once: %+v, %+v", o.told, o.lost)
	}
	b.Settle(1, snapshot(b, 13), Terms{Interval: time.Second}, &o)
	if len(o.told) != 1 || o.told[0].Count != 9 || o.told[0].Access.Process.PID != 0 || o.told[0].Estimate || len(o.lost) != 0 {
		t.Errorf("told %+v, lost %+v", o.told, o.lost)
	}
	b.Drop(1)
	if b.recent.Len() != 0 || len(b.keys) != 0 || len(b.places) != 0 {
		t.Errorf("%d, %d, %d left", b.recent.Len(), len(b.keys), len(b.places))
	}
}

// What was given up and came after all is taken back, once.
func TestLateTouchIsTakenBack(t *testing.T) {
	b := New(10)
	b.Begin(1, Origin{})
	var o all
	for range 2 {
		b.Settle(1, snapshot(b, 3), Terms{Interval: time.Second}, &o)
	}
	if len(o.lost) != 1 || o.lost[0].Count != 3 {
		t.Fatalf("lost %+v", o.lost)
	}
	deliver(b, open(1, 1, 1))
	o.now.Seen[bpf.KindOpen] = 3
	for range 3 {
		b.Settle(1, snapshot(b, 3), Terms{Interval: time.Second}, &o)
	}
	if a := b.Account(1); a.Delivered[bpf.KindOpen] != 1 || a.Lost[bpf.KindOpen] != 2 || len(o.lost) != 1 {
		t.Errorf("account %+v, lost %+v", a, o.lost)
	}
}

// Shares never add up to more than there is, however large the numbers are.
func TestShares(t *testing.T) {
	for _, n := range []uint64{1, 2, 7, 1 << 40, 1<<63 + 1} {
		b := New(10)
		b.Begin(1, Origin{})
		for pid := range uint32(3) {
			deliver(b, open(1, pid, 1+n/(uint64(pid)+1)))
		}
		var o all
		for range 2 {
			b.Settle(1, snapshot(b, 3+n), Terms{Interval: time.Second}, &o)
		}
		var sum uint64
		for _, s := range o.told {
			sum += s.Count
		}
		for _, l := range o.lost {
			sum += l.Count
		}
		if sum != n {
			t.Errorf("%d of %d: told %d, lost %d", sum, n, len(o.told), len(o.lost))
		}
	}
}

// Eight processes on a thousand tokens, as a second of a flood leaves them.
func BenchmarkSettle(b *testing.B) {
	const places, processes = 1000, 8
	book := New(1 << 14)
	s := Snapshot{Counts: map[uint64]bpf.Count{}, Repeats: map[uint64][]bpf.Repeat{}}
	for id := range uint64(places) {
		book.Begin(id, Origin{})
		var n bpf.Count
		n.Seen[bpf.KindOpen] = processes * 1000
		s.Counts[id] = n
		for pid := range uint32(processes) {
			deliver(book, open(id, pid, 1))
			s.Repeats[id] = append(s.Repeats[id], bpf.Repeat{
				Placement: id, PID: pid, StartTime: time.Duration(pid), Kind: bpf.KindOpen, Total: 1000, Last: time.Minute,
			})
		}
	}
	var o all
	b.ReportAllocs()
	for b.Loop() {
		m := book.Mark(time.Minute)
		m.Counts, m.Repeats = s.Counts, s.Repeats
		for id := range m.Counts {
			book.Settle(id, m, Terms{Interval: time.Second}, &o)
		}
	}
}

// What an earlier process did not tell is told as its doing, though touches that
// are told as soon as they are made hide some of it from the count at first.
func TestInheritedLossHidden(t *testing.T) {
	b := New(10)
	b.Begin(1, Origin{Inherited: true, Even: time.Second})
	var o all
	seen := uint64(10) // none of which anybody told
	for pid := range uint32(5) {
		s := snapshot(b, seen)
		if pid < 3 { // after the count was read
			e := open(1, pid, 1)
			e.Time = s.At + time.Millisecond
			deliver(b, e)
			seen++
		}
		o.now.Seen[bpf.KindOpen] = seen
		b.Settle(1, s, Terms{Interval: time.Second}, &o)
	}
	var lost uint64
	for _, l := range o.lost {
		lost += l.Count
		if l.Cause != CauseRestart {
			t.Errorf("%d lost because of %s", l.Count, l.Cause)
		}
	}
	if lost != 10 || len(o.told) != 0 {
		t.Errorf("%d lost, %+v told, want 10 lost", lost, o.told)
	}
}

// An event that a killed process had accounted for and not given back is not
// counted twice, and what its process does next stands for what is new.
func TestEventAgain(t *testing.T) {
	b := New(10)
	first := open(1, 7, 3)
	first.Position = 100
	b.Begin(1, Origin{Account: bpf.Account{Delivered: [bpf.Kinds]uint64{bpf.KindOpen: 1}, Coalesced: [bpf.Kinds]uint64{bpf.KindOpen: 2}, Position: 100}, Inherited: true})
	if !b.Told(first) {
		t.Fatal("not known to be told")
	}
	b.Again(first, beesting.Access{})
	next := open(1, 7, 5)
	next.Position = 200
	if b.Told(next) {
		t.Fatal("told before it was")
	}
	if n := deliver(b, next); n != 2 {
		t.Errorf("the next stands for %d, want 2", n)
	}
	a := b.Account(1)
	if a.Delivered[bpf.KindOpen] != 2 || a.Coalesced[bpf.KindOpen] != 3 || a.Position != 200 {
		t.Errorf("account %+v", a)
	}
	var o all
	o.now = snapshot(b, 5).Counts[1]
	b.Settle(1, snapshot(b, 5), Terms{Final: true}, &o)
	if len(o.told) != 0 || len(o.lost) != 0 {
		t.Errorf("told %+v, lost %+v", o.told, o.lost)
	}
	if other := open(2, 7, 1); b.Told(other) {
		t.Error("told of a placement that has no account")
	}
}
