package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/exporter"
	"github.com/beesting-otel/beesting/internal/agent"
)

// What Prometheus reads: the node's metrics under their names for it, where they
// are from, and the process's own.
func TestPrometheus(t *testing.T) {
	mapping, err := exporter.NewMapping(exporter.MappingOptions{Node: exporter.Node{Name: "node-1", HostID: "id-1"}, Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	m := newMetrics(slog.New(slog.DiscardHandler))
	scrapes, err := m.prometheus(mapping)
	if err != nil {
		t.Fatal(err)
	}
	scrape := func() string {
		t.Helper()
		w := httptest.NewRecorder()
		scrapes.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
		if w.Code != http.StatusOK {
			t.Fatalf("%d: %s", w.Code, w.Body)
		}
		return w.Body.String()
	}
	if before := scrape(); strings.Contains(before, "honeytoken") || !strings.Contains(before, "go_goroutines ") {
		t.Errorf("without an agent: %s", before)
	}
	m.attach(sourcesOf(agent.Summary{Connected: true, Armed: 1, Wanted: 1}))
	m.meter.Observe(&beesting.Access{
		Kind: beesting.AccessOpen, Outcome: beesting.OutcomeAllowed, Actor: beesting.ActorWorkload, Count: 3,
		Placement: beesting.Placement{Token: beesting.Token{Name: "aws", Kind: "aws-credentials"}},
	})
	text := scrape()
	for _, want := range []string{
		`honeytoken_accesses_total{`, `honeytoken_name="aws"`, "} 3\n", "honeytoken_nri_connected 1\n",
		`target_info{`, `k8s_node_name="node-1"`, "process_resident_memory_bytes ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %s", want, text)
		}
	}
}
