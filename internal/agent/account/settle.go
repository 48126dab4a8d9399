package account

import (
	"cmp"
	"math/bits"
	"slices"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
)

// The causes of a Loss. Their text is that of beesting.Gap.
const (
	// CauseRingFull: the kernel had no room for the event.
	CauseRingFull = "ring_full"
	// CauseRestart: an earlier process took the event and didn't tell it, or
	// nobody did.
	CauseRestart = "restart"
	// CauseUnknown is any other.
	CauseUnknown = "unknown"
)

// Snapshot is what the kernel counted. It is taken before the events that are
// under way are read and noted, so that what it counts can be in the books when
// it is settled. Make one with Mark, and read the counts before the repeats.
type Snapshot struct {
	seq uint64
	// At is when it was begun, on the boot clock.
	At      time.Duration
	Counts  map[uint64]bpf.Count
	Repeats map[uint64][]bpf.Repeat
	// Leaving is the caller's note of placements that have a snapshot of their
	// own.
	Leaving []uint64
}

// Mark begins a snapshot.
func (b *Book) Mark(at time.Duration) Snapshot {
	b.seq++
	b.mark = at
	return Snapshot{seq: b.seq, At: at, Counts: map[uint64]bpf.Count{}, Repeats: map[uint64][]bpf.Repeat{}}
}

// Summary are touches by a process that no event told of.
type Summary struct {
	Key    Key
	TID    uint32
	Access beesting.Access // the latest of the same key
	Count  uint64
	// Last is the time of the last of them, on the boot clock; of an Estimate,
	// that of an event after most of them.
	Last time.Duration
	// Estimate says that several processes could have made them, and that this
	// is the process's share.
	Estimate bool
}

// Loss are touches of which nobody can say who made them.
type Loss struct {
	Placement uint64
	Kind      bpf.Kind
	Count     uint64
	From, To  time.Duration
	Cause     string
}

// Outside is what a settlement asks for and tells.
type Outside interface {
	// Tell and Lose return false if it was not taken; it is settled later then.
	Tell(s Summary) bool
	Lose(l Loss) bool
	// Recount returns the kernel's count as it is now.
	Recount(placement uint64) (bpf.Count, bool)
}

// Terms say how a settlement is made.
type Terms struct {
	// Interval is how often the kernel sends an event of a process that goes on.
	Interval time.Duration
	// Final takes what is open as it is: nothing more will come.
	Final bool
	// Early tells repeats as they are now, although more may come, and leaves
	// all else for the next settlement. It may lie between two others.
	Early bool
}

// settlement is one placement's.
type settlement struct {
	*place
	Terms
	snap    Snapshot
	count   bpf.Count
	outside Outside
	// waiting are touches of which an event is still to tell, strangers those
	// by keys that nobody has an access of.
	waiting, strangers [bpf.Kinds]uint64
}

// Settle tells what the kernel counted of a placement and nothing else will
// tell. It reports whether the placement needs no further settlement before its
// next event. A placement that the snapshot has no count of is left alone.
func (b *Book) Settle(placement uint64, snap Snapshot, t Terms, outside Outside) (quiet bool) {
	p := b.places[placement]
	count, counted := snap.Counts[placement]
	if p == nil || !counted {
		return true
	}
	s := settlement{place: p, Terms: t, snap: snap, count: count, outside: outside}
	s.correct(placement)
	for _, r := range snap.Repeats[placement] {
		s.repeat(r)
	}
	if t.Early {
		return false
	}
	quiet, even := true, true
	for k := range bpf.Kind(bpf.Kinds) {
		open := less(s.missing(k), s.waiting[k])
		lost := min(open, s.open[k])
		if t.Final {
			lost = open
		}
		s.open[k] = open - s.lose(k, lost, placement)
		even = even && s.open[k] == 0 && s.ahead(k) == 0
		quiet = quiet && s.open[k] == 0 && s.waiting[k] == 0
	}
	for _, x := range p.keys {
		if s.open[x.key.Kind] == 0 && x.seq < snap.seq {
			x.unsure = 0
		}
	}
	if even {
		p.even, p.inherited, p.lost = snap.At, false, count.Lost
	}
	return quiet && snap.At-p.latest > s.idle()
}

// idle is how long after a touch the kernel has sent the event of a next one for
// certain, if there was any.
func (t Terms) idle() time.Duration { return t.Interval + t.Interval/2 }

func less(a, b uint64) uint64 {
	if a < b {
		return 0
	}
	return a - b
}

func (p *place) sum(k bpf.Kind) uint64 {
	return p.account.Delivered[k] + p.account.Coalesced[k] + p.account.Lost[k]
}

// missing is what the kernel counted and nobody told.
func (s *settlement) missing(k bpf.Kind) uint64 { return less(s.count.Seen[k], s.sum(k)) }

