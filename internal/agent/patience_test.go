package agent

import (
	"testing"
	"time"
)

func TestPatience(t *testing.T) {
	p := newPatience(1, 10*time.Millisecond)
	if v, ok := await(p, func() int { return 7 }); v != 7 || !ok {
		t.Errorf("got %d, %v", v, ok)
	}
	release := make(chan struct{})
	stuck := func() int { <-release; return 7 }
	if v, ok := await(p, stuck); v != 0 || ok {
		t.Errorf("stuck: %d, %v", v, ok)
	}
	began := time.Now()
	if v, ok := await(newPatience(0, time.Hour), stuck); v != 0 || ok || time.Since(began) > time.Minute {
		t.Errorf("no place: %d, %v", v, ok)
	}
	if _, ok := await(p, func() int { return 7 }); ok {
		t.Error("the place of the stuck one was given away")
	}
	close(release)
	until(t, "place free again", func() bool {
		_, ok := await(p, func() int { return 7 })
		return ok
	})
}

func TestQueue(t *testing.T) {
	p := newQueue(1, time.Minute)
	done := make(chan bool, 8)
	for range cap(done) {
		go func() {
			_, ok := await(p, func() int { time.Sleep(time.Millisecond); return 7 })
			done <- ok
		}()
	}
	for range cap(done) {
		if !<-done {
			t.Error("one of many was turned away")
		}
	}
	p.time = time.Millisecond
	release := make(chan struct{})
	defer close(release)
	await(p, func() int { <-release; return 7 })
	if _, ok := await(p, func() int { return 7 }); ok {
		t.Error("the place of the stuck one was given away")
	}
}
