// Package account keeps the books of touches: the kernel counts all of them,
// user space is told of some at once and of others by a count, and what nobody
// told is a loss that has to be said. For every placement and kind
//
//	seen = delivered + coalesced + lost
//
// holds once everything has been read. The kernel's count is the truth, and the
// account of what was made of it is kept beside it, so that another process can
// go on with the books.
package account

import (
	"container/list"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
)

// Key names what the kernel counts by: a process that touches a placement in one
// way.
type Key struct {
	Placement uint64
	PID       uint32
	Start     time.Duration
	Kind      bpf.Kind
	Variant   uint8
}

// KeyOf returns the key under which e was counted.
func KeyOf(e bpf.Event) Key {
	return Key{e.Placement, e.PID, e.StartTime, e.Kind, e.Variant}
}

func keyOfRepeat(r bpf.Repeat) Key {
	return Key{r.Placement, r.PID, r.StartTime, r.Kind, r.Variant}
}

// Book has the accounts of all placements. It is not safe for concurrent use.
//
// It remembers of each key how many of its touches have been told. A key that it
// doesn't remember, because its event was lost, because an earlier process had
// the books, or because there were too many, may have touched before without
// that having been told; whether it has, the sum over the placement says. So
// forgetting costs detail and never the sum.
type Book struct {
	limit  int
	seq    uint64
	mark   time.Duration // when the last snapshot was begun
	places map[uint64]*place
	keys   map[Key]*list.Element
	recent *list.List // of Key, the latest in front
}

// place is the account of a placement.
type place struct {
	account bpf.Account
	keys    map[Key]*entry
	// open are the touches that nothing had been told of at the last
	// settlement. They are given up as lost when the next one says the same:
	// the kernel counts a touch before it sends the event.
	open [bpf.Kinds]uint64
	// even is when everything was accounted for; zero if that isn't known.
	even time.Duration
	// lost is the kernel's count of lost events then.
	lost [bpf.Kinds]uint64
	// inherited says that the account was another process', and has not been
	// even since.
	inherited bool
	// latest is the time of the last event.
	latest time.Duration
	// after are touches that were told since the snapshot with the number afterSeq
	// was begun, and made since then: it counts them or not.
	after    [bpf.Kinds]uint64
	afterSeq uint64
}

// entry is a key that is remembered.
type entry struct {
	key Key
	// told are the key's touches that have been accounted for, in the kernel's
	// numbering. unsure are those among them of which that is not certain.
	told, unsure uint64
	// access is the latest; nil if there was none. tid and at are its thread
	// and time.
	access *beesting.Access
	tid    uint32
	at     time.Duration
	// seq is the number of the snapshot after which the last event came,
	// renewed that after which the kernel began to count anew.
	seq, renewed uint64
}

// New makes a book that remembers at most limit keys, each with its last access.
func New(limit int) *Book {
	return &Book{limit: limit, seq: 1, places: map[uint64]*place{}, keys: map[Key]*list.Element{}, recent: list.New()}
}

// Origin is what the books of a placement begin with.
type Origin struct {
	// Account is the one that was kept beside the counters.
	Account bpf.Account
	// Inherited says that another process kept it, up to about Even on the boot
	// clock.
	Inherited bool
	Even      time.Duration
	// Repeats are the kernel's counts of an inherited placement as they were
	// found.
	Repeats []bpf.Repeat
}

// Known reports whether the placement has been begun.
func (b *Book) Known(placement uint64) bool { return b.places[placement] != nil }

// Begin opens the account of a placement. It does nothing for one that is known.
func (b *Book) Begin(placement uint64, o Origin) {
	if b.Known(placement) {
		return
	}
	p := &place{account: o.Account, keys: map[Key]*entry{}, even: o.Even, inherited: o.Inherited}
	b.places[placement] = p
	for _, r := range o.Repeats {
		// What was touched long enough before was told by whoever had the books.
		if r.Placement == placement && r.Last < o.Even {
			b.entry(p, keyOfRepeat(r)).told = r.Total
		}
	}
}

