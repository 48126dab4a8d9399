//go:build linux && (amd64 || arm64)

package bpf

import (
	"testing"
	"time"
)

// A copy-up is looked for less and less often, given up, and looked for again at
// the next write.
func TestCopyUpTries(t *testing.T) {
	c := &copyUps{wake: make(chan struct{}, 1), of: map[uint64]*copyUp{}}
	c.announced(1)
	if n := c.pending(); n != 1 {
		t.Errorf("%d pending after one was announced", n)
	}
	tries := 0
	never := func(uint64) bool { tries++; return false }
	soon := func() time.Time { return time.Now().Add(2 * copyUpMost) }
	if wait := c.round(time.Now().Add(-time.Second), never); tries != 0 || wait > copyUpMost {
		t.Errorf("%d tries before it is time, then %v", tries, wait)
	}
	for range 2 * copyUpTries {
		c.round(soon(), never)
	}
	if tries != copyUpTries {
		t.Errorf("%d tries, want %d", tries, copyUpTries)
	}
	if n := c.pending(); n != 0 {
		t.Errorf("%d pending after all tries", n)
	}
	if wait := c.round(soon(), never); wait < time.Minute {
		t.Errorf("given up, and looked for in %v", wait)
	}
	c.written(2)
	c.written(1)
	c.round(soon(), func(uint64) bool { tries++; return true })
	if len(c.of) != 0 || tries != copyUpTries+1 {
		t.Errorf("found, and %d left after %d tries", len(c.of), tries)
	}
	c.announced(3)
	c.round(soon(), func(placement uint64) bool { c.announced(placement); return true })
	if len(c.of) != 1 {
		t.Error("announced while it was looked for, and forgotten")
	}
	c.forget(3)
	if len(c.of) != 0 {
		t.Error("not forgotten")
	}
}
