package journal

import (
	"context"
	"fmt"
	"io"
	"time"
)

// readAhead is how many entries a cursor reads at a time beyond those asked for.
const readAhead = 256

// Cursor gives the entries that concern it in order, and moves when they are
// delivered. Next, Ack, Take and SetAside are for one goroutine at a time; the
// other methods can be called at any time.
type Cursor struct {
	j     *Journal
	name  string
	wants [shapes]bool
	wake  chan struct{} // holds a token when something changed

	// All guarded by Journal.mu.
	ahead    []Entry // read and not delivered, oldest first
	pos      uint64  // what is read next
	pending  int     // entries to deliver, those in ahead too
	dropped  int     // entries that were removed before they came here
	draining bool
	drainTo  uint64 // the last entry that is given while draining
	ended    bool
}

// Cursor returns the cursor with that name, which gives entries of these shapes
// and those that are For it. One that the journal has not seen before begins with
// the next entry. Where all cursors are lost to a damaged file, it begins with the
// oldest. A name can be had once.
func (j *Journal) Cursor(name string, wants ...Shape) (*Cursor, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.closed:
		return nil, ErrClosed
	case j.cursors[name] != nil:
		return nil, fmt.Errorf("journal: cursor %s is in use", name)
	}
	c := &Cursor{j: j, name: name, wake: make(chan struct{}, 1), pos: j.next}
	for _, w := range wants {
		c.wants[w] = true
	}
	c.wants[Again] = true
	at, ok := j.stored[name]
	delete(j.stored, name)
	if !ok {
		at = j.unknown
	}
	if at > 0 {
		c.pos = max(at, j.segments[0].first)
	}
	for _, s := range j.segments {
		if s.last >= c.pos {
			c.pending += c.countIn(s)
		}
	}
	for i := range j.tail { // what waits for the disk is in no segment
		if e := &j.tail[i]; j.waiting != nil && e.Seq >= j.waiting.first && e.Seq >= c.pos && c.concerns(e) {
			c.pending++
		}
	}
	j.cursors[name], j.moved = c, true
	return c, nil
}

func (c *Cursor) concerns(e *Entry) bool {
	return c.wants[e.Shape()] && (e.For == "" || e.For == c.name)
}

// position is what is delivered next; j.mu is held.
func (c *Cursor) position() uint64 {
	if len(c.ahead) > 0 {
		return c.ahead[0].Seq
	}
	return c.pos
}

// lag is how old the entry is that is delivered next; j.mu is held. Of one that
// has not been read it is the age of the newest in its file, and so at least that.
func (c *Cursor) lag() time.Duration {
	var since time.Time
	switch s := c.j.holding(c.pos); {
	case c.pending == 0:
		return 0
	case len(c.ahead) > 0:
		since = c.ahead[0].Recorded
	case len(c.j.tail) > 0 && c.pos >= c.j.tail[0].Seq && c.pos < c.j.next:
		since = c.j.tail[c.pos-c.j.tail[0].Seq].Recorded
	case s != nil:
		since = s.newest
	default:
		return 0 // it is being written
	}
	return max(c.j.o.Now().Sub(since), 0)
}

// countIn counts the entries of a segment that the cursor has still to read; j.mu
// is held. What can't be read counts as none.
func (c *Cursor) countIn(s *segment) int {
	n := 0
	if c.pos <= s.first && s.shapes[Again] == 0 {
		for shape, wanted := range c.wants {
			if wanted {
				n += int(s.shapes[shape]) //nolint:gosec // a count
			}
		}
		return n
	}
	_ = s.frames(c.pos, func(f frame) bool {
		entries, _ := c.j.codec.decode(f)
		for i := range entries {
			if e := &entries[i]; e.Seq >= c.pos && c.concerns(e) {
				n++
			}
		}
		return true
	})
	return n
}

// pass moves the cursor behind a segment that is going to be removed and returns
// how many entries it doesn't get; j.mu is held. Those that it has read it has.
func (c *Cursor) pass(s *segment) int {
	if c.pos > s.last {
		return 0
	}
	n := c.countIn(s)
	c.pos = s.last + 1
	c.pending -= n
	c.dropped += n
	c.signal()
	return n
}

// offer tells of new entries; j.mu is held.
func (c *Cursor) offer(entries []Entry) {
	for i := range entries {
		if c.concerns(&entries[i]) {
			c.pending++
		}
	}
	c.signal()
}

func (c *Cursor) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Next waits until there are entries and returns up to limit. The cursor stays. It
// returns io.EOF after Close, and while draining when nothing of what was there is
// left; and ctx's error when that is over.
func (c *Cursor) Next(ctx context.Context, limit int) ([]Entry, error) {
	for {
		batch, more, err := c.look(limit)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			return nil, err
		case len(batch) > 0:
			return batch, nil
		case more:
			continue
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
		}
	}
}

