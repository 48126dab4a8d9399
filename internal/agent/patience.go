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
}

func newPatience(places int, t time.Duration) *patience {
	return &patience{time: t, places: make(chan struct{}, places)}
}

// await returns f's result, and false if there was none in time.
func await[T any](p *patience, f func() T) (T, bool) {
	var none T
	select {
	case p.places <- struct{}{}:
	default:
		return none, false
	}
	done := make(chan T, 1)
	go func() {
		v := f()
		<-p.places
		done <- v
	}()
	timer := time.NewTimer(p.time)
	defer timer.Stop()
	select {
	case v := <-done:
		return v, true
	case <-timer.C:
		return none, false
	}
}
