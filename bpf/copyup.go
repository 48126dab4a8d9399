//go:build linux && (amd64 || arm64)

package bpf

import (
	"sync"
	"time"
)

// The hook of a copy-up is called before the copying (ovl_copy_up_workdir and
// ovl_copy_up_tmpfile, fs/overlayfs/copy_up.c), so who opens the file at once on
// another processor still gets the inode below. How long it takes depends on the
// file, and it can fail.
const (
	copyUpFirst = time.Millisecond
	copyUpMost  = time.Second
	// copyUpTries take some 10 s. Then the next write is waited for: with
	// metacopy the content is copied when somebody writes, and no hook says so.
	copyUpTries = 18
)

// copyUps enrols the new backing inodes of overlay files, from a goroutine of its
// own as that takes time which Read doesn't have.
type copyUps struct {
	wake, end, ended chan struct{}
	once             sync.Once

	mu   sync.Mutex
	lost uint64             // the kernel's lost_copy_ups, when last looked at
	of   map[uint64]*copyUp // by placement
}

// copyUp is one that has been announced and not been found.
type copyUp struct {
	tries int
	next  time.Time
}

// followCopyUps starts the goroutine; stop ends it.
func (s *Sensor) followCopyUps() {
	c := &copyUps{
		wake: make(chan struct{}, 1), end: make(chan struct{}), ended: make(chan struct{}), of: map[uint64]*copyUp{},
	}
	s.copies = c
	go func() {
		defer close(c.ended)
		timer := time.NewTimer(time.Hour)
		defer timer.Stop()
		for {
			select {
			case <-c.end:
				return
			case <-c.wake:
			case <-timer.C:
			}
			timer.Reset(c.round(time.Now(), s.copiedUp))
		}
	}()
}

// stop returns when the goroutine has ended. A nil c has none.
func (c *copyUps) stop() {
	if c == nil {
		return
	}
	c.once.Do(func() { close(c.end) })
	<-c.ended
}

// announced notes that a placement's file is being copied up.
func (c *copyUps) announced(placement uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of[placement] = &copyUp{next: time.Now().Add(copyUpFirst)}
	c.waken()
}

// written has a copy-up looked for once more that was not found in time.
func (c *copyUps) written(placement uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if u := c.of[placement]; u != nil && u.tries >= copyUpTries {
		*u = copyUp{next: time.Now().Add(copyUpFirst)}
		c.waken()
	}
}

// pending returns how many are still looked for.
func (c *copyUps) pending() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range c.of {
		if u.tries < copyUpTries {
			n++
		}
	}
	return n
}

// forget is for a placement that is no longer watched. A nil c has none.
func (c *copyUps) forget(placement uint64) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.of, placement)
}

func (c *copyUps) waken() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// round looks for those whose time has come, and returns for how long there is
// nothing to do.
func (c *copyUps) round(now time.Time, found func(placement uint64) bool) time.Duration {
	due := map[uint64]*copyUp{}
	c.mu.Lock()
	for placement, u := range c.of {
		if u.tries < copyUpTries && !now.Before(u.next) {
			due[placement] = u
		}
	}
	c.mu.Unlock()
	for placement, u := range due {
		c.tried(placement, u, found(placement))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	wait := time.Hour
	for _, u := range c.of {
		if u.tries < copyUpTries {
			wait = min(wait, time.Until(u.next))
		}
	}
	return max(wait, copyUpFirst)
}

func (c *copyUps) tried(placement uint64, u *copyUp, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.of[placement] != u: // announced once more meanwhile
	case found:
		delete(c.of, placement)
	default:
		u.tries++
		u.next = time.Now().Add(min(copyUpFirst<<u.tries, copyUpMost))
	}
}

// CopyUps returns how many files are being copied up to an overlay's upper layer,
// as far as Read has come, whose copies are looked for and not watched yet. Until
// they are, touching a copy by its path on the host isn't seen.
func (s *Sensor) CopyUps() int { return s.copies.pending() }

// lookForCopyUps looks at all overlay files when the ring had no room for the
// word that one is copied up.
func (s *Sensor) lookForCopyUps() {
	var lost uint64
	if s.coll.Variables["lost_copy_ups"].Get(&lost) != nil {
		return // only a store that is mapped: not to be expected
	}
	c := s.copies
	c.mu.Lock()
	news := lost != c.lost
	c.lost = lost
	c.mu.Unlock()
	if !news {
		return
	}
	s.mu.Lock()
	var overlays []uint64
	for placement, w := range s.byPlacement {
		if w.inodes > 1 {
			overlays = append(overlays, placement)
		}
	}
	s.mu.Unlock()
	for _, placement := range overlays {
		c.announced(placement)
	}
}

// copiedUp enrols the new backing inode of an overlay file. It returns false if
// there is none yet.
func (s *Sensor) copiedUp(placement uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.byPlacement[placement]
	if w == nil || s.closed {
		return true
	}
	request := lsmEnrolment{Placement: placement, Op: enrolAdd}
	if w.follow {
		request.Flags = watchFollowed
	}
	// What the open passes that is watched already counts as found.
	again, result, err := s.enrol(w.pin, request)
	if err != nil {
		return false // the overlay inode is still watched; only the host's side isn't
	}
	if result.Added == 0 {
		_ = again.Close()
		return false
	}
	w.inodes += result.Added // and the lower inode is to be swept
	old := w.pin
	w.pin = again
	w.follow = w.follow && s.lock(w) == nil
	_ = old.Close()
	return true
}
