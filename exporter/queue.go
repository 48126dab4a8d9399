package exporter

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/beesting-otel/beesting"
)

// item is what waits to be delivered: an access or, as a log record only, a gap.
type item struct {
	access *beesting.Access
	gap    *beesting.Gap
}

// String names the item in messages.
func (it item) String() string {
	if it.gap != nil {
		return fmt.Sprintf("gap of token %s", it.gap.Placement.TokenID)
	}
	return fmt.Sprintf("access %x", it.access.ID[:4])
}

// source is what a pipeline delivers from: accesses in order behind a cursor
// that moves only when the pipeline says so.
//
// One goroutine calls its methods.
type source interface {
	// Next waits until there is something after the cursor and returns up to
	// limit accesses, oldest first. The cursor stays. It returns io.EOF when
	// the source is empty and nothing more is to be waited for, and ctx's
	// error when ctx ends.
	Next(ctx context.Context, limit int) ([]item, error)
	// Ack moves the cursor past the first n accesses: they are delivered.
	Ack(n int)
	// Take takes the accesses at these positions after the cursor (ascending,
	// the first is 0) out: they are delivered, unlike those between them. A
	// durable source may forget that when it is opened again; they are then
	// delivered once more.
	Take(positions []int)
	// SetAside moves the cursor past the first n accesses: the back end will
	// never take them, cause says why in a word.
	SetAside(n int, cause string)
}

// buffer is where the accesses of one signal wait: a queue in memory, or the
// journal behind one of its cursors. It outlives the goroutine that delivers. Its
// other methods are safe for concurrent use.
type buffer interface {
	source
	// open undoes close, which turns away what comes later.
	open() error
	close()
	// drain says whether Next gives only what is there now, and then io.EOF.
	drain(on bool)
	// discard empties it if the process is about to end and what is in it would
	// be lost with it, and returns how many accesses that were.
	discard() int
	// forget empties it as nobody takes the signal any more, likewise.
	forget() int
	// all are those that would be lost with the process, oldest first.
	all() []item
	len() int
}

var _ buffer = (*queue)(nil)

// queue is a bounded FIFO in memory. When it is full the newest access is
// turned away: what came first tells how it began.
type queue struct {
	wake chan struct{} // holds a token when something changed

	mu       sync.Mutex
	limit    int
	items    []item
	closed   bool // nothing is accepted any more
	draining bool // Next gives what is left, and doesn't wait for more
	left     int  // of what was there when draining began
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, wake: make(chan struct{}, 1)}
}

// resize changes how much there is room for. What is queued stays, also where it
// is more than that.
func (q *queue) resize(limit int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.limit = limit
}

// put appends it and never waits. Not accepted means that the queue is full, or
// no longer open.
func (q *queue) put(it item) (accepted, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.items) >= q.limit {
		return false, !q.closed
	}
	q.items = append(q.items, it)
	q.signal()
	return true, true
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Next implements source.
func (q *queue) Next(ctx context.Context, limit int) ([]item, error) {
	for {
		q.mu.Lock()
		n, last := min(limit, len(q.items)), q.closed || q.draining
		if q.draining {
			n = min(n, q.left)
		}
		batch := append([]item(nil), q.items[:n]...)
		q.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case n > 0:
			return batch, nil
		case last:
			return nil, io.EOF
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
		}
	}
}

// Ack implements source.
func (q *queue) Ack(n int) { q.drop(n) }

// Take implements source.
func (q *queue) Take(positions []int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.left -= min(q.left, len(positions))
	kept := q.items[:0]
	for i, it := range q.items {
		if len(positions) > 0 && positions[0] == i {
			positions = positions[1:]
			continue
		}
		kept = append(kept, it)
	}
	clear(q.items[len(kept):])
	q.items = kept
}

// SetAside implements source. There is nowhere to set anything aside in
// memory: the pipeline counts and logs it, and that is all that stays of it.
func (q *queue) SetAside(n int, _ string) { q.drop(n) }

func (q *queue) drop(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.items[:n])
	q.items = q.items[n:]
	q.left -= min(q.left, n)
	if len(q.items) == 0 {
		q.items = nil // gives the memory of a long outage back
	}
}

// close turns away what comes later. What is in the queue stays in it.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

// open undoes close.
func (q *queue) open() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = false
	return nil
}

// drain says whether Next gives only what is in the queue now, and then io.EOF.
// What comes later is accepted and stays: under steady traffic a queue may never
// be empty, and to wait for that would end in a call that has to be cut off.
func (q *queue) drain(on bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.draining, q.left = on, len(q.items)
	q.signal()
}

// forget implements buffer.
func (q *queue) forget() int { return q.discard() }

// discard empties the queue and returns how many accesses were in it. Nobody
// may be between Next and Ack.
func (q *queue) discard() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := len(q.items)
	q.items = nil
	return n
}

// all returns what is in the queue, oldest first.
func (q *queue) all() []item {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.items)
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}
