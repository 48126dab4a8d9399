package exporter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/journal"
)

// The signals of a [PData], by the names that the Collector has for them.
const (
	SignalLogs   = "logs"
	SignalTraces = "traces"
)

// PDataOptions configures [NewPData].
type PDataOptions struct {
	// Logger hears of refusals, their end and of every loss; required.
	Logger *slog.Logger
	// Queue is how many accesses of each signal may wait; DefaultQueue if 0.
	Queue int
	// Journal keeps the accesses instead of the queues, see [OTLPOptions]. It is
	// closed by the caller, after Close.
	Journal *journal.Journal
	// LongestWait bounds the wait between two attempts, which begins at 200 ms
	// and doubles; 5 s if 0.
	LongestWait time.Duration
	// Permanent says of an error of a push function that trying again is
	// pointless; if nil, it never is.
	Permanent func(error) bool
	// LeftLogs and LeftTraces take out of an error of a push function what of
	// the batch was not accepted: the rest is counted as delivered and not sent
	// again. False means that the error doesn't say; if nil, none does. An
	// error that joins others is not asked.
	LeftLogs   func(error) (plog.Logs, bool)
	LeftTraces func(error) (ptrace.Traces, bool)
}

// PData delivers accesses as log records and spans to functions of this
// process, in the Collector's own types. What it does otherwise is what [OTLP]
// does: per signal a bounded queue, one goroutine, one batch after the other in
// order, again and again until it is accepted, and a count of every loss.
//
// A signal comes into being when it is attached for the first time. It can be
// detached and attached again, to another function too; in between it queues.
// Safe for concurrent use.
type PData struct {
	options      PDataOptions
	logs, traces *delivery
	args         atomic.Value // of ArgsMode
	close        sync.Once
	lost         int // by Close
}

// NewPData returns a PData that has no signal yet. It needs no Close unless a
// signal is attached.
func NewPData(o PDataOptions) *PData { return newPData(o, pdataPace(o.LongestWait)) }

// pdataPace is defaultPace with shorter waits: the other side is in the same
// process, so trying costs nothing but encoding a batch.
func pdataPace(longest time.Duration) pace {
	p := defaultPace()
	p.most = 5 * time.Second
	if longest > 0 {
		p.most = longest
	}
	return p
}

func newPData(o PDataOptions, p pace) *PData {
	if o.Queue <= 0 {
		o.Queue = DefaultQueue
	}
	if o.Permanent == nil {
		o.Permanent = func(error) bool { return false }
	}
	if o.LeftLogs == nil {
		o.LeftLogs = func(error) (plog.Logs, bool) { return plog.Logs{}, false }
	}
	if o.LeftTraces == nil {
		o.LeftTraces = func(error) (ptrace.Traces, bool) { return ptrace.Traces{}, false }
	}
	if j := o.Journal; j != nil {
		return &PData{
			options: o,
			logs:    newJournaled(j, cursorLogs, SignalLogs, o.Logger, p),
			traces:  newJournaled(j, cursorSpans, SignalTraces, o.Logger, p),
		}
	}
	return &PData{
		options: o,
		logs:    newDelivery(SignalLogs, o.Logger, p, newQueue(o.Queue)),
		traces:  newDelivery(SignalTraces, o.Logger, p, newQueue(o.Queue)),
	}
}

// errNoPush is for a caller that forgot an argument.
var errNoPush = errors.New("mapping or push function is missing")

// AttachLogs delivers log records to push from now on, what is queued first.
// push is called by one goroutine, with up to 256 records at a time. It may
// keep and change what it is given. It is expected to return soon after its
// context ended, which happens in Detach, Forget and Close only; these wait for
// it, so push must call none of them. Nil means that push has the batch,
// whatever became of its context; an error, that it has none of it or what
// LeftLogs tells. The error of AttachLogs is [ErrAttached], [ErrShutdown] after
// Close, or says that an argument is nil.
func (p *PData) AttachLogs(m *Mapping, push func(context.Context, plog.Logs) error) error {
	if m == nil || push == nil {
		return fmt.Errorf("%s: %w", SignalLogs, errNoPush)
	}
	return attachPusher(p.logs, &pusher[plog.Logs]{
		encode: m.logs, push: push,
		permanent: p.options.Permanent, left: p.options.LeftLogs,
		id: logID, ids: logIDs,
	})
}

