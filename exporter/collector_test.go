//go:build integration

package exporter

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/test/collector"
)

// These tests run against a real OpenTelemetry Collector, which
// test/collector/build.sh builds:
//
//	go test -race -tags integration -run Collector ./exporter

// startCollector starts one, on given addresses if there are any.
func startCollector(t *testing.T, cfg collector.Config) *collector.Collector {
	t.Helper()
	cfg.Log = t.Output()
	c, err := collector.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func stop(t *testing.T, c *collector.Collector) {
	t.Helper()
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
}

func toCollector(protocol string, c *collector.Collector) []string {
	address := c.HTTP
	if protocol == "grpc" {
		address = c.GRPC
	}
	return []string{"OTEL_EXPORTER_OTLP_PROTOCOL", protocol, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://" + address}
}

// What a Collector receives, over either protocol, is the golden file.
func TestCollectorGolden(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		for name, a := range samples() {
			t.Run(protocol+"/"+name, func(t *testing.T) {
				c := startCollector(t, collector.Config{})
				defer stop(t, c)
				o := otlpTo(t, sampleMapping(t), 0, toCollector(protocol, c)...)
				if err := o.Deliver(t.Context(), a); err != nil {
					t.Fatal(err)
				}
				drain(t, o)
				golden(t, name+".otlp.json", received(t, c))
			})
		}
	}
}

// What a Collector receives of a gap, over either protocol, is the golden file.
func TestCollectorGap(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			c := startCollector(t, collector.Config{})
			defer stop(t, c)
			o := otlpTo(t, sampleMapping(t), 0, toCollector(protocol, c)...)
			if err := o.Gap(t.Context(), sampleGap()); err != nil {
				t.Fatal(err)
			}
			drain(t, o)
			golden(t, "gap.otlp.json", received(t, c))
		})
	}
}

// received is one request of logs and one of traces, as the golden files have
// them: the OTLP JSON unchanged but for white space.
func received(t *testing.T, c *collector.Collector) []byte {
	t.Helper()
	parts := map[string]json.RawMessage{}
	for _, r := range c.Requests() {
		if parts[r.Signal] != nil {
			t.Errorf("more than one request of %s", r.Signal)
		}
		parts[r.Signal] = r.JSON
	}
	data, err := json.Marshal(parts)
	if err != nil {
		t.Fatal(err)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, data, "", "  "); err != nil {
		t.Fatal(err)
	}
	pretty.WriteByte('\n')
	return pretty.Bytes()
}

// What a Collector receives of metrics, over either protocol, is what the
// Collector's own library makes of PData.
func TestCollectorMetrics(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			c := startCollector(t, collector.Config{})
			defer stop(t, c)
			drain(t, metricsTo(t, sampleMeter(), testLog(t), toCollector(protocol, c)...))
			all := c.Requests()
			if len(all) != 1 || all[0].Signal != "metrics" {
				t.Fatalf("requests %+v", all)
			}
			golden(t, "metrics.otlp.json", indented(t, all[0].JSON))
		})
	}
}

