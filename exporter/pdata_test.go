package exporter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// consumer is what comes after a PData: it records what it accepted and refuses
// what a test wants it to.
type consumer struct {
	// refuse looks at the uids or span ids of a batch; nil accepts. It is
	// called without the mutex, so it may block.
	refuse func(ctx context.Context, signal string, ids []string) error

	mu          sync.Mutex
	logs, spans []string // in the order of arrival
	pushes      int
}

func (c *consumer) accept(ctx context.Context, signal string, ids []string, to *[]string) error {
	c.mu.Lock()
	c.pushes++
	refuse := c.refuse
	c.mu.Unlock()
	var err error
	if refuse != nil {
		err = refuse(ctx, signal, ids)
	}
	var partly *partialError
	switch {
	case errors.As(err, &partly):
		ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return slices.Contains(partly.left, id) })
	case err != nil:
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	*to = append(*to, ids...)
	return err
}

func (c *consumer) pushLogs(ctx context.Context, logs plog.Logs) error {
	err := c.accept(ctx, SignalLogs, logIDs(logs), &c.logs)
	var partly *partialError
	if errors.As(err, &partly) && partly.logs.LogRecordCount() == 0 {
		partly.logs = keepLogs(logs, partly.left)
	}
	return err
}

func (c *consumer) pushTraces(ctx context.Context, traces ptrace.Traces) error {
	ids := traceAndSpanIDs(traces)
	for i, id := range ids {
		ids[i] = id[strings.Index(id, "/")+1:]
	}
	err := c.accept(ctx, SignalTraces, ids, &c.spans)
	var partly *partialError
	if errors.As(err, &partly) {
		partly.traces = keepSpans(traces, partly.left)
	}
	return err
}

// calm accepts everything from now on.
func (c *consumer) calm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse = nil
}

func (c *consumer) received(signal string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if signal == SignalLogs {
		return slices.Clone(c.logs)
	}
	return slices.Clone(c.spans)
}

// The errors stand in for those of the Collector's package consumererror,
// which only the receiver imports.
var errBusy = errors.New("busy")

type permanentError struct{ error }

func (p permanentError) Unwrap() error { return p.error }

func isPermanent(err error) bool {
	var p permanentError
	return errors.As(err, &p)
}

// partialError accepts all but what is left.
type partialError struct {
	left   []string
	logs   plog.Logs
	traces ptrace.Traces
}

func refuseSome(left ...string) *partialError {
	return &partialError{left: left, logs: plog.NewLogs(), traces: ptrace.NewTraces()}
}

func (*partialError) Error() string { return "some were refused" }

func leftLogs(err error) (plog.Logs, bool) {
	var p *partialError
	if !errors.As(err, &p) {
		return plog.Logs{}, false
	}
	return p.logs, true
}

func leftTraces(err error) (ptrace.Traces, bool) {
	var p *partialError
	if !errors.As(err, &p) {
		return ptrace.Traces{}, false
	}
	return p.traces, true
}

// keepLogs is a copy of logs with the records of these uids only.
func keepLogs(logs plog.Logs, ids []string) plog.Logs {
	out := plog.NewLogs()
	logs.CopyTo(out)
	for _, rl := range out.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			sl.LogRecords().RemoveIf(func(r plog.LogRecord) bool {
				uid, _ := r.Attributes().Get("log.record.uid")
				return !slices.Contains(ids, uid.AsString())
			})
		}
	}
	return out
}

func keepSpans(traces ptrace.Traces, ids []string) ptrace.Traces {
	out := ptrace.NewTraces()
	traces.CopyTo(out)
	for _, rs := range out.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			ss.Spans().RemoveIf(func(s ptrace.Span) bool { return !slices.Contains(ids, s.SpanID().String()) })
		}
	}
	return out
}

// newTestPData has nothing attached; it is closed at the end of the test.
func newTestPData(t testing.TB, queue int) *PData {
	t.Helper()
	p := newPData(PDataOptions{
		Logger: testLog(t), Queue: queue,
		Permanent: isPermanent, LeftLogs: leftLogs, LeftTraces: leftTraces,
	}, testPace)
	t.Cleanup(func() { p.Close() })
	return p
}

// pdataTo has both signals attached to c.
func pdataTo(t testing.TB, c *consumer, queue int) *PData {
	t.Helper()
	p := newTestPData(t, queue)
	attachBoth(t, p, c)
	return p
}

func attachBoth(t testing.TB, p *PData, c *consumer) {
	t.Helper()
	if err := errors.Join(p.AttachLogs(sampleMapping(t), c.pushLogs), p.AttachTraces(sampleMapping(t), c.pushTraces)); err != nil {
		t.Fatal(err)
	}
}

// deliverTo gives the numbered accesses from..to-1 and fails on any error.
func deliverTo(t testing.TB, p *PData, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		if err := p.Deliver(t.Context(), numbered(n)); err != nil {
			t.Fatal(err)
		}
	}
}

