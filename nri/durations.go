package nri

import (
	"slices"
	"time"
)

// durationBoundsTable has the upper bounds of a Histogram's buckets but the last,
// which has none: fine around the 5 ms that an answer may take, and up to the
// runtime's own limit.
var durationBoundsTable = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second,
}

// DurationBounds returns the upper bounds of the first buckets of a [Histogram],
// in order. The last bucket has none.
func DurationBounds() []time.Duration { return slices.Clone(durationBoundsTable[:]) }

// Histogram counts how long answers took. Its size is fixed; the zero value is
// empty.
type Histogram struct {
	// Buckets has the answers that took at most as long as the bound of the same
	// index, and longer than the one before.
	Buckets [len(durationBoundsTable) + 1]uint64 `json:"buckets"`
	// Seconds is the sum of all, Longest the longest, in seconds.
	Seconds float64 `json:"seconds"`
	Longest float64 `json:"longest"`
}

func (h *Histogram) add(d time.Duration) {
	i, _ := slices.BinarySearch(durationBoundsTable[:], d)
	h.Buckets[i]++
	h.Seconds += d.Seconds()
	h.Longest = max(h.Longest, d.Seconds())
}

// Count is the number of answers.
func (h Histogram) Count() uint64 {
	var n uint64
	for _, bucket := range h.Buckets {
		n += bucket
	}
	return n
}

// Quantile returns a time that the share q of all answers, more than 0 and at most
// 1, did not exceed: the bound of its bucket, or the longest answer if that is
// less. It is 0 without answers.
func (h Histogram) Quantile(q float64) time.Duration {
	longest := time.Duration(h.Longest * float64(time.Second))
	within := uint64(0)
	for i, bound := range durationBoundsTable {
		within += h.Buckets[i]
		if within > 0 && float64(within) >= q*float64(h.Count()) {
			return min(bound, longest)
		}
	}
	return longest
}
