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
)

// fakeOutput stands for a back end with trouble of a known kind.
type fakeOutput struct {
	err            error
	delivered, end int
}

func (f *fakeOutput) Deliver(context.Context, beesting.Access) error { f.delivered++; return f.err }
func (f *fakeOutput) Shutdown(context.Context) error                 { f.end++; return f.err }

func TestOutputsAreIndependent(t *testing.T) {
	bad, good := &fakeOutput{err: io.ErrShortWrite}, &fakeOutput{}
	all := outputs{bad, good}
	if err := all.Deliver(t.Context(), beesting.Access{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("Deliver = %v", err)
	}
	if err := all.Shutdown(t.Context()); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("Shutdown = %v", err)
	}
	if good.delivered != 1 || good.end != 1 {
		t.Errorf("the good one got %d accesses and %d ends, want 1 and 1", good.delivered, good.end)
	}
}

func TestReaderHasLeft(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	sink := forReader{&fakeOutput{err: io.ErrClosedPipe}, ctx}
	if err := sink.Deliver(t.Context(), beesting.Access{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("with a reader: %v", err)
	}
	cancel(errReaderLeft)
	if err := sink.Deliver(t.Context(), beesting.Access{}); err != nil {
		t.Errorf("without a reader: %v", err)
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
	all, err := a.newOutputs(t.Context(), []string{"json", "otlp"}, &text, m, log, nil)
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
	if _, err := a.newOutputs(t.Context(), []string{"otlp"}, &text, m, log, nil); err == nil || !strings.Contains(err.Error(), "OTEL_EXPORTER_OTLP_ENDPOINT") {
		t.Errorf("wrong end point: %v", err)
	}
}
