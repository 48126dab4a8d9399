//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/beesting-otel/beesting/test/collector"
	"github.com/beesting-otel/beesting/test/runtime/agentproc"
)

// nobody is an address at which no back end listens.
const nobody = "http://127.0.0.1:1"

// journal: what an agent that is killed, and one that is stopped, saw while their
// back end was away, a third one delivers: every record and span of it, and each
// access under one id.
func (s *suite) journal(t *testing.T) {
	const each = 3
	s.stopAgent(t)
	defer s.startAgent(t)
	cfg := s.config
	cfg.HTTP = "" // the suite's agent has the address
	cfg.Output = []string{"json", "otlp"}
	cfg.Env = []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + nobody}
	seen := map[string]bool{}
	var b *box
	for _, end := range []func(*agentproc.Agent) error{(*agentproc.Agent).Kill, (*agentproc.Agent).Stop} {
		agent, err := agentproc.Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if b == nil {
			b = s.runForever(t, pod{ns: "shop", name: "outage"})
		}
		for range each {
			s.exec(t, b, "cat", awsPath)
		}
		recs, err := agent.Wait(t.Context(), each, b.owns)
		if err := errors.Join(err, end(agent)); err != nil {
			t.Fatalf("%v\n%s", err, agent.LogTail())
		}
		for _, r := range recs {
			seen[uid(r)] = true
		}
	}
	if len(seen) != 2*each {
		t.Fatalf("%d accesses were seen, want %d", len(seen), 2*each)
	}
	s.afterOutage(t, cfg, seen)
}

// afterOutage starts an agent whose back end is there, and compares what that gets
// with what was seen.
func (s *suite) afterOutage(t *testing.T, cfg agentproc.Config, seen map[string]bool) {
	t.Helper()
	var log bytes.Buffer
	c, err := collector.Start(t.Context(), collector.Config{Binary: need(t, "collector", collectorExe), Log: &log})
	if err != nil {
		t.Fatalf("%v\n%s", err, log.Bytes())
	}
	cfg.Env = []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + c.GRPC, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}
	agent, err := agentproc.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(errors.Join(err, c.Stop()))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got, spans := map[string]bool{}, map[string]bool{}
	err = c.Wait(ctx, func(logs []collector.Log, all []collector.Span) bool {
		for _, l := range logs {
			if id, _ := l.Attributes["log.record.uid"].(string); seen[id] {
				got[id] = true
			}
		}
		for _, sp := range all {
			spans[sp.SpanID] = true
		}
		return len(got) == len(seen) && len(spans) >= len(seen)
	})
	if err := errors.Join(err, agent.Stop(), c.Stop()); err != nil {
		t.Fatalf("%d of %d log records and %d spans arrived: %v\n%s\n%s", len(got), len(seen), len(spans), err, agent.LogTail(), log.Bytes())
	}
	t.Logf("%d accesses of a killed and of a stopped agent are delivered by a third, with %d spans", len(got), len(spans))
}