// detachBoth wants everything to be delivered.
func detachBoth(t testing.TB, p *PData) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, s := range []string{SignalLogs, SignalTraces} {
		if left := p.Detach(ctx, s); left != 0 {
			t.Errorf("%d %s left", left, s)
		}
	}
}

// wantArrived compares what arrived with the first n numbered accesses.
func wantArrived(t testing.TB, c *consumer, n int) {
	t.Helper()
	if got, want := c.received(SignalLogs), uids(0, n); !slices.Equal(got, want) {
		t.Errorf("%d logs, want %d in order: %v", len(got), len(want), got[:min(len(got), 50)])
	}
	if got, want := c.received(SignalTraces), spanIDs(0, n); !slices.Equal(got, want) {
		t.Errorf("%d spans, want %d in order: %v", len(got), len(want), got[:min(len(got), 50)])
	}
}

func wantBoth(t testing.TB, p *PData, offered, delivered uint64, dropped map[string]uint64) {
	t.Helper()
	wantStats(t, p.Stats().Logs, offered, delivered, dropped)
	wantStats(t, p.Stats().Spans, offered, delivered, dropped)
}

func TestPDataDelivers(t *testing.T) {
	const n = 100
	c := &consumer{}
	p := pdataTo(t, c, 0)
	if got := p.Stats().Logs.Endpoint; got == "" {
		t.Error("no end point while attached")
	}
	deliverTo(t, p, 0, n)
	detachBoth(t, p)
	wantArrived(t, c, n)
	wantBoth(t, p, n, n, nil)
	if got := p.Stats().Logs; got.Retries != 0 || got.Endpoint != "" {
		t.Errorf("%+v", got)
	}
}

// Refused thirty times, then accepted: everything is there once, in order.
func TestPDataRefusedForAWhile(t *testing.T) {
	const n, times = 40, 30
	var mu sync.Mutex
	seen := map[string]int{}
	c := &consumer{refuse: func(_ context.Context, signal string, _ []string) error {
		mu.Lock()
		defer mu.Unlock()
		seen[signal]++
		if seen[signal] <= times {
			return errBusy
		}
		return nil
	}}
	p := pdataTo(t, c, n)
	deliverTo(t, p, 0, n)
	eventually(t, "delivery", func() bool { s := p.Stats(); return s.Logs.Queued == 0 && s.Spans.Queued == 0 })
	wantArrived(t, c, n)
	wantBoth(t, p, n, n, nil)
	for _, s := range []SignalStats{p.Stats().Logs, p.Stats().Spans} {
		if s.Retries != times || s.LastError != "busy" {
			t.Errorf("%+v: want %d retries", s, times)
		}
	}
}

// What exceeds the bound is turned away, newest first, whole, and is the caller's.
func TestPDataBound(t *testing.T) {
	const room, n = 10, 25
	c := &consumer{refuse: func(context.Context, string, []string) error { return errBusy }}
	p := pdataTo(t, c, room)
	for i := range n {
		err := p.Deliver(t.Context(), numbered(i))
		if (i < room) != (err == nil) || (err != nil && !errors.Is(err, ErrQueueFull)) {
			t.Errorf("access %d: %v", i, err)
		}
	}
	if got := p.Stats().Logs; got.Queued != room || got.Refused != n-room {
		t.Errorf("%+v", got)
	}
	c.calm()
	detachBoth(t, p)
	wantArrived(t, c, room)
	wantBoth(t, p, room, room, nil)
}

