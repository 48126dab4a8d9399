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

// ErrQueueFull is what Deliver returns when an access was turned away.
var ErrQueueFull = errors.New("queue is full")

// DefaultQueue is the default of OTLPOptions.Queue. An access takes 1 to 2 KiB
// in it as a rule and 8 KiB at most, for both signals together
// (TestMemoryOfAnAccess).
const DefaultQueue = 16384

// OTLPOptions configures [NewOTLP].
type OTLPOptions struct {
	// Getenv reads the OTEL_* variables; required (os.Getenv in a program).
	Getenv func(string) string
	// Logger hears of outages, their end and of every loss; required.
	Logger *slog.Logger
	// Queue is how many accesses of each signal may wait; DefaultQueue if 0.
	Queue int
	// Journal keeps the accesses, instead of queues in memory: they are delivered
	// from there, by another process where this one ends before, and what Deliver
	// returned nil for is not lost with it. It is closed by the caller, after
	// Shutdown. Nil for none.
	Journal *journal.Journal
	// Beside says that there is another output, which takes the same and must
	// not be told again: what finds no room is then lost, counted as
	// "queue_full" and logged, and Deliver and Gap return nil.
	Beside bool
	// Meter and State turn metrics on, both or neither. State is called for
	// each export, from one goroutine and also during Shutdown; it must not
	// take long. False means that nothing is known yet, and nothing is
	// exported. What Deliver is given, the caller has the Meter observe.
	Meter *Meter
	State func() (NodeState, bool)
}

// OTLP delivers accesses as log records and spans, and metrics if asked for, to
// OTLP end points. The signals are independent: each has its goroutine, logs and
// spans a queue each, and the trouble of one doesn't hold up another. Safe for
// concurrent use.
type OTLP struct {
	keeper  keeper // of no journal without one
	signals []*otlpDelivery
	metrics *metricDelivery // nil without
	beside  bool
}

// OTLPStats counts what became of the accesses, by signal. Logs are offered gaps
// as well, spans an access that is Ongoing only at its end.
type OTLPStats struct {
	Logs  SignalStats `json:"logs"`
	Spans SignalStats `json:"spans"`
	// Metrics is nil when none were asked for.
	Metrics *MetricStats `json:"metrics,omitempty"`
}

// The signals, as OTLP names them.
func logsSignal() signal  { return signal{name: "logs", variable: "LOGS", path: "v1/logs"} }
func spansSignal() signal { return signal{name: "spans", variable: "TRACES", path: "v1/traces"} }
func metricsSignal() signal {
	return signal{name: "metrics", variable: "METRICS", path: "v1/metrics"}
}

// CheckOTLP reads the environment as NewOTLP does, and starts nothing. An error
// names the variable that is wrong.
func CheckOTLP(getenv func(string) string) error {
	if err := noFile(getenv); err != nil {
		return err
	}
	if _, err := disabled(getenv); err != nil {
		return err
	}
	for _, s := range []signal{logsSignal(), spansSignal(), metricsSignal()} {
		e := env{getenv: getenv, signal: s}
		if on, err := e.selected(); err != nil || !on {
			if err != nil {
				return err
			}
			continue
		}
		if _, err := e.endpoint(); err != nil {
			return err
		}
	}
	return nil
}

// NewOTLP reads the environment and starts delivery. The back end need not be
// there. An error names the variable that is wrong. ctx is for the start only:
// delivery goes on until Shutdown, which must be called.
func NewOTLP(ctx context.Context, m *Mapping, o OTLPOptions) (*OTLP, error) {
	return newOTLP(ctx, m, o, defaultPace())
}

func newOTLP(ctx context.Context, m *Mapping, o OTLPOptions, p pace) (*OTLP, error) {
	if o.Queue <= 0 {
		o.Queue = DefaultQueue
	}
	if err := noFile(o.Getenv); err != nil {
		return nil, err
	}
	off, err := disabled(o.Getenv)
	if err != nil {
		return nil, err
	}
	if off {
		o.Logger.Warn("OTEL_SDK_DISABLED is true: no telemetry is sent")
	}
	out := OTLP{keeper: keeper{journal: o.Journal, args: m.args}, beside: o.Beside}
	for _, s := range []struct {
		signal
		connect func(context.Context, *Mapping, endpoint) (sender, error)
	}{{logsSignal(), newLogSender}, {spansSignal(), newSpanSender}} {
		d, err := startDelivery(ctx, m, o, p, off, s.signal, s.connect)
		if err != nil {
			return nil, errors.Join(err, out.Shutdown(ctx))
		}
		out.signals = append(out.signals, d)
	}
	if out.metrics, err = startMetrics(ctx, m, o, off); err != nil {
		return nil, errors.Join(err, out.Shutdown(ctx))
	}
	return &out, nil
}