// ahead are the touches that were told and that the snapshot may not count: as
// many that it does count may be missing without showing.
func (s *settlement) ahead(k bpf.Kind) uint64 {
	if s.afterSeq < s.snap.seq {
		return 0
	}
	return s.after[k]
}

// correct takes back what was given up as lost, or estimated, and came after
// all: a touch is in the account once.
func (s *settlement) correct(placement uint64) {
	fresh := s.count
	for k := range bpf.Kind(bpf.Kinds) {
		if s.sum(k) > s.count.Seen[k] { // also by touches after the snapshot
			var ok bool
			if fresh, ok = s.outside.Recount(placement); !ok {
				return
			}
			break
		}
	}
	for k := range bpf.Kind(bpf.Kinds) {
		over := less(s.sum(k), fresh.Seen[k])
		for _, n := range []*uint64{&s.account.Lost[k], &s.account.Coalesced[k], &s.account.Delivered[k]} {
			less := min(over, *n)
			*n -= less
			over -= less
		}
	}
}

// repeat tells what a process did since its last event, when no more of it is to
// be expected.
func (s *settlement) repeat(r bpf.Repeat) {
	k := r.Kind
	if k == 0 || k >= bpf.KindClose {
		return
	}
	x := s.keys[keyOfRepeat(r)]
	switch {
	case x == nil:
		if r.Last >= s.even {
			s.strangers[k] += r.Total
		}
		return
	case x.renewed >= s.snap.seq || r.Total <= x.told:
		return
	case x.access == nil:
		s.strangers[k] += r.Total - x.told
		return
	}
	untold := r.Total - x.told
	over := s.snap.At-r.Last > s.idle()
	overdue := s.snap.At-x.at > 3*s.Interval // its event was lost
	if !s.Final && !s.Early && !over && !overdue {
		s.waiting[k] += untold
		return
	}
	n := min(untold, s.missing(k))
	if n == 0 {
		return
	}
	if !s.tell(x, Summary{Count: n, Last: r.Last}) {
		s.waiting[k] += n
		return
	}
	x.told += n
	if overdue {
		x.at = s.snap.At
	}
}

func (s *settlement) tell(x *entry, t Summary) bool {
	t.Key, t.TID, t.Access = x.key, x.tid, *x.access
	if !s.outside.Tell(t) {
		return false
	}
	s.account.Delivered[x.key.Kind]++
	s.account.Coalesced[x.key.Kind] += t.Count - 1
	return true
}

// lose accounts for n touches that nothing told of, and returns for how many it
// could. They are those of processes that may have touched before their first
// event, in proportion; what is left has no name.
func (s *settlement) lose(k bpf.Kind, n uint64, placement uint64) (done uint64) {
	if n == 0 {
		return 0
	}
	suspects, shares := s.share(k, n)
	estimate := len(suspects) > 1 || s.strangers[k] > 0
	nameless := n
	for i, x := range suspects {
		if shares[i] == 0 {
			continue
		}
		nameless -= shares[i]
		if s.tell(x, Summary{Count: shares[i], Last: x.at, Estimate: estimate}) {
			x.unsure -= shares[i]
			done += shares[i]
		}
	}
	if nameless == 0 {
		return done
	}
	cause := CauseUnknown
	switch {
	case s.inherited:
		cause = CauseRestart
	case s.count.Lost[k] > s.lost[k]:
		cause = CauseRingFull
	}
	if s.outside.Lose(Loss{Placement: placement, Kind: k, Count: nameless, From: s.even, To: s.snap.At, Cause: cause}) {
		s.account.Lost[k] += nameless
		done += nameless
	}
	return done
}

// share divides n touches among the keys that may have made them.
func (s *settlement) share(k bpf.Kind, n uint64) (suspects []*entry, shares []uint64) {
	var known uint64
	for _, x := range s.keys {
		if x.key.Kind == k && x.unsure > 0 && x.access != nil {
			suspects = append(suspects, x)
			known += x.unsure
		}
	}
	slices.SortFunc(suspects, func(x, y *entry) int {
		return cmp.Or(cmp.Compare(y.unsure, x.unsure), cmp.Compare(x.key.PID, y.key.PID), cmp.Compare(x.key.Variant, y.key.Variant))
	})
	all := max(known+s.strangers[k], n)
	var given uint64
	for _, x := range suspects {
		high, low := bits.Mul64(n, x.unsure) // n <= all, so the quotient is one word
		share, _ := bits.Div64(high, low, all)
		shares = append(shares, share)
		given += share
	}
	if s.strangers[k] > 0 {
		return suspects, shares
	}
	for i, x := range suspects { // what rounding down has left
		more := min(x.unsure-shares[i], less(min(n, known), given))
		shares[i] += more
		given += more
	}
	return suspects, shares
}
