package collectorproc

import (
	"bytes"
	"context"
	"fmt"
	"sync"
)

// Log keeps what a Collector writes to its standard output and error.
type Log struct {
	mu   sync.Mutex
	text []byte
	more chan struct{} // closed and replaced when something was written
	done chan struct{} // closed when nothing will be
}

func newLog() *Log { return &Log{more: make(chan struct{}), done: make(chan struct{})} }

// Write implements io.Writer for the Collector.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	close(l.more)
	l.more = make(chan struct{})
	return len(b), nil
}

func (l *Log) end() { close(l.done) }

func (l *Log) changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.more
}

// Len is how many bytes were written so far, a mark for From.
func (l *Log) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.text)
}

// From is what was written after a mark.
func (l *Log) From(mark int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text[mark:])
}

// Count is how often a text occurs.
func (l *Log) Count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.text, []byte(text))
}

// WaitLog waits until a text has occurred n times.
func (l *Log) WaitLog(ctx context.Context, text string, n int) error {
	for {
		changed := l.changed()
		if l.Count(text) >= n {
			return nil
		}
		select {
		case <-changed:
		case <-l.done:
			if l.Count(text) >= n {
				return nil
			}
			return fmt.Errorf("%q in its log: %w", text, ErrEnded)
		case <-ctx.Done():
			return fmt.Errorf("%q in its log: %w", text, ctx.Err())
		}
	}
}

// Tail is the end of the log, for an error message.
func (l *Log) Tail() string {
	const most = 6000
	l.mu.Lock()
	defer l.mu.Unlock()
	return "last lines of its log:\n" + string(l.text[max(0, len(l.text)-most):])
}
