package agent

import "time"

// patience runs what another container can make wait for ever. A look-up in a
// container's file system, or a read of a process' arguments, can end in a FUSE
// file system that the container serves and that doesn't answer; no thread can
// be called back from there. So such a thing gets a goroutine and some time.
// When the time is up the goroutine is left to itself, and when all places are
// taken by those, nothing more is tried.
type patience struct {
	time   time.Duration
	places chan struct{}
	queue  bool // wait for a place, within the time: many come at once
}

func newPatience(places int, t time.Duration) *patience {
	return &patience{time: t, places: make(chan struct{}, places)}
}

// newQueue is for what several containers want at the same time.
func newQueue(places int, t time.Duration) *patience {
	p := newPatience(places, t)
	p.queue = true
	return p
}

// await returns f's result, and false if there was none in time.
func await[T any](p *patience, f func() T) (T, bool) {
	var none T
	timer := time.NewTimer(p.time)
	defer timer.Stop()
	if !p.enter(timer.C) {
		return none, false
	}
	done := make(chan T, 1)
	go func() {
		v := f()
		<-p.places
		done <- v
	}()
	select {
	case v := <-done:
		return v, true
	case <-timer.C:
		return none, false
	}
}

// enter takes a place.
func (p *patience) enter(late <-chan time.Time) bool {
	select {
	case p.places <- struct{}{}:
		return true
	default:
	}
	if !p.queue {
		return false
	}
	select {
	case p.places <- struct{}{}:
		return true
	case <-late:
		return false
	}
}