// look returns what can be given now, and if that is nothing, whether to look
// again at once.
func (c *Cursor) look(limit int) (batch []Entry, more bool, err error) {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	if c.ended || c.j.closed {
		return nil, false, io.EOF
	}
	end := c.j.next
	if c.draining {
		end = min(end, c.drainTo+1)
	}
	if len(c.ahead) < limit && c.pos < end {
		more = c.read(limit - len(c.ahead) + readAhead)
	}
	n := 0
	for n < min(limit, len(c.ahead)) && (!c.draining || c.ahead[n].Seq <= c.drainTo) {
		n++
	}
	if n == 0 && c.draining && c.pos >= end {
		return nil, false, io.EOF
	}
	return append([]Entry(nil), c.ahead[:n]...), more, nil
}

// read reads on and reports whether it got anywhere; j.mu is held, but not while a
// file is read.
func (c *Cursor) read(limit int) bool {
	j := c.j
	if len(j.tail) > 0 && c.pos >= j.tail[0].Seq {
		from := int(c.pos - j.tail[0].Seq) //nolint:gosec // within the tail, or behind it
		for i := from; i < len(j.tail) && i < from+limit; i++ {
			c.take(j.tail[i])
		}
		return from < len(j.tail)
	}
	s := j.holding(c.pos)
	if s == nil {
		return false // it is being written
	}
	was := c.pos
	j.mu.Unlock()
	entries, err := j.readFrom(s, was, limit)
	j.mu.Lock()
	switch {
	case c.pos != was:
		return true // it was passed over meanwhile
	case err != nil:
		j.complain(err)
	}
	for _, e := range entries {
		c.take(e)
	}
	if len(entries) == 0 && s != j.active() {
		c.pos = s.last + 1 // what should be there is damaged
	}
	if len(entries) == 0 && s == j.active() && len(j.tail) > 0 {
		c.pos = max(c.pos, j.tail[0].Seq)
	}
	return c.pos != was
}

func (c *Cursor) take(e Entry) {
	if c.concerns(&e) {
		c.ahead = append(c.ahead, e)
	}
	c.pos = e.Seq + 1
}

// holding is the segment that an entry is in; j.mu is held.
func (j *Journal) holding(seq uint64) *segment {
	for _, s := range j.segments {
		if s.last >= seq {
			return s
		}
	}
	return nil
}

// readFrom reads entries of a segment from seq on: limit, or a frame more.
func (j *Journal) readFrom(s *segment, seq uint64, limit int) (entries []Entry, err error) {
	j.files.RLock()
	defer j.files.RUnlock()
	err = s.frames(seq, func(f frame) bool {
		these, err := j.codec.decode(f)
		if err != nil {
			j.o.Log.Warn("a part of the journal makes no sense", "error", err)
		}
		for _, e := range these {
			if e.Seq >= seq {
				entries = append(entries, e)
			}
		}
		return len(entries) < limit
	})
	return entries, err
}

// Ack moves the cursor past the first n entries of those that Next gives: they are
// delivered.
func (c *Cursor) Ack(n int) {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	c.drop(n)
}

func (c *Cursor) drop(n int) {
	clear(c.ahead[:n])
	c.ahead = c.ahead[n:]
	c.pending -= n
	c.j.moved = true
	if len(c.ahead) == 0 {
		c.ahead = nil
	}
}

// Take takes the entries at these positions of what Next gives out, ascending: they
// are delivered, unlike those between them. That is forgotten with the process.
func (c *Cursor) Take(positions []int) {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	kept := c.ahead[:0]
	for i, e := range c.ahead {
		if len(positions) > 0 && positions[0] == i {
			positions = positions[1:]
			c.pending--
			continue
		}
		kept = append(kept, e)
	}
	clear(c.ahead[len(kept):])
	c.ahead = kept
	c.j.moved = true
}

// SetAside moves the cursor past the first n entries, which go to the dead letters:
// cause says in a word why they can't be delivered.
func (c *Cursor) SetAside(n int, cause string) {
	c.j.mu.Lock()
	entries := append([]Entry(nil), c.ahead[:n]...)
	c.j.mu.Unlock()
	c.j.dead.add(c.name, cause, entries)
	c.Ack(n)
}

// Drain says whether Next gives only what is there now, and then io.EOF.
func (c *Cursor) Drain(on bool) {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	c.draining, c.drainTo = on, c.j.next-1
	c.signal()
}

// Pending is how many entries are to be delivered.
func (c *Cursor) Pending() int {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	return c.pending
}

// Dropped returns how many entries were removed from the journal before the cursor
// came to them, since it was last asked.
func (c *Cursor) Dropped() int {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	n := c.dropped
	c.dropped = 0
	return n
}

// Forget gives the cursor up for good: the journal forgets that there was one of the
// name. It returns how many entries that doesn't get.
func (c *Cursor) Forget() int {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	n := c.pending
	if c.ended {
		return 0
	}
	c.end()
	return n
}

// Release ends the cursor's use: one of the same name goes on where it is.
func (c *Cursor) Release() {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	if c.ended {
		return
	}
	c.j.stored[c.name] = c.position()
	c.end()
}

// end is the end of both; j.mu is held.
func (c *Cursor) end() {
	c.ended, c.ahead, c.pending = true, nil, 0
	delete(c.j.cursors, c.name)
	c.j.moved = true
	c.signal()
}
