//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/beesting-otel/beesting/test/collector"
	"github.com/beesting-otel/beesting/test/runtime/agentproc"
)

// The golden files are what a back end behind the Collector is sent, in OTLP's
// JSON form, with everything that differs from run to run replaced.
//
//go:embed testdata
var testdata embed.FS

var update = flag.Bool("update", false, "print the golden files instead of comparing with them")

// The frame around a golden file on standard output: test/e2e/cmd/e2e cuts it
// out, because a VM's files don't come back.
const (
	goldenBegin = "--- golden file "
	goldenEnd   = "--- end of golden file"
)

// collector: the log record and the span of a touch in a pod, as they come out
// of a real OpenTelemetry Collector.
func (s *suite) collector(t *testing.T) {
	s.stopAgent(t)
	defer s.startAgent(t)
	var log bytes.Buffer
	c, err := collector.Start(t.Context(), collector.Config{Binary: need(t, "collector", collectorExe), Log: &log})
	if err != nil {
		t.Fatalf("%v\n%s", err, log.Bytes())
	}
	cfg := s.config
	cfg.HTTP = "" // the suite's agent has the address
	cfg.Output = []string{"json", "otlp"}
	cfg.Env = []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + c.GRPC, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}
	agent, err := agentproc.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(errors.Join(err, c.Stop()))
	}
	b := s.runForever(t, pod{
		ns: "shop", name: "web-7d4b9-x2xkp", uid: "0c7f1a52-53f4-4a44-9d58-2f6f7f0f6a01",
		labels: map[string]string{"app.kubernetes.io/name": "web"},
	})
	s.exec(t, b, "cat", awsPath)
	got, err := received(t.Context(), c)
	// Ends in order: the agent delivers what it holds, then its back end goes.
	if err := errors.Join(err, agent.Stop(), c.Stop()); err != nil {
		t.Fatalf("%v\n%s\n%s", err, agent.LogTail(), log.Bytes())
	}
	sameIDs(t, got["logs"], got["traces"])
	golden(t, "access-log.json", got["logs"])
	golden(t, "access-span.json", got["traces"])
	oneRequest(t, c)
}

// oneRequest checks that one access made one request with a log record and one
// with a span. Metrics come when it is time for them.
func oneRequest(t *testing.T, c *collector.Collector) {
	t.Helper()
	requests := map[string]int{}
	for _, r := range c.Requests() {
		requests[r.Signal]++
	}
	if requests["logs"] != 1 || requests["traces"] != 1 {
		t.Errorf("requests that reached the back end: %v, want one with a log record and one with a span", requests)
	}
}

// received waits for a log record and a span and returns the requests that
// brought them, by signal.
func received(ctx context.Context, c *collector.Collector) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := c.Wait(ctx, func(logs []collector.Log, spans []collector.Span) bool {
		return len(logs) > 0 && len(spans) > 0
	})
	bySignal := map[string]any{}
	for _, r := range c.Requests() {
		var v any
		err = errors.Join(err, json.Unmarshal(r.JSON, &v))
		bySignal[r.Signal] = v
	}
	return bySignal, err
}

// golden compares v, normalised, with a file of testdata.
func golden(t *testing.T, name string, v any) {
	t.Helper()
	goldenText(t, name, pretty(t, normalise(t, v), "")+"\n")
}

func goldenText(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		fmt.Printf("\n%s%s\n%s%s\n", goldenBegin, name, got, goldenEnd)
		return
	}
	want, err := testdata.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs: %s\nwhat came:\n%s", name, firstDifference(string(want), got), got)
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return fmt.Sprintf("line %d is %q, want %q", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}