// otlpDelivery is a delivery to an end point.
type otlpDelivery struct {
	*delivery
	endpoint string // empty for a signal that is turned off
	shutdown sync.Once
	result   error
}

func startDelivery(ctx context.Context, m *Mapping, o OTLPOptions, p pace, off bool, s signal,
	connect func(context.Context, *Mapping, endpoint) (sender, error),
) (*otlpDelivery, error) {
	e := env{getenv: o.Getenv, signal: s}
	on, err := e.selected()
	if err != nil {
		return nil, err
	}
	if off || !on {
		d := newDelivery(s.name, o.Logger, p, nil)
		d.wanted.Store(true) // so that what isn't sent is counted
		return &otlpDelivery{delivery: d}, nil
	}
	target, err := e.endpoint()
	if err != nil {
		return nil, err
	}
	snd, err := connect(ctx, m, target)
	if err != nil {
		return nil, fmt.Errorf("%s to %s: %w", s.name, target, err)
	}
	d := newDelivery(s.name, o.Logger, p, newQueue(o.Queue))
	if o.Journal != nil {
		d = newJournaled(o.Journal, s.name, s.name, o.Logger, p)
	}
	if err := d.attach(snd); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", s.name, err), snd.close(ctx))
	}
	return &otlpDelivery{delivery: d, endpoint: target.String()}, nil
}

// Deliver queues a for both signals, one that is Ongoing as a log record only,
// and returns at once. An error, [ErrQueueFull] or [ErrShutdown], says that
// nothing of it was queued, since the log record has no room (where only spans
// are sent, the span): it is the caller's to tell later, alone or with others,
// and none of Offered. A span that has no room beside its log record is lost,
// which is counted and logged here. What a refers to must not be changed
// afterwards.
func (o *OTLP) Deliver(_ context.Context, a beesting.Access) error {
	return o.put(accessItem(a), begun(&a, o.logs(), o.spans())...)
}

// End queues the span of an access that was delivered as Ongoing. Spans are sent
// in the order in which they end. One that has no room is lost, which is counted
// and logged here already; the error says so too.
func (o *OTLP) End(_ context.Context, a beesting.Access) error {
	if o.keeper.journal != nil {
		return o.keeper.keep(accessItem(a), true, o.spans())
	}
	return putEnd(accessItem(a), o.spans())
}

// Gap queues the log record of a gap, and is like Deliver otherwise.
func (o *OTLP) Gap(_ context.Context, g beesting.Gap) error {
	return o.put(gapItem(g), o.logs())
}

func (o *OTLP) put(it item, signals ...*delivery) error {
	if o.keeper.journal != nil {
		return o.keeper.keep(it, false, signals...)
	}
	if !o.beside {
		return putAll(it, signals...)
	}
	for _, d := range signals {
		_ = d.give(it) // counted and logged there
	}
	return nil
}

func (o *OTLP) logs() *delivery  { return o.signals[0].delivery }
func (o *OTLP) spans() *delivery { return o.signals[1].delivery }

// Shutdown turns new accesses away and delivers what is queued for as long as
// ctx lasts; what then is left is counted, logged and told in the error. It
// waits for the goroutines. Metrics are exported a last time, of which the log
// hears if it fails. A second call returns what the first did.
func (o *OTLP) Shutdown(ctx context.Context) error {
	errs := make([]error, len(o.signals)+1)
	var wg sync.WaitGroup
	for i, d := range o.signals {
		wg.Go(func() { errs[i] = d.stop(ctx) })
	}
	wg.Go(func() { errs[len(o.signals)] = o.metrics.stop(ctx) })
	wg.Wait()
	return errors.Join(errs...)
}

func (d *otlpDelivery) stop(ctx context.Context) error {
	d.shutdown.Do(func() {
		if d.off {
			return
		}
		lost, err := d.delivery.stop(ctx, d.queue.discard)
		if lost > 0 {
			d.result = fmt.Errorf("%s: %d not delivered: %w", d.name, lost, context.Cause(ctx))
		}
		if err != nil {
			d.result = errors.Join(d.result, fmt.Errorf("%s: %w", d.name, err))
		}
	})
	return d.result
}

// Stats returns the counts so far.
func (o *OTLP) Stats() OTLPStats {
	out := OTLPStats{Metrics: o.metrics.snapshot()}
	for i, s := range []*SignalStats{&out.Logs, &out.Spans} {
		*s = o.signals[i].tally.snapshot()
		s.Endpoint = o.signals[i].endpoint
	}
	return out
}