// The signal that decides is the first that anybody wants: one that isn't
// attached, or was forgotten, has no say.
func TestPDataWhoDecides(t *testing.T) {
	const room, n = 10, 25
	refuse := func(only string) *consumer {
		return &consumer{refuse: func(_ context.Context, signal string, _ []string) error {
			if only == "" || only == signal {
				return errBusy
			}
			return nil
		}}
	}
	t.Run("spans full", func(t *testing.T) {
		c := refuse(SignalTraces)
		p := pdataTo(t, c, room)
		for i := range n {
			if err := p.Deliver(t.Context(), numbered(i)); err != nil {
				t.Errorf("access %d: %v", i, err)
			}
			eventually(t, "the log", func() bool { return p.Stats().Logs.Delivered == uint64(i)+1 })
		}
		wantStats(t, p.Stats().Logs, n, n, nil)
		if got := p.Stats().Spans; got.Offered != n || got.Dropped[causeQueueFull] != n-room || got.Refused != 0 {
			t.Errorf("spans %+v", got)
		}
		if err := p.End(t.Context(), endOfOngoing(1)); !errors.Is(err, ErrQueueFull) || p.Stats().Spans.Dropped[causeQueueFull] != n-room+1 {
			t.Errorf("end: %v, %+v", err, p.Stats().Spans)
		}
	})
	t.Run("logs full", func(t *testing.T) {
		c := refuse(SignalLogs)
		p := pdataTo(t, c, room)
		for i := range n {
			if err := p.Deliver(t.Context(), numbered(i)); (i < room) != (err == nil) {
				t.Errorf("access %d: %v", i, err)
			}
		}
		eventually(t, "the spans", func() bool { return p.Stats().Spans.Delivered == room })
		wantStats(t, p.Stats().Spans, room, room, nil) // none twice when the caller comes again
	})
	t.Run("spans alone", func(t *testing.T) {
		c := refuse("")
		p := newTestPData(t, room)
		if err := p.AttachTraces(sampleMapping(t), c.pushTraces); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if err := p.Deliver(t.Context(), numbered(i)); (i < room) != (err == nil) {
				t.Errorf("access %d: %v", i, err)
			}
		}
		if s := p.Stats(); s.Spans.Refused != n-room || s.Spans.Offered != room || s.Logs.Offered+s.Logs.Refused != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// A permanent error is about one access; its neighbours arrive in order.
func TestPDataPermanent(t *testing.T) {
	const n = 50
	poison := []string{uids(13, 14)[0], spanIDs(13, 14)[0]}
	c := &consumer{refuse: func(_ context.Context, _ string, ids []string) error {
		if slices.Contains(ids, poison[0]) || slices.Contains(ids, poison[1]) {
			return fmt.Errorf("next: %w", permanentError{errors.New("unfit record")})
		}
		return nil
	}}
	p := pdataTo(t, c, 0)
	deliverTo(t, p, 0, n)
	detachBoth(t, p)
	if got := c.received(SignalLogs); !slices.Equal(got, slices.Concat(uids(0, 13), uids(14, n))) {
		t.Errorf("logs %v", got)
	}
	if got := c.received(SignalTraces); !slices.Equal(got, slices.Concat(spanIDs(0, 13), spanIDs(14, n))) {
		t.Errorf("spans %v", got)
	}
	wantBoth(t, p, n, n-1, map[string]uint64{causePermanent: 1})
}

// Without options no error is permanent, and none says what is left.
func TestPDataDefaults(t *testing.T) {
	p := NewPData(PDataOptions{Logger: testLog(t)})
	defer p.Close()
	if p.options.Queue != DefaultQueue || p.options.Permanent(permanentError{errBusy}) {
		t.Errorf("%+v", p.options)
	}
	if _, ok := p.options.LeftLogs(refuseSome()); ok {
		t.Error("logs are left")
	}
	if _, ok := p.options.LeftTraces(refuseSome()); ok {
		t.Error("spans are left")
	}
	if p.logs.pace.most != 5*time.Second || p.logs.pace.batch != defaultPace().batch {
		t.Errorf("pace %+v", p.logs.pace)
	}
}

func TestPDataWrongUse(t *testing.T) {
	c := &consumer{}
	p := newTestPData(t, 0)
	m := sampleMapping(t)
	for name, got := range map[string]error{
		"no mapping": p.AttachLogs(nil, c.pushLogs),
		"no push":    p.AttachTraces(m, nil),
	} {
		if !errors.Is(got, errNoPush) {
			t.Errorf("%s: %v", name, got)
		}
	}
	attachBoth(t, p, c)
	if err := p.AttachLogs(m, c.pushLogs); !errors.Is(err, ErrAttached) {
		t.Errorf("attached twice: %v", err)
	}
	if err := p.AttachTraces(m, c.pushTraces); !errors.Is(err, ErrAttached) {
		t.Errorf("attached twice: %v", err)
	}
	if p.Detach(t.Context(), "metrics") != 0 || p.Forget("metrics") != 0 {
		t.Error("a signal that there isn't")
	}
	deliverTo(t, p, 0, 3)
	detachBoth(t, p)
	detachBoth(t, p) // does nothing
	wantArrived(t, c, 3)
}

// Each resource stands once, in the order of its first access, with its
// accesses in their order.
func TestPDataGroupsByResource(t *testing.T) {
	m := sampleMapping(t)
	batch := mixedBatch()
	var want []string
	byKey := map[string][]string{}
	for _, it := range batch {
		key := resourceKey(m.of(it).resource)
		if byKey[key] == nil {
			want = append(want, key)
		}
		byKey[key] = append(byKey[key], logID(it))
	}
	logs := m.logs(batch)
	if logs.ResourceLogs().Len() != len(want) || m.traces(batch).ResourceSpans().Len() != len(want) || len(want) < 4 {
		t.Fatalf("%d and %d resources, want %d", logs.ResourceLogs().Len(), m.traces(batch).ResourceSpans().Len(), len(want))
	}
	got := map[string][]string{}
	for i, rl := range logs.ResourceLogs().All() {
		if rl.ScopeLogs().Len() != 1 {
			t.Errorf("%d scopes", rl.ScopeLogs().Len())
		}
		one := plog.NewLogs()
		rl.CopyTo(one.ResourceLogs().AppendEmpty())
		got[want[i]] = logIDs(one)
	}
	if !maps.EqualFunc(got, byKey, slices.Equal) {
		t.Errorf("grouped as %v, want %v", got, byKey)
	}
}
