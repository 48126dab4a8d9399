//go:build linux && (amd64 || arm64)

package fanotify

import "time"

// recent remembers which process a thread is of: a thread that touches again is
// recognised by one read instead of two, and one that has gone before it was
// looked at is not taken for somebody else. Only the goroutine that handles
// events uses it.
type recent struct {
	proc    procFS
	threads map[uint32]remembered
}

type remembered struct {
	task task
	at   time.Duration // of its last event
}

const (
	maxRecent = 1 << 12
	// rememberFor bounds how long after its last event a thread that has gone is
	// still known: ids are given out in turn, so that one isn't used again within
	// a second unless tens of thousands of tasks are made in it.
	rememberFor = time.Second
)

func newRecent(fs procFS) *recent {
	return &recent{proc: fs, threads: make(map[uint32]remembered)}
}

// find says who a thread is; gone tells that it has ended, and then the task is
// as it was last seen, or has but the thread's id.
func (r *recent) find(thread uint32, event time.Duration) (t task, gone bool) {
	known, ok := r.threads[thread]
	own, err := r.proc.stat(thread)
	switch {
	case err == nil && ok && own.start == known.task.threadStart:
		// Its ids may have changed since: they are read again for an event.
		t = known.task
	case err == nil:
		if t, err = r.proc.taskOf(thread, own, event); err != nil {
			return task{thread: thread}, true
		}
	case ok && event-known.at < rememberFor:
		t, gone = known.task, true
	default:
		return task{thread: thread}, true
	}
	if !ok && len(r.threads) >= maxRecent {
		clear(r.threads)
	}
	r.threads[thread] = remembered{task: t, at: event}
	return t, gone
}

// identity of a task that may be known by its thread only.
func (t task) identity() identity {
	if t.process == 0 {
		return identity{pid: t.thread}
	}
	return identity{t.process, t.start}
}