// AttachTraces is AttachLogs for spans, with LeftTraces.
func (p *PData) AttachTraces(m *Mapping, push func(context.Context, ptrace.Traces) error) error {
	if m == nil || push == nil {
		return fmt.Errorf("%s: %w", SignalTraces, errNoPush)
	}
	return attachPusher(p.traces, &pusher[ptrace.Traces]{
		encode: m.traces, push: push,
		permanent: p.options.Permanent, left: p.options.LeftTraces,
		id: traceAndSpanID, ids: traceAndSpanIDs,
	})
}

func attachPusher(d *delivery, s sender) error {
	if err := d.attach(s); err != nil {
		return fmt.Errorf("%s: %w", d.name, err)
	}
	return nil
}

// Detach delivers what is queued when it is called, for as long as ctx lasts,
// then cuts off the call of the push function that is under way, and returns
// when that did. What is left or came meanwhile, and so many it returns, stays
// queued, and the signal goes on queueing. A
// batch whose call was cut off and returned an error is still queued, so it is
// delivered once more if the other side has it nevertheless.
//
// It does nothing for a signal that isn't attached.
func (p *PData) Detach(ctx context.Context, signal string) (left int) {
	if d := p.signal(signal); d != nil {
		left, _ = d.detach(ctx) // a pusher has nothing to close
	}
	return left
}

// Forget detaches without delivering and drops what is queued, which is counted
// as "shutdown". Until the signal is attached again, it neither queues nor
// counts.
func (p *PData) Forget(signal string) (lost int) {
	if d := p.signal(signal); d != nil {
		lost = d.forget()
	}
	return lost
}

// Resize changes how many accesses of each signal may wait; DefaultQueue if 0.
// What is queued stays.
func (p *PData) Resize(queue int) {
	if queue <= 0 {
		queue = DefaultQueue
	}
	for _, d := range []*delivery{p.logs, p.traces} {
		if d.in != nil {
			d.in.resize(queue)
		}
	}
}

func (p *PData) signal(name string) *delivery {
	switch name {
	case SignalLogs:
		return p.logs
	case SignalTraces:
		return p.traces
	default:
		return nil
	}
}

// Deliver queues a for every signal that was attached and not forgotten since,
// one that is Ongoing as a log record only, and returns at once. An error,
// [ErrQueueFull] or [ErrShutdown], says that nothing of it was queued, since the
// log record has no room (where only spans are wanted, the span): it is the
// caller's to tell later, alone or with others, and none of Offered. A span that
// has no room beside its log record is lost, which is counted and logged here.
// What a refers to must not be changed afterwards.
func (p *PData) Deliver(_ context.Context, a beesting.Access) error {
	return p.put(accessItem(a), begun(&a, p.logs, p.traces)...)
}

// End queues the span of an access that was delivered as Ongoing. Spans are pushed
// in the order in which they end. One that has no room is lost, which is counted
// and logged here already; the error says so too.
func (p *PData) End(_ context.Context, a beesting.Access) error {
	if k := p.keeper(); k.journal != nil {
		return k.keep(accessItem(a), true, p.traces)
	}
	return putEnd(accessItem(a), p.traces)
}

// Gap queues the log record of a gap, and is like Deliver otherwise.
func (p *PData) Gap(_ context.Context, g beesting.Gap) error {
	return p.put(gapItem(g), p.logs)
}

func (p *PData) put(it item, signals ...*delivery) error {
	if k := p.keeper(); k.journal != nil {
		return k.keep(it, false, signals...)
	}
	return putAll(it, signals...)
}

func (p *PData) keeper() keeper {
	args, _ := p.args.Load().(ArgsMode)
	return keeper{journal: p.options.Journal, args: args}
}

