//go:build integration

package build

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/test/collector"
	"github.com/beesting-otel/beesting/test/runtime/collectorproc"
)

// Each signal goes to its back end, at the path that one has, with its headers.
func TestGatewayFansOut(t *testing.T) {
	var mu sync.Mutex
	var got []string
	store := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		defer mu.Unlock()
		got = append(got, strings.TrimSpace(r.URL.Path+" "+r.Header.Get("X-Scope-Orgid")))
	}))
	t.Cleanup(store.Close)
	tempo, err := collector.Start(t.Context(), collector.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tempo.Stop() })
	text, err := os.ReadFile(filepath.Join(configs, "gateway.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	otlp := freeAddress(t)
	gateway, err := collectorproc.Start(t.Context(), collectorproc.Config{
		Binary: leanBinary, Dir: t.TempDir(), Args: []string{"--config", "yaml:service::telemetry::metrics::level: none"},
		Env: []string{
			"OTLP_HTTP_ENDPOINT=" + otlp, "OTLP_GRPC_ENDPOINT=" + freeAddress(t),
			"HEALTH_ENDPOINT=" + freeAddress(t), "STORAGE_DIR=" + t.TempDir(),
			"LOKI_ENDPOINT=" + store.URL + "/otlp", "LOKI_HEADERS={X-Scope-OrgID: security}",
			"PROMETHEUS_ENDPOINT=" + store.URL + "/api/v1/otlp",
			"TEMPO_ENDPOINT=" + tempo.GRPC, "TEMPO_INSECURE=true",
		},
	}, string(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gateway.Kill() })
	for signal, body := range map[string]string{
		"logs":    string(access(t, "workload-read", 0, 1)),
		"traces":  `{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"honeytoken.access","traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"bc3bdad9b963a6b3","startTimeUnixNano":"1","endTimeUnixNano":"1"}]}]}]}`,
		"metrics": `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"honeytoken.placements","gauge":{"dataPoints":[{"asInt":"1","timeUnixNano":"1"}]}}]}]}]}`,
	} {
		resp, err := http.Post("http://"+otlp+"/v1/"+signal, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", signal, resp.Status)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := tempo.Wait(ctx, func(_ []collector.Log, spans []collector.Span) bool { return len(spans) == 1 }); err != nil {
		t.Error(err)
	}
	if err := gateway.Stop(); err != nil { // sends what its queues hold
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(got)
	if want := []string{"/api/v1/otlp/v1/metrics", "/otlp/v1/logs security"}; !slices.Equal(got, want) {
		t.Errorf("the stores got %q, want %q", got, want)
	}
	if logs, err := tempo.Logs(); err != nil || len(logs) != 0 {
		t.Errorf("the trace store got %d logs, %v", len(logs), err)
	}
}
