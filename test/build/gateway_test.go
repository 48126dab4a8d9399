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

// gateway is gateway.yaml between a sender and stores that only take notes.
type gateway struct {
	*collectorproc.Collector
	grpc, http string // addresses
	tempo      *collector.Collector

	mu  sync.Mutex
	got []string // PATH ORGANISATION of what the stores for logs and metrics were sent
}

func startGateway(t *testing.T, overlays []string, env ...string) *gateway {
	t.Helper()
	g := &gateway{grpc: freeAddress(t), http: freeAddress(t)}
	store := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.got = append(g.got, strings.TrimSpace(r.URL.Path+" "+r.Header.Get("X-Scope-Orgid")))
	}))
	t.Cleanup(store.Close)
	var err error
	if g.tempo, err = collector.Start(t.Context(), collector.Config{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.tempo.Stop() })
	text, err := os.ReadFile(filepath.Join(configs, "gateway.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := collectorproc.Config{
		Binary: leanBinary, Dir: t.TempDir(),
		Env: append([]string{
			"OTLP_HTTP_ENDPOINT=" + g.http, "OTLP_GRPC_ENDPOINT=" + g.grpc,
			"HEALTH_ENDPOINT=" + freeAddress(t), "STORAGE_DIR=" + t.TempDir(),
			"LOKI_ENDPOINT=" + store.URL + "/otlp", "LOKI_HEADERS={X-Scope-OrgID: security}",
			"PROMETHEUS_ENDPOINT=" + store.URL + "/api/v1/otlp",
			"TEMPO_ENDPOINT=" + g.tempo.GRPC, "TEMPO_INSECURE=true",
		}, env...),
	}
	for _, name := range overlays {
		cfg.Args = append(cfg.Args, "--config", filepath.Join(configs, name+".yaml"))
	}
	// Its own metrics would be on a fixed port.
	cfg.Args = append(cfg.Args, "--config", "yaml:service::telemetry::metrics::level: none")
	if g.Collector, err = collectorproc.Start(t.Context(), cfg, string(text)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Kill() })
	return g
}

// wait waits until the stores have been sent what.
func (g *gateway) wait(t *testing.T, what string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		g.mu.Lock()
		got := slices.Clone(g.got)
		g.mu.Unlock()
		if slices.Contains(got, what) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the stores got %q, not %q\n%s", got, what, g.Tail())
		}
	}
}

// Each signal goes to its back end, at the path that one has, with its headers.
func TestGatewayFansOut(t *testing.T) {
	g := startGateway(t, nil)
	for signal, body := range map[string]string{
		"logs":    string(access(t, "workload-read", 0, 1)),
		"traces":  `{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"honeytoken.access","traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"bc3bdad9b963a6b3","startTimeUnixNano":"1","endTimeUnixNano":"1"}]}]}]}`,
		"metrics": `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"honeytoken.placement.count","gauge":{"dataPoints":[{"asInt":"1","timeUnixNano":"1"}]}}]}]}]}`,
	} {
		resp, err := http.Post("http://"+g.http+"/v1/"+signal, "application/json", strings.NewReader(body))
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
	if err := g.tempo.Wait(ctx, func(_ []collector.Log, spans []collector.Span) bool { return len(spans) == 1 }); err != nil {
		t.Error(err)
	}
	g.wait(t, "/otlp/v1/logs security")
	g.wait(t, "/api/v1/otlp/v1/metrics")
	if err := g.Stop(); err != nil {
		t.Error(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.got) != 2 {
		t.Errorf("the stores got %q, want one request each", g.got)
	}
	if logs, err := g.tempo.Logs(); err != nil || len(logs) != 0 {
		t.Errorf("the trace store got %d logs, %v", len(logs), err)
	}
}