// SetArgs says what becomes of arguments in the journal, which should be what the
// mappings say; ArgsRedacted until it is called.
func (p *PData) SetArgs(mode ArgsMode) { p.args.Store(mode) }

// Close forgets both signals for good: what is queued is lost, counted as
// "shutdown", and so many it returns, an access once for each signal. Use
// Detach before it to deliver. A second call returns what the first did.
func (p *PData) Close() (lost int) {
	p.close.Do(func() {
		var traces int
		var wg sync.WaitGroup
		wg.Go(func() { traces = p.traces.end() })
		p.lost = p.logs.end()
		wg.Wait()
		p.lost += traces
	})
	return p.lost
}

// Owed returns what Deliver and Gap took and is not delivered: of the log records,
// or of the spans where no log records are wanted. It is for a caller who keeps
// account of what was told; see Deliver for the signal.
func (p *PData) Owed() (accesses []beesting.Access, gaps []beesting.Gap) {
	d := p.traces
	if p.logs.takes() {
		d = p.logs
	}
	for _, it := range d.queue.all() {
		if it.gap != nil {
			gaps = append(gaps, *it.gap)
		} else {
			accesses = append(accesses, *it.access)
		}
	}
	return accesses, gaps
}

// Stats returns the counts since NewPData. The end point of a signal that is
// attached is "next consumer".
func (p *PData) Stats() OTLPStats {
	var out OTLPStats
	for d, s := range map[*delivery]*SignalStats{p.logs: &out.Logs, p.traces: &out.Spans} {
		*s = d.tally.snapshot()
		if d.attached() {
			s.Endpoint = "next consumer"
		}
	}
	return out
}

// pusher is the sender of a signal whose batches have the type T.
type pusher[T any] struct {
	encode    func([]item) T
	push      func(context.Context, T) error
	permanent func(error) bool
	left      func(error) (T, bool)
	id        func(item) string // names its record or span
	ids       func(T) []string  // names those in a batch
}

// send implements sender.
func (s *pusher[T]) send(ctx context.Context, batch []item) (outcome, error) {
	err := s.push(ctx, s.encode(batch))
	if err == nil {
		return outcome{verdict: delivered}, nil
	}
	out := outcome{verdict: s.judge(err), cause: causeRefused, taken: s.taken(batch, err)}
	if out.verdict != away {
		out.cause = causePermanent
	}
	return out, err
}

// judge gives the verdict on an error. Where a signal goes to several consumers
// and some refuse for good while others would take it later, these get some
// time; not for ever, since the error as a whole may be the permanent one.
func (s *pusher[T]) judge(err error) verdict {
	if !s.permanent(err) {
		return away
	}
	for _, one := range branches(err) {
		if !s.permanent(one) {
			return doubtful
		}
	}
	return unfit
}

// branches are the errors that err joins, or wraps as joined: those of several
// consumers. Nil if it is the error of one.
func branches(err error) []error {
	for ; err != nil; err = errors.Unwrap(err) {
		if many, ok := err.(interface{ Unwrap() []error }); ok {
			return many.Unwrap()
		}
	}
	return nil
}

// taken finds what of the batch was accepted although push returned an error.
// The rest is encoded anew for the next attempt instead of sending what the
// error holds: that has been through a part of the pipeline already. If the
// error holds nothing, or something that can't be told to be of this batch
// (a processor may have removed the ids), all of it is sent again: better twice
// than never. So it is where several consumers refused, of which each may have
// taken something else.
func (s *pusher[T]) taken(batch []item, err error) []int {
	if len(branches(err)) > 0 {
		return nil
	}
	rest, ok := s.left(err)
	if !ok {
		return nil
	}
	ids := s.ids(rest)
	left := make(map[string]int, len(ids))
	for _, id := range ids {
		left[id]++
	}
	var taken []int
	found := 0
	for i, it := range batch {
		if id := s.id(it); left[id] > 0 {
			left[id]--
			found++
			continue
		}
		taken = append(taken, i)
	}
	if found == 0 || found < len(ids) {
		return nil
	}
	return taken
}

// close implements sender.
func (s *pusher[T]) close(context.Context) error { return nil }
