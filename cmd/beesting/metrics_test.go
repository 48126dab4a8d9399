package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/exporter"
	"github.com/beesting-otel/beesting/internal/agent"
	"github.com/beesting-otel/beesting/internal/journal"
)

// The exporter asks before there is an agent and after there was one.
func TestMetricsState(t *testing.T) {
	var log bytes.Buffer
	m := newMetrics(slog.New(slog.NewTextHandler(&log, nil)))
	if s, known := m.state(); known || !reflect.DeepEqual(s, exporter.NodeState{}) {
		t.Errorf("before the agent: %+v", s)
	}
	n, err := 0, error(nil)
	m.attach(&sources{agent: func() (agent.Summary, error) {
		n++
		return agent.Summary{
			Mode: "lsm", Wanted: 4, Armed: 3, Lacking: 1, Failures: map[agent.Reason]uint64{agent.ReasonLate: 2},
			Connected: true, Reconnects: 5, BlindSeconds: float64(n), UnwatchedSeconds: 8,
			Durations: map[string]agent.Durations{"create_container": {Bounds: []float64{1}, Buckets: []uint64{1, 2}, Seconds: 9}},
			Events:    agent.CoreStats{Delivered: 9, DecodeErrors: 6, Lost: map[string]uint64{"ring_full": 7}},
		}, err
	}, reloads: func() map[string]uint64 { return map[string]uint64{"refused": 3} }, outputs: func() outputStats {
		return outputStats{OTLP: &exporter.OTLPStats{Logs: exporter.SignalStats{Queued: 3}, Spans: exporter.SignalStats{Delivered: 1}}}
	}, journal: func() *journal.Stats { return &journal.Stats{Bytes: 11} }})
	want := exporter.NodeState{
		Mode: "lsm", Wanted: 4, Armed: 3, LackingContainers: 1, PlantFailures: map[string]uint64{"late": 2},
		NRIConnected: true, NRIReconnects: 5, NRIBlindSeconds: 1, UnwatchedSeconds: 8, DecodeErrors: 6, Lost: map[string]uint64{"ring_full": 7},
		ConfigReloads: map[string]uint64{"refused": 3},
		NRIDurations:  map[string]exporter.Histogram{"create_container": {Bounds: []float64{1}, Buckets: []uint64{1, 2}, Seconds: 9}},
		Delivery:      map[string]exporter.SignalStats{"logs": {Queued: 3}, "traces": {Delivered: 1}},
		Journal:       &journal.Stats{Bytes: 11},
	}
	if s, known := m.state(); !known || !reflect.DeepEqual(s, want) {
		t.Errorf("%+v, want %+v", s, want)
	}
	err = errors.New("the kernel says no")
	m.detach()
	want.NRIBlindSeconds = 2 // asked a last time
	if s, known := m.state(); !known || !reflect.DeepEqual(s, want) || n != 2 {
		t.Errorf("after the agent: %+v, want %+v; asked %d times", s, want, n)
	}
	if strings.Count(log.String(), "the kernel says no") != 1 {
		t.Errorf("log:\n%s", &log)
	}
}

// sourcesOf are an agent's that sends nothing and has no journal.
func sourcesOf(s agent.Summary) *sources {
	return &sources{
		agent: func() (agent.Summary, error) { return s, nil }, reloads: func() map[string]uint64 { return nil },
		outputs: outputs{}.stats, journal: func() *journal.Stats { return nil },
	}
}

// values are the sums of each metric's points.
func values(t *testing.T, m *metrics) map[string]int64 {
	t.Helper()
	mapping, err := exporter.NewMapping(exporter.MappingOptions{Version: "v0"})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int64{}
	state, _ := m.state()
	for _, metric := range m.meter.PData(mapping, state).ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().All() {
		if metric.Name() == "honeytoken.nri.request.duration" {
			t.Errorf("%s is sent without a point", metric.Name())
			continue
		}
		for _, p := range metric.Sum().DataPoints().All() {
			out[metric.Name()] += p.IntValue()
		}
	}
	return out
}

// What the outputs take is counted once, however many there are, and told with
// the agent's last words at the end. What all of them refuse comes again.
func TestOutputsSendMetrics(t *testing.T) {
	sent := make(chan []byte, 10) // requests with metrics
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); r.URL.Path == "/v1/metrics" && err == nil {
			sent <- body
		}
	}))
	defer srv.Close()
	vars := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": srv.URL}
	a := app{stdout: io.Discard, stderr: io.Discard, lookupEnv: func(k string) (string, bool) { v, ok := vars[k]; return v, ok }}
	mapping, err := exporter.NewMapping(exporter.MappingOptions{Version: "v0"})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	counts := newMetrics(log)
	all, err := a.newOutputs(t.Context(), []string{"json", "otlp"}, destinations{stdout: io.Discard, metrics: counts}, mapping, log)
	if err != nil {
		t.Fatal(err)
	}
	sink := countedSink{append(all, &fakeOutput{err: io.ErrShortWrite}), counts.meter}
	none := countedSink{outputs{&fakeOutput{err: io.ErrShortWrite}}, counts.meter}
	for range 3 {
		if err := sink.Deliver(t.Context(), beesting.Access{}); err != nil {
			t.Errorf("Deliver = %v", err)
		}
		if err := none.Deliver(t.Context(), beesting.Access{}); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("Deliver to none = %v", err)
		}
	}
	if err := sink.Gap(t.Context(), beesting.Gap{Count: 5}); err != nil {
		t.Errorf("Gap = %v", err)
	}
	if err := none.Gap(t.Context(), beesting.Gap{Count: 5}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("Gap to none = %v", err)
	}
	counts.attach(sourcesOf(agent.Summary{Armed: 2}))
	counts.detach()
	if err := all.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := values(t, counts); got["honeytoken.accesses"] != 3 || got["honeytoken.access.lost"] != 5 || got["honeytoken.placement.count"] != 2 {
		t.Errorf("metrics %v", got)
	}
	if body := <-sent; len(sent) != 0 || !bytes.Contains(body, []byte("honeytoken.accesses")) || !bytes.Contains(body, []byte("honeytoken.placement.count")) {
		t.Errorf("sent %q, and %d more", body, len(sent))
	}
	if s := all.stats().OTLP.Metrics; s == nil || s.Exported != 1 || s.Failed != 0 {
		t.Errorf("stats %+v", s)
	}
}
