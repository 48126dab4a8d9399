package exporter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/beesting-otel/beesting"
)

// ErrShutdown is what Deliver returns after Shutdown.
var ErrShutdown = errors.New("exporter is shut down")

// WriterStats counts what a [Writer] did.
type WriterStats struct {
	// Written is how many accesses and gaps were written whole, Failed how many
	// were not: each of them made Deliver or Gap return an error.
	Written uint64 `json:"written"`
	Failed  uint64 `json:"failed"`
}

// Writer writes accesses and gaps to an [io.Writer], one at a time and each in a single
// Write. It is safe for concurrent use. It has no queue: Deliver returns when
// the write did, so a reader that stands still holds the sensor back, whose
// ring buffer then counts what it loses.
type Writer struct {
	format func(item) ([]byte, error)

	mu    sync.Mutex
	w     io.Writer
	torn  bool // the last write stopped in the middle of a line
	shut  bool
	stats WriterStats
}

// Deliver writes a. The error says that a was not written, or not whole.
func (w *Writer) Deliver(_ context.Context, a beesting.Access) error {
	return w.put(item{access: &a})
}

// End writes nothing: what there is to read of an access is written when it
// begins, so that nobody waits for it or counts it twice.
func (w *Writer) End(context.Context, beesting.Access) error { return nil }

// Gap writes g. The error says that g was not written, or not whole.
func (w *Writer) Gap(_ context.Context, g beesting.Gap) error {
	return w.put(item{gap: &g})
}

func (w *Writer) put(it item) error {
	text, err := w.format(it)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shut {
		err = ErrShutdown
	}
	if err == nil {
		err = w.write(text)
	}
	if err != nil {
		w.stats.Failed++
		return fmt.Errorf("%s: %w", it, err)
	}
	w.stats.Written++
	return nil
}

// write puts text on a line of its own even after a write that stopped in the
// middle (a full disk that has room again): what follows must stay readable.
func (w *Writer) write(text []byte) error {
	if w.torn {
		text = append([]byte("\n"), text...)
	}
	n, err := w.w.Write(text)
	if err == nil && n < len(text) {
		err = io.ErrShortWrite
	}
	switch {
	case err == nil:
		w.torn = false
	case n > 0:
		w.torn = text[n-1] != '\n'
	}
	return err
}

// Shutdown ends the delivery; nothing is held back, so there is nothing to
// drain. It does not close the underlying writer. It is safe to call twice.
func (w *Writer) Shutdown(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shut = true
	return nil
}

// Stats returns the counts so far.
func (w *Writer) Stats() WriterStats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}
