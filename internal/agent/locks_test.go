package agent

import (
	"context"
	"testing"
	"time"
)

// One container that is dealt with for long holds no other up.
func TestLocks(t *testing.T) {
	l := newLocks()
	if !l.acquire(t.Context(), "slow") || !l.acquire(t.Context(), "other") {
		t.Fatal("a free lock was not had")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if l.acquire(ctx, "slow") {
		t.Error("a lock was had twice")
	}
	next := make(chan bool)
	go func() { next <- l.acquire(t.Context(), "slow") }()
	until(t, "a waiter", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.held["slow"].users == 2 })
	l.release("slow")
	if !<-next {
		t.Error("a lock was not handed on")
	}
	l.release("slow")
	l.release("other")
	if len(l.held) != 0 {
		t.Errorf("%d locks are kept", len(l.held))
	}
}

func TestClaimedFilesStay(t *testing.T) {
	l := newLocks()
	removed := 0
	remove := func(path string, used bool) {
		t.Helper()
		if err := l.removeUnused(path, func() bool { return used }, func() error { removed++; return nil }); err != nil {
			t.Error(err)
		}
	}
	l.acquire(t.Context(), "c1")
	l.claim("c1", "/pods/a/one")
	remove("/pods/a/one", false)
	remove("/pods/a/.tmp-1", false)
	remove("/pods/b/two", true)
	if removed != 0 {
		t.Errorf("%d files removed that are written or in use", removed)
	}
	remove("/pods/b/.tmp-2", false)
	l.release("c1")
	remove("/pods/a/one", false)
	if removed != 2 || len(l.files) != 0 {
		t.Errorf("%d removed, %d claims left", removed, len(l.files))
	}
}
