package exporter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
)

// ongoing is the n-th of a sequence of opens that last.
func ongoing(n int) beesting.Access {
	a := numbered(n)
	a.Ongoing, a.EndTime, a.Reads = true, time.Time{}, 0
	return a
}

// endOfOngoing is its end.
func endOfOngoing(n int) beesting.Access {
	a := ongoing(n)
	a.EndTime, a.Reads = a.Time.Add(time.Duration(n)*time.Second), uint64(n) //nolint:gosec // small
	return a
}

// An access that goes on is a log record at once, and a span when it has ended:
// in the order of the ends, with the ids and the times that belong to it.
func TestOngoing(t *testing.T) {
	const n = 30
	order := rand.Perm(n)
	var wantSpans []string
	for _, i := range order {
		wantSpans = append(wantSpans, spanIDs(i, i+1)...)
	}
	protocols(t, func(t *testing.T, b *backend, variables []string) {
		o := otlpTo(t, sampleMapping(t), 0, variables...)
		for i := range n {
			if err := o.Deliver(t.Context(), ongoing(i)); err != nil {
				t.Error(err)
			}
		}
		eventually(t, "the log records", func() bool { return o.Stats().Logs.Delivered == n })
		wantStats(t, o.Stats().Spans, 0, 0, nil)
		for _, i := range order {
			if err := o.End(t.Context(), endOfOngoing(i)); err != nil {
				t.Error(err)
			}
		}
		drain(t, o)
		wantStats(t, o.Stats().Logs, n, n, nil)
		wantStats(t, o.Stats().Spans, n, n, nil)
		if got := b.received("logs"); !slices.Equal(got, uids(0, n)) {
			t.Errorf("logs %v", got)
		}
		if got := b.received("spans"); !slices.Equal(got, wantSpans) {
			t.Errorf("spans %v, want %v", got, wantSpans)
		}
		checkDurations(t, b, n)
		if err := o.End(t.Context(), endOfOngoing(0)); !errors.Is(err, ErrShutdown) {
			t.Errorf("after Shutdown: %v", err)
		}
		wantStats(t, o.Stats().Spans, n+1, n, map[string]uint64{causeShutdown: 1})
	})
}

// checkDurations wants each span to have the length that its reads tell.
func checkDurations(t *testing.T, b *backend, n int) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := map[int64]bool{}
	for _, rs := range b.rawSpans {
		for _, s := range rs.GetScopeSpans()[0].GetSpans() {
			for _, kv := range s.GetAttributes() {
				if kv.GetKey() != "honeytoken.access.reads" {
					continue
				}
				reads := kv.GetValue().GetIntValue()
				seen[reads] = true
				if took := s.GetEndTimeUnixNano() - s.GetStartTimeUnixNano(); took != uint64(reads)*1e9 { //nolint:gosec // not negative
					t.Errorf("%d reads in %d ns", reads, took)
				}
			}
		}
	}
	if len(seen) != n {
		t.Errorf("%d different spans, want %d", len(seen), n)
	}
}

// The same for a consumer in this process. A span whose end comes when nobody
// wants spans concerns nobody.
func TestPDataOngoing(t *testing.T) {
	const n = 20
	c := &consumer{}
	p := pdataTo(t, c, 0)
	for i := range n {
		if err := p.Deliver(t.Context(), ongoing(i)); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "the log records", func() bool { return p.Stats().Logs.Delivered == n })
	if got := p.Stats().Spans; got.Offered != 0 {
		t.Errorf("spans of what goes on: %+v", got)
	}
	for i := range n {
		if err := p.End(t.Context(), endOfOngoing(i)); err != nil {
			t.Error(err)
		}
	}
	if err := p.Gap(t.Context(), sampleGap()); err != nil {
		t.Error(err)
	}
	detachBoth(t, p)
	wantStats(t, p.Stats().Logs, n+1, n+1, nil)
	wantStats(t, p.Stats().Spans, n, n, nil)
	g := sampleGap()
	if got, want := c.received(SignalLogs), append(uids(0, n), fmt.Sprintf("%x", gapID(&g))); !slices.Equal(got, want) {
		t.Errorf("logs %v", got)
	}
	if got := c.received(SignalTraces); !slices.Equal(got, spanIDs(0, n)) {
		t.Errorf("spans %v", got)
	}
	p.Forget(SignalTraces)
	if err := p.End(t.Context(), endOfOngoing(0)); err != nil || p.Stats().Spans.Offered != n {
		t.Errorf("%v, %+v", err, p.Stats().Spans)
	}
}

// Ends, gaps and accesses from several goroutines, with room for a few only:
// what is counted adds up, for each signal on its own.
func TestOngoingOverflow(t *testing.T) {
	const room, n = 10, 25
	address := unusedAddress(t)
	o := otlpTo(t, sampleMapping(t), room, "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+address)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			for _, err := range []error{
				o.Deliver(t.Context(), ongoing(i)), o.End(t.Context(), endOfOngoing(i)), o.Gap(t.Context(), sampleGap()),
			} {
				if err != nil && !errors.Is(err, ErrQueueFull) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b := &backend{}
	b.serveGRPC(t, address)
	drain(t, o)
	wantStats(t, o.Stats().Logs, room, room, nil)
	if got := o.Stats().Logs.Refused; got != 2*n-room {
		t.Errorf("%d refused, want %d", got, 2*n-room)
	}
	wantStats(t, o.Stats().Spans, n, room, map[string]uint64{causeQueueFull: n - room})
	err := o.Gap(t.Context(), sampleGap())
	if !errors.Is(err, ErrShutdown) || !strings.Contains(err.Error(), "gap of token bt-9f3c2a7d51e04b68") {
		t.Errorf("after Shutdown: %v", err)
	}
}

// A person and a script read of an access when it begins, once.
func TestWriterOngoing(t *testing.T) {
	for name, make := range map[string]func(*bytes.Buffer) *Writer{
		"text": func(b *bytes.Buffer) *Writer { return NewText(b, sampleMapping(t), TextOptions{}) },
		"json": func(b *bytes.Buffer) *Writer { return NewJSON(b, sampleMapping(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			var whole, parts bytes.Buffer
			if err := make(&whole).Deliver(t.Context(), endOfOngoing(1)); err != nil {
				t.Fatal(err)
			}
			w := make(&parts)
			if err := errors.Join(w.Deliver(t.Context(), ongoing(1)), w.End(t.Context(), endOfOngoing(1))); err != nil {
				t.Fatal(err)
			}
			if parts.String() != whole.String() || w.Stats() != (WriterStats{Written: 1}) {
				t.Errorf("%s\nwant\n%s\nstats %+v", parts.String(), whole.String(), w.Stats())
			}
			if err := w.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			if err := w.Gap(t.Context(), sampleGap()); !errors.Is(err, ErrShutdown) || w.Stats().Failed != 1 {
				t.Errorf("after Shutdown: %v, %+v", err, w.Stats())
			}
		})
	}
}