// The parts of a received record that the golden file shows but whose meaning
// is a promise: ids that belong together, schema and scope, no random flag.
func TestCollectorIdentity(t *testing.T) {
	c := startCollector(t, collector.Config{})
	defer stop(t, c)
	o := otlpTo(t, sampleMapping(t), 0, toCollector("grpc", c)...)
	for _, a := range []beesting.Access{sampleAccess(), outsiderAccess(), hostAccess(), sampleAccess()} {
		if err := o.Deliver(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	drain(t, o)
	logs, err := c.Logs()
	if err != nil {
		t.Fatal(err)
	}
	spans, err := c.Spans()
	if err != nil {
		t.Fatal(err)
	}
	if len(logs) != 4 || len(spans) != 4 {
		t.Fatalf("%d logs and %d spans", len(logs), len(spans))
	}
	for _, l := range logs {
		i := slices.IndexFunc(spans, func(s collector.Span) bool { return s.SpanID == l.SpanID && s.TraceID == l.TraceID })
		if i < 0 {
			t.Errorf("no span for log %s/%s", l.TraceID, l.SpanID)
			continue
		}
		s := spans[i]
		if l.Flags != 1 || s.Flags&0x2ff != 1 {
			t.Errorf("flags of log %#x, of span %#x: want sampled and nothing else", l.Flags, s.Flags)
		}
		for _, o := range []collector.Origin{l.Origin, s.Origin} {
			if o.ResourceSchemaURL != SchemaURL || o.ScopeSchemaURL != SchemaURL || o.ScopeName != ScopeName || o.ScopeVersion != "v0.1.0-golden" {
				t.Errorf("schema or scope: %+v", o)
			}
		}
		length := map[any]time.Duration{endClosed: 2345 * time.Microsecond}[s.Attributes["honeytoken.access.end"]]
		if l.EventName != EventName || l.SeverityText != "" || s.Name != EventName+".open" || s.Kind != 1 || s.End.Sub(s.Start) != length || !s.Start.Equal(l.Time) {
			t.Errorf("log %+v\nspan %+v", l, s)
		}
		if denied := l.Attributes["honeytoken.access.outcome"] == "denied"; denied != (s.StatusCode == 2) || (!denied && s.StatusCode != 0) {
			t.Errorf("status %d of an access that was denied: %v", s.StatusCode, denied)
		}
	}
}

// Bytes that are no text must cost nobody anything: a receiver refuses a whole
// request for one invalid string.
func TestCollectorTakesAnyBytes(t *testing.T) {
	c := startCollector(t, collector.Config{})
	defer stop(t, c)
	o := otlpTo(t, sampleMapping(t), 0, toCollector("grpc", c)...)
	for _, a := range []beesting.Access{numbered(0), hostile(), numbered(1)} {
		if err := o.Deliver(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	drain(t, o)
	wantStats(t, o.Stats().Logs, 3, 3, nil)
	wantStats(t, o.Stats().Spans, 3, 3, nil)
}

// A back end that refuses for a while and a Collector that is stopped and
// started again: everything arrives, in order; only what was in the air at the
// end of the first Collector may be there twice.
func TestCollectorRestart(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			const n = 1500
			first := startCollector(t, collector.Config{})
			o := otlpTo(t, sampleMapping(t), n, toCollector(protocol, first)...)
			deliver(t, o, 0, n/3)
			first.SetAway(true)
			deliver(t, o, n/3, 2*n/3)
			eventually(t, "refusals", func() bool { return o.Stats().Logs.Retries > 1 && o.Stats().Spans.Retries > 1 })
			first.SetAway(false)
			stop(t, first)
			deliver(t, o, 2*n/3, n)
			second := startCollector(t, collector.Config{GRPC: first.GRPC, HTTP: first.HTTP})
			defer stop(t, second)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := o.Shutdown(ctx); err != nil {
				t.Fatal(err)
			}
			wantStats(t, o.Stats().Logs, n, n, nil)
			wantStats(t, o.Stats().Spans, n, n, nil)
			checkOnceInOrder(t, logUIDs(t, first, second), uids(0, n))
		})
	}
}

func logUIDs(t *testing.T, collectors ...*collector.Collector) []string {
	t.Helper()
	var out []string
	for _, c := range collectors {
		logs, err := c.Logs()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range logs {
			out = append(out, l.Attributes["log.record.uid"].(string))
		}
	}
	return out
}

func checkOnceInOrder(t *testing.T, got, want []string) {
	t.Helper()
	seen := map[string]bool{}
	var once []string
	for _, uid := range got {
		if !seen[uid] {
			once = append(once, uid)
		}
		seen[uid] = true
	}
	t.Logf("%d records, %d of them repeats", len(got), len(got)-len(once))
	if !slices.Equal(once, want) {
		t.Errorf("%d of %d records, or not in order: %s", len(once), len(want), strings.Join(once[:min(3, len(once))], " "))
	}
	if repeats := len(got) - len(once); repeats > testPace.batch {
		t.Errorf("%d repeats: more than one batch", repeats)
	}
}
