package exporter

import (
	"log/slog"
	"maps"
	"sync"
	"time"
)

// The causes of a loss or a refusal that don't come from a back end's answer.
// The others are "http_STATUS", "grpc_CODE" and "not_encodable".
const (
	causeQueueFull = "queue_full"   // no room, and nobody comes again: the span beside a log record, or of an end
	causeJournal   = "journal_full" // removed from the journal before it was delivered
	causeShutdown  = "shutdown"     // still in the queue when the time was up, or delivered later
	causeDisabled  = "disabled"     // OTEL_SDK_DISABLED or OTEL_*_EXPORTER=none
	causeRejected  = "rejected"     // by a partial success
	causePermanent = "permanent"    // by an error of the next consumer that it calls permanent
	causeRefused   = "refused"      // by another error of the next consumer; never lost by it
)

// SignalStats counts the accesses of one signal. Offered is always the sum of
// Delivered, Queued and all of Dropped; with a journal, what an earlier process
// left there is in it.
type SignalStats struct {
	Offered   uint64 `json:"offered"`
	Delivered uint64 `json:"delivered"`
	Queued    uint64 `json:"queued"`
	// Dropped is by cause: "queue_full", "journal_full" (removed from the journal,
	// which holds no more), "shutdown", "disabled", "rejected"
	// (partial success), "permanent" (PData), "not_encodable", "http_STATUS"
	// or "grpc_CODE".
	Dropped map[string]uint64 `json:"dropped,omitempty"`
	// Refused counts the calls that found no room and returned an error: the
	// caller still has what they were for and is expected to come again, so one
	// access can be refused several times. None of them is Offered.
	Refused uint64 `json:"refused,omitempty"`
	// Retries counts attempts that failed and were made again, LastError says
	// why the last of them did.
	Retries   uint64 `json:"retries"`
	LastError string `json:"last_error,omitempty"`
	// Endpoint is where the signal goes; empty when it is turned off or (PData)
	// not attached.
	Endpoint string `json:"endpoint,omitempty"`
}

// tally keeps the counts of a signal. Queued is derived, so that the sum holds
// at every moment. Safe for concurrent use.
type tally struct {
	mu    sync.Mutex
	stats SignalStats
	// queued counts what waits in a journal, where some of it has been since before
	// this process; nil without one. Offered is derived then.
	queued func() int
}

func newTally() *tally { return &tally{stats: SignalStats{Dropped: map[string]uint64{}}} }

// offer counts what put queues as offered, and what it doesn't as refused. It is
// counted before anybody can count what became of it.
func (t *tally) offer(put func() (accepted bool)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if put() {
		t.stats.Offered++
	} else {
		t.stats.Refused++
	}
}

// give counts what put is given as offered, and as dropped if it isn't queued.
func (t *tally) give(put func() (accepted bool, cause string)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.Offered++
	if accepted, cause := put(); !accepted {
		t.stats.Dropped[cause]++
	}
}

// lose counts what goes nowhere.
func (t *tally) lose(cause string) {
	t.give(func() (bool, string) { return false, cause })
}

// refuse counts what the caller keeps.
func (t *tally) refuse() { t.offer(func() bool { return false }) }

// settle counts the end of so many accesses.
func (t *tally) settle(good, bad int, cause string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.Delivered += uint64(good) //nolint:gosec // lengths of batches
	if bad > 0 {
		t.stats.Dropped[cause] += uint64(bad) //nolint:gosec // as above
	}
}

func (t *tally) retry(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.Retries++
	if err != nil {
		t.stats.LastError = bounded(err.Error(), maxReason)
	}
}

func (t *tally) snapshot() SignalStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stats
	s.Dropped = maps.Clone(s.Dropped)
	var ended uint64
	for _, n := range s.Dropped {
		ended += n
	}
	ended += s.Delivered
	if t.queued != nil {
		s.Queued = uint64(t.queued()) //nolint:gosec // a count
		s.Offered = ended + s.Queued
		return s
	}
	s.Queued = s.Offered - ended
	return s
}

// maxReason bounds what is logged of a back end's words, in bytes.
const maxReason = 300

// newsEvery is how often at most the log hears the same thing.
const newsEvery = 10 * time.Second

// news tells the log how delivery goes: the first failure of an outage and its
// end, and losses, each cause at once and then at most every newsEvery with the
// number since. Safe for concurrent use.
type news struct {
	log *slog.Logger
	now func() time.Time

	mu     sync.Mutex
	since  time.Time // start of the outage; zero when there is none
	told   time.Time // when the outage was last told
	losses map[string]*losses
}

type losses struct {
	told  time.Time
	since int
}

func newNews(log *slog.Logger, signal string, now func() time.Time) *news {
	return &news{log: log.With("signal", signal), now: now, losses: map[string]*losses{}}
}

func (n *news) fails(cause string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	if n.since.IsZero() {
		n.since = now
	}
	if now.Sub(n.told) < 6*newsEvery {
		return
	}
	n.told = now
	n.log.Warn("telemetry not delivered, will retry", "cause", cause, "error", reason(err), "for", now.Sub(n.since).Round(time.Second))
}

func (n *news) works() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.since.IsZero() {
		return
	}
	n.log.Info("telemetry delivered again", "after", n.now().Sub(n.since).Round(time.Millisecond))
	n.since, n.told = time.Time{}, time.Time{}
}

func (n *news) lost(count int, cause string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.losses[cause]
	if l == nil {
		l = new(losses)
		n.losses[cause] = l
	}
	l.since += count
	if now := n.now(); now.Sub(l.told) >= newsEvery {
		n.log.Error("telemetry lost", "cause", cause, "accesses", l.since, "error", reason(err))
		l.told, l.since = now, 0
	}
}

// flush tells the losses that the limit held back.
func (n *news) flush() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for cause, l := range n.losses {
		if l.since > 0 {
			n.log.Error("telemetry lost", "cause", cause, "accesses", l.since)
			l.since = 0
		}
	}
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return bounded(err.Error(), maxReason)
}
