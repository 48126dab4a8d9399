package exporter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/journal"
)

// The cursors of a journal, by the shapes that they give. Both forms of the agent
// have the same, so that one goes on where the other has ended.
const (
	cursorLogs  = "logs"
	cursorSpans = "spans"
)

func shapesOf(cursor string) []journal.Shape {
	if cursor == cursorSpans {
		return []journal.Shape{journal.Whole, journal.End}
	}
	return []journal.Shape{journal.Whole, journal.Ongoing, journal.Gap}
}

// keeper puts items into a journal, from where all signals take them that they
// concern.
type keeper struct {
	journal *journal.Journal
	args    ArgsMode
}

// keep puts one there. If it can't be kept, it is the caller's still.
func (k keeper) keep(it item, ended bool, signals ...*delivery) error {
	if it.access != nil {
		it.access = k.args.atRest(it.access)
	}
	err := k.journal.Append(journal.Entry{Access: it.access, Gap: it.gap, Ended: ended})
	if err == nil {
		for _, d := range signals {
			if d.off && d.wanted.Load() {
				d.tally.lose(causeDisabled)
			}
		}
		return nil
	}
	for _, d := range signals {
		if d.wanted.Load() {
			d.tally.refuse()
			break
		}
	}
	switch {
	case errors.Is(err, journal.ErrFull):
		err = ErrQueueFull
	case errors.Is(err, journal.ErrClosed):
		err = ErrShutdown
	}
	return fmt.Errorf("%s: %w", it, err)
}

// Recorder keeps accesses in a journal, and sends nothing. Safe for concurrent use.
type Recorder struct{ keeper }

// NewRecorder returns one; what m says of arguments goes for the journal too.
func NewRecorder(j *journal.Journal, m *Mapping) *Recorder {
	return &Recorder{keeper{journal: j, args: m.args}}
}

// Deliver keeps a. An error says that it was not kept.
func (r *Recorder) Deliver(_ context.Context, a beesting.Access) error {
	return r.keep(accessItem(a), false)
}

// End keeps the end of an access that was delivered as Ongoing.
func (r *Recorder) End(_ context.Context, a beesting.Access) error {
	return r.keep(accessItem(a), true)
}

// Gap keeps g. An error says that it was not kept.
func (r *Recorder) Gap(_ context.Context, g beesting.Gap) error { return r.keep(gapItem(g), false) }

// Shutdown does nothing: the journal is closed by who has opened it.
func (r *Recorder) Shutdown(context.Context) error { return nil }

// journaled is the buffer of a signal whose accesses are in the journal. Its cursor
// is there from open to forget: in between, the journal keeps for the signal what it
// has not delivered.
type journaled struct {
	journal *journal.Journal
	name    string // of the cursor
	found   func(n int)
	lost    func(n int)

	mu sync.Mutex
	c  *journal.Cursor
}

var _ buffer = (*journaled)(nil)

// newJournaled makes a delivery from the journal. cursor has the signal's name
// there.
func newJournaled(j *journal.Journal, cursor, name string, log *slog.Logger, p pace) *delivery {
	d := newDelivery(name, log, p, nil)
	b := &journaled{journal: j, name: cursor}
	b.lost = func(n int) {
		d.tally.settle(0, n, causeJournal)
		d.news.lost(n, causeJournal, errJournalFull)
	}
	b.found = func(n int) {
		log.Info("the journal has telemetry to deliver from before", slog.String("signal", name), slog.Int("accesses", n))
	}
	d.off, d.queue, d.tally.queued = false, b, b.len
	return d
}

var errJournalFull = errors.New("removed from the journal, which holds no more")

// open implements buffer.
func (b *journaled) open() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.c != nil {
		return nil
	}
	c, err := b.journal.Cursor(b.name, shapesOf(b.name)...)
	if err != nil {
		return err
	}
	if n := c.Pending(); n > 0 {
		b.found(n)
	}
	b.c = c
	return nil
}

// cursor is nil while nobody takes the signal.
func (b *journaled) cursor() *journal.Cursor {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.c
}

// Next implements source.
func (b *journaled) Next(ctx context.Context, limit int) ([]item, error) {
	c := b.cursor()
	entries, err := c.Next(ctx, limit)
	if n := c.Dropped(); n > 0 {
		b.lost(n)
	}
	batch := make([]item, len(entries))
	for i, e := range entries {
		batch[i] = item{access: e.Access, gap: e.Gap}
	}
	return batch, err
}

// Ack implements source.
func (b *journaled) Ack(n int) { b.cursor().Ack(n) }

// Take implements source.
func (b *journaled) Take(positions []int) { b.cursor().Take(positions) }

// SetAside implements source: the journal has a place for it.
func (b *journaled) SetAside(n int, cause string) { b.cursor().SetAside(n, cause) }

// close does nothing: what comes is in the journal, whoever delivers it.
func (b *journaled) close() {}

func (b *journaled) drain(on bool) {
	if c := b.cursor(); c != nil {
		c.Drain(on)
	}
}

// discard leaves everything to who comes next.
func (b *journaled) discard() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.c != nil {
		b.c.Release()
		b.c = nil
	}
	return 0
}

func (b *journaled) forget() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.c == nil {
		return 0
	}
	n := b.c.Forget()
	b.c = nil
	return n
}

func (b *journaled) all() []item { return nil }

func (b *journaled) len() int {
	if c := b.cursor(); c != nil {
		return c.Pending()
	}
	return 0
}
