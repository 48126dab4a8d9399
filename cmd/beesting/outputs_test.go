package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/exporter"
	"github.com/beesting-otel/beesting/internal/agent"
)

// fakeOutput stands for a back end with trouble of a known kind.
type fakeOutput struct {
	err                              error
	delivered, ended, gaps, shutdown int
}

func (f *fakeOutput) Deliver(context.Context, beesting.Access) error { f.delivered++; return f.err }
func (f *fakeOutput) End(context.Context, beesting.Access) error     { f.ended++; return f.err }
func (f *fakeOutput) Gap(context.Context, beesting.Gap) error        { f.gaps++; return f.err }
func (f *fakeOutput) Shutdown(context.Context) error                 { f.shutdown++; return f.err }

// each calls what a sink can be given, and names it.
func each(t *testing.T, sink agent.Sink) map[string]error {
	t.Helper()
	return map[string]error{
		"Deliver": sink.Deliver(t.Context(), beesting.Access{}),
		"End":     sink.End(t.Context(), beesting.Access{}),
		"Gap":     sink.Gap(t.Context(), beesting.Gap{}),
	}
}

func TestOutputsAreIndependent(t *testing.T) {
	bad, good := &fakeOutput{err: io.ErrShortWrite}, &fakeOutput{}
	all := outputs{bad, good}
	for what, err := range each(t, all) { // what is refused comes again, to the good one too
		if (what == "End") != errors.Is(err, io.ErrShortWrite) || (what != "End" && err != nil) {
			t.Errorf("%s = %v", what, err)
		}
	}
	for what, err := range each(t, outputs{bad, bad}) {
		if !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("%s of bad ones = %v", what, err)
		}
	}
	if err := all.Shutdown(t.Context()); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("Shutdown = %v", err)
	}
	if *good != (fakeOutput{delivered: 1, ended: 1, gaps: 1, shutdown: 1}) {
		t.Errorf("the good one got %+v", *good)
	}
}

// One output that has no room beside one that has: the second gets each access
// once, and what the first loses is counted.
func TestOutputsWithoutRoom(t *testing.T) {
	var text, log strings.Builder
	vars := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
	a := app{stdout: &text, stderr: io.Discard, lookupEnv: func(k string) (string, bool) { v, ok := vars[k]; return v, ok }}
	m, err := exporter.NewMapping(exporter.MappingOptions{Version: "v0"})
	if err != nil {
		t.Fatal(err)
	}
	all, err := a.newOutputs(t.Context(), []string{"json", "otlp"}, destinations{stdout: &text}, m, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	const n = exporter.DefaultQueue + 10
	for range n {
		if err := all.Deliver(t.Context(), beesting.Access{}); err != nil {
			t.Fatal(err)
		}
	}
	s := all.stats()
	if s.JSON.Written != n || s.OTLP.Logs.Offered != n || s.OTLP.Logs.Dropped["queue_full"] != 10 || s.OTLP.Logs.Refused != 0 {
		t.Errorf("JSON %+v, OTLP %+v", s.JSON, s.OTLP.Logs)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = all.Shutdown(ctx)
	if !strings.Contains(log.String(), "telemetry lost") {
		t.Errorf("log: %s", log.String())
	}
}

func TestWriterTroubleIsLogged(t *testing.T) {
	var log strings.Builder
	var failed error
	m, err := exporter.NewMapping(exporter.MappingOptions{Version: "v0"})
	if err != nil {
		t.Fatal(err)
	}
	w := newNamedWriter(exporter.NewJSON(writerFunc(func(b []byte) (int, error) { return len(b), failed }), m), "json", slog.New(slog.NewTextHandler(&log, nil)))
	for _, failed = range []error{nil, io.ErrClosedPipe, io.ErrClosedPipe, nil, nil} {
		if err := w.Deliver(t.Context(), beesting.Access{}); !errors.Is(err, failed) {
			t.Errorf("Deliver = %v, want %v", err, failed)
		}
	}
	if text := log.String(); strings.Count(text, "output not written") != 1 || strings.Count(text, "written again") != 1 || strings.Count(text, "\n") != 2 {
		t.Errorf("log: %s", text)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestReaderHasLeft(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	sink := forReader{&fakeOutput{err: io.ErrClosedPipe}, ctx}
	for what, err := range each(t, sink) {
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s with a reader: %v", what, err)
		}
	}
	cancel(errReaderLeft)
	for what, err := range each(t, sink) {
		if err != nil {
			t.Errorf("%s without a reader: %v", what, err)
		}
	}
}

func TestNewOutputs(t *testing.T) {
	var text strings.Builder
	vars := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
	a := app{stdout: &text, stderr: io.Discard, lookupEnv: func(k string) (string, bool) { v, ok := vars[k]; return v, ok }}
	m, err := exporter.NewMapping(exporter.MappingOptions{Version: "v0"})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	all, err := a.newOutputs(t.Context(), []string{"json", "otlp"}, destinations{stdout: &text}, m, log)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if err := all.Deliver(t.Context(), beesting.Access{Kind: beesting.AccessOpen, Time: now, ObservedTime: now, Count: 1}); err != nil {
		t.Error(err)
	}
	if s := all.stats(); s.JSON == nil || s.JSON.Written != 1 || s.OTLP == nil || s.OTLP.Logs.Offered != 1 || s.OTLP.Metrics != nil || s.Text != nil {
		t.Errorf("stats = %+v", s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := all.Shutdown(ctx); err == nil {
		t.Error("what was not delivered is not told")
	}

	vars["OTEL_EXPORTER_OTLP_ENDPOINT"] = "collector"
	if _, err := a.newOutputs(t.Context(), []string{"otlp"}, destinations{stdout: &text}, m, log); err == nil || !strings.Contains(err.Error(), "OTEL_EXPORTER_OTLP_ENDPOINT") {
		t.Errorf("wrong end point: %v", err)
	}
}

func TestWatchSummary(t *testing.T) {
	tests := []struct {
		stats agent.CoreStats
		want  string
		bad   bool
	}{
		{agent.CoreStats{Delivered: 3, Lost: map[string]uint64{"ring_full": 0}}, "3 accesses reported, 0 lost", false},
		{agent.CoreStats{Delivered: 3, Coalesced: 7}, "3 accesses reported for 10 touches, 0 lost", false},
		{agent.CoreStats{Delivered: 3, SinkErrors: 1, Gaps: map[string]uint64{"restart": 1, "ring_full": 2}}, "3 accesses reported, 4 lost", true},
		{agent.CoreStats{DecodeErrors: 1, Lost: map[string]uint64{"recursion": 5}}, "0 accesses reported, 0 lost; events lost: 5 recursion, 1 not understood", true},
	}
	for _, tt := range tests {
		if got, bad := watchSummary(tt.stats); got != tt.want || bad != tt.bad {
			t.Errorf("%q, %v, want %q, %v", got, bad, tt.want, tt.bad)
		}
	}
}
