package fanotify

import (
	"errors"
	"os"
	"sync"

	"github.com/beesting-otel/beesting/bpf"
)

// queue holds events until they are read. Repeats don't get its last quarter:
// that is kept for the first touches of a process.
type queue struct {
	mu     sync.Mutex
	ready  *sync.Cond
	most   int
	events []bpf.Event
	// behind is how many of the events were there at the last Flush, plus one; 0 when
	// none waits for its answer.
	behind int
	end    error
}

func newQueue(most int) *queue {
	q := &queue{most: most}
	q.ready = sync.NewCond(&q.mu)
	return q
}

// push reports whether there was room.
func (q *queue) push(e bpf.Event, first bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	room := q.most
	if !first {
		room -= q.most / 4
	}
	if q.end != nil || len(q.events) >= room {
		return false
	}
	q.events = append(q.events, e)
	q.ready.Signal()
	return true
}

// flush makes pull return bpf.ErrFlushed after the events that are there now,
// once for all that wait, as the ring of the eBPF sensor does.
func (q *queue) flush() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.behind = len(q.events) + 1
	q.ready.Signal()
}

// pull waits for an event, the end of a flush or of the queue. What is in the
// queue can still be had after its end, unless that is the sensor's.
func (q *queue) pull() (bpf.Event, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		switch {
		case q.behind == 1:
			q.behind = 0
			return bpf.Event{}, bpf.ErrFlushed
		case errors.Is(q.end, os.ErrClosed):
			return bpf.Event{}, q.end
		case len(q.events) > 0:
			e := q.events[0]
			q.events[0] = bpf.Event{}
			q.events = q.events[1:]
			q.behind = max(q.behind-1, 0)
			return e, nil
		case q.end != nil:
			return bpf.Event{}, q.end
		}
		q.ready.Wait()
	}
}

// close ends it; the first reason stays, but for os.ErrClosed.
func (q *queue) close(reason error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.end == nil || errors.Is(reason, os.ErrClosed) {
		q.end = reason
	}
	q.ready.Broadcast()
}
