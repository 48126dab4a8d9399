package nri

import (
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 || h.Count() != 0 {
		t.Errorf("empty: %v of %d", h.Quantile(0.5), h.Count())
	}
	for range 98 {
		h.add(800 * time.Microsecond)
	}
	h.add(5 * time.Millisecond) // a bound belongs to its bucket
	h.add(3 * time.Second)
	for q, want := range map[float64]time.Duration{0.5: time.Millisecond, 0.98: time.Millisecond, 0.99: 5 * time.Millisecond, 1: 3 * time.Second} {
		if got := h.Quantile(q); got != want {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
	if n := h.Buckets[len(h.Buckets)-1]; h.Count() != 100 || n != 1 || h.Seconds < 3.08 || h.Seconds > 3.09 || h.Longest != 3 {
		t.Errorf("%+v", h)
	}
	h = Histogram{}
	h.add(120 * time.Microsecond)
	if got := h.Quantile(0.99); got != 120*time.Microsecond {
		t.Errorf("one answer of 120 µs: %v", got)
	}
	if len(DurationBounds())+1 != len(h.Buckets) {
		t.Errorf("%d bounds, %d buckets", len(DurationBounds()), len(h.Buckets))
	}
}
