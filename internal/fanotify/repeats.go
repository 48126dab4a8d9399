package fanotify

import (
	"container/list"
	"time"

	"github.com/beesting-otel/beesting/bpf"
)

// maxRepeats bounds the keys that touches are counted by; one takes some 250
// bytes.
const maxRepeats = 1 << 14

// identity names a process for good: its id and its start.
type identity struct {
	pid   uint32
	start time.Duration
}

type repeatKey struct {
	placement uint64
	who       identity
	kind      bpf.Kind
	variant   uint8
}

type repeat struct {
	key repeatKey
	// total counts touches, told is how many of them events stand for, out how
	// many those that went out already.
	total, told, out uint64
	last, at         time.Duration // of the last touch, of the last event
}

// repeats makes one event of many touches by the same process in the same way:
// the first at once, then one in an interval. The caller locks.
type repeats struct {
	interval time.Duration
	most     int
	byKey    map[repeatKey]*list.Element
	byAge    list.List // the one touched longest ago first
}

func newRepeats(interval time.Duration, most int) *repeats {
	return &repeats{interval: interval, most: most, byKey: make(map[repeatKey]*list.Element)}
}

// add counts a touch. The event is due if it is the first or the interval has
// passed. Where there is no room for another key the one that was touched
// longest ago makes place; what no event stood for yet is returned as lost.
func (r *repeats) add(key repeatKey, now time.Duration) (entry *repeat, due bool, lost *repeat) {
	e, ok := r.byKey[key]
	if !ok {
		if len(r.byKey) >= r.most {
			lost = r.evict()
		}
		e = r.byAge.PushBack(&repeat{key: key})
		r.byKey[key] = e
	}
	r.byAge.MoveToBack(e)
	entry = value(e)
	entry.total++
	entry.last = now
	return entry, entry.told == 0 || now-entry.at >= r.interval, lost
}

// again is add for a touch that is not due; false, and nothing done, if it is.
func (r *repeats) again(key repeatKey, now time.Duration) bool {
	e, ok := r.byKey[key]
	if !ok {
		return false
	}
	entry := value(e)
	if entry.told == 0 || now-entry.at >= r.interval {
		return false
	}
	r.byAge.MoveToBack(e)
	entry.total++
	entry.last = now
	return true
}

func (r *repeats) evict() *repeat {
	e := r.byAge.Front()
	if e == nil {
		return nil
	}
	old := value(e)
	r.byAge.Remove(e)
	delete(r.byKey, old.key)
	if old.total == old.told {
		return nil
	}
	return old
}

// sent says that the event with the present total went out.
func (e *repeat) sent(now time.Duration) { e.told, e.at = e.total, now }

// all lists the counts.
func (r *repeats) all() []bpf.Repeat {
	out := make([]bpf.Repeat, 0, len(r.byKey))
	for e := r.byAge.Front(); e != nil; e = e.Next() {
		v := value(e)
		out = append(out, bpf.Repeat{
			Placement: v.key.placement, PID: v.key.who.pid, StartTime: v.key.who.start,
			Kind: v.key.kind, Variant: v.key.variant, Total: v.total, Last: v.last,
		})
	}
	return out
}

// forget drops the counts of a placement.
func (r *repeats) forget(placement uint64) {
	for key, e := range r.byKey {
		if key.placement == placement {
			r.byAge.Remove(e)
			delete(r.byKey, key)
		}
	}
}

// value is what the list holds: nothing else is ever put there.
func value(e *list.Element) *repeat {
	v, ok := e.Value.(*repeat)
	if !ok {
		return &repeat{}
	}
	return v
}