// Drop closes the account of a placement.
func (b *Book) Drop(placement uint64) {
	p := b.places[placement]
	if p == nil {
		return
	}
	for k := range p.keys {
		b.recent.Remove(b.keys[k])
		delete(b.keys, k)
	}
	delete(b.places, placement)
}

// Account returns the account of a placement.
func (b *Book) Account(placement uint64) bpf.Account {
	if p := b.places[placement]; p != nil {
		return p.account
	}
	return bpf.Account{}
}

// Told reports whether the account has e already: a process that is killed between
// the account and the ring leaves the event to the next one.
func (b *Book) Told(e bpf.Event) bool {
	p := b.places[e.Placement]
	return p != nil && e.Position > 0 && e.Position <= p.account.Position
}

// Again notes an event that was Told, so that what comes next of its key is known
// to be more. The placement must be known.
func (b *Book) Again(e bpf.Event, a beesting.Access) {
	x := b.note(b.places[e.Placement], e, a)
	x.told = max(x.told, e.Total, 1)
}

// Stands returns how many touches e stands for, itself included.
func (b *Book) Stands(e bpf.Event) uint64 {
	p := b.places[e.Placement]
	if p == nil {
		return 1
	}
	known := p.keys[KeyOf(e)]
	switch {
	case known == nil:
		return 1 // the rest of its total, if it wasn't told, shows in Settle
	case e.Total > known.told:
		return e.Total - known.told
	default: // the kernel has forgotten the key and begun anew
		return max(e.Total, 1)
	}
}

// Delivered notes that an event was told, as an access that stands for n
// touches. The placement must be known.
func (b *Book) Delivered(e bpf.Event, n uint64, a beesting.Access) {
	p := b.places[e.Placement]
	known := p.keys[KeyOf(e)]
	x := b.note(p, e, a)
	switch {
	case known == nil && e.Total > n:
		x.unsure = e.Total - n
	case known != nil && e.Total <= known.told:
		x.renewed, x.unsure = b.seq, 0
	}
	x.told = max(e.Total, 1)
	if e.Time > b.mark {
		if p.afterSeq != b.seq {
			p.after, p.afterSeq = [bpf.Kinds]uint64{}, b.seq
		}
		p.after[e.Kind] += n
	}
	p.account.Position = max(p.account.Position, e.Position)
	p.account.Delivered[e.Kind]++
	p.account.Coalesced[e.Kind] += n - 1
}

// Refused notes an event that could not be told. Its touches are told with what
// comes next of its key, if there is a next time.
func (b *Book) Refused(e bpf.Event, a beesting.Access) {
	p := b.places[e.Placement]
	if p.keys[KeyOf(e)] == nil && e.Total > 1 {
		x := b.note(p, e, a)
		x.told, x.unsure = e.Total-1, e.Total-1
		return
	}
	x := b.note(p, e, a)
	if e.Total <= x.told {
		x.told, x.unsure, x.renewed = 0, 0, b.seq
	}
}

func (b *Book) note(p *place, e bpf.Event, a beesting.Access) *entry {
	x := b.entry(p, KeyOf(e))
	x.access, x.tid, x.at, x.seq = &a, e.TID, e.Time, b.seq
	p.latest = max(p.latest, e.Time)
	return x
}

// entry returns what is remembered of a key, and remembers it.
func (b *Book) entry(p *place, k Key) *entry {
	if at := b.keys[k]; at != nil {
		b.recent.MoveToFront(at)
		return p.keys[k]
	}
	x := &entry{key: k}
	p.keys[k] = x
	b.keys[k] = b.recent.PushFront(k)
	if b.recent.Len() > b.limit {
		oldest, _ := b.recent.Remove(b.recent.Back()).(Key)
		delete(b.keys, oldest)
		delete(b.places[oldest.Placement].keys, oldest)
	}
	return x
}
