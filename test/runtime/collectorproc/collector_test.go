//go:build integration

package collectorproc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/test/collector"
)

// relay is a Collector that passes what it gets on at once and tells its sender
// what became of it: nothing in it waits or tries again.
const relay = `
receivers:
  otlp: {protocols: {http: {endpoint: %[1]q}}}
  otlp/second: {protocols: {http: {endpoint: %[2]q}}}
exporters:
  otlp_http:
    endpoint: %[3]q
    sending_queue: {enabled: false}
    retry_on_failure: {enabled: false}
service:
  telemetry:
    metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %[4]s}}}}]}
  pipelines:
    logs: {receivers: [otlp%[5]s], exporters: [otlp_http]}
    traces: {receivers: [otlp], exporters: [otlp_http]}
    metrics: {receivers: [otlp], exporters: [otlp_http]}
`

type relayed struct {
	*Collector
	cfg           Config
	back          *collector.Collector
	first, second string // addresses of the receivers
}

func (r *relayed) configuration(more string) string {
	_, port, _ := net.SplitHostPort(r.cfg.MetricsAddress)
	return fmt.Sprintf(relay, r.first, r.second, "http://"+r.back.HTTP, port, more)
}

func startRelay(t *testing.T, args ...string) *relayed {
	t.Helper()
	binary, err := collector.Binary()
	if err != nil {
		t.Fatal(err)
	}
	back, err := collector.Start(t.Context(), collector.Config{Binary: binary})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := back.Stop(); err != nil {
			t.Error(err)
		}
	})
	r := &relayed{back: back, first: free(t), second: free(t), cfg: Config{
		Binary: binary, Dir: t.TempDir(), Args: args, MetricsAddress: free(t),
	}}
	if r.Collector, err = Start(t.Context(), r.cfg, r.configuration("")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Kill() })
	return r
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// post sends one log record.
func post(t *testing.T, address string) int {
	t.Helper()
	const body = `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"}}]}]}]}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/v1/logs", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// What the back end says gets back to the first sender through two Collectors,
// 503 as 503: a refusal that may be tried again, not a permanent one.
func TestCollectorPassesRefusalBack(t *testing.T) {
	r := startRelay(t)
	if code := post(t, r.first); code != http.StatusOK {
		t.Errorf("%d", code)
	}
	r.back.SetAway(true)
	if code := post(t, r.first); code != http.StatusServiceUnavailable {
		t.Errorf("%d while the back end is away, want 503", code)
	}
	r.back.SetAway(false)
	if code := post(t, r.first); code != http.StatusOK {
		t.Errorf("%d when the back end is there again", code)
	}
	if logs, err := r.back.Logs(); err != nil || len(logs) != 2 || r.back.Refused("logs") != 1 {
		t.Errorf("%d logs and %d refusals, %v, want 2 and 1", len(logs), r.back.Refused("logs"), err)
	}
	m, err := r.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := m.Sum("otelcol_receiver_accepted_log_records"); n != 2 || !ok {
		t.Errorf("the Collector counts %v accepted records, %t: %v", n, ok, m.With("otelcol_receiver"))
	}
	if err := r.Stop(); err != nil {
		t.Error(err)
	}
}

func TestCollectorReload(t *testing.T) {
	r := startRelay(t)
	for _, step := range []struct {
		more string
		want int
	}{{", otlp/second", 1}, {"", 0}} {
		if err := r.Configure(r.configuration(step.more)); err != nil {
			t.Fatal(err)
		}
		kind, took, err := r.Reload(t.Context())
		if err != nil || kind != Full {
			t.Fatalf("%q, %v", kind, err)
		}
		t.Logf("full reload in %v", took)
		if n := listening(r.second); n != step.want {
			t.Errorf("%d listen on the second address, want %d", n, step.want)
		}
	}
	u, err := r.Usage()
	if err != nil || u.FDs < 3 || u.Threads < 2 || u.RSSKiB < 1000 {
		t.Errorf("%+v, %v", u, err)
	}
	files, err := r.Files()
	if _, metrics, _ := net.SplitHostPort(r.cfg.MetricsAddress); err != nil || files["tcp listening at :"+metrics] != 1 {
		t.Errorf("%v, %v", files, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	g, err := r.Dump(ctx)
	if err != nil || g["runtime.main"] != 1 || g.Of("go.opentelemetry.io/collector/") == 0 {
		t.Errorf("%v, %v", g, err)
	}
}

// With the gate, a change of receivers leaves everything else alone.
func TestCollectorPartialReload(t *testing.T) {
	r := startRelay(t, "--feature-gates=service.partialReload")
	for _, step := range []struct {
		more string
		want Kind
	}{{"", Unchanged}, {", otlp/second", Partial}, {"", Partial}} {
		if err := r.Configure(r.configuration(step.more)); err != nil {
			t.Fatal(err)
		}
		if kind, _, err := r.Reload(t.Context()); err != nil || kind != step.want {
			t.Fatalf("%q, %v, want %s\n%s", kind, err, step.want, r.Tail())
		}
	}
}

// A Collector of 0.165 that is told to read a configuration with a mistake has
// stopped everything before it looks, and ends with exit code 1.
func TestCollectorEndsAtAMistake(t *testing.T) {
	for _, args := range [][]string{nil, {"--feature-gates=service.partialReload"}} {
		r := startRelay(t, args...)
		if err := r.Configure(strings.Replace(r.configuration(""), "exporters: [otlp_http]", "exporters: [nothing]", 1)); err != nil {
			t.Fatal(err)
		}
		if kind, _, err := r.Reload(t.Context()); !errors.Is(err, ErrEnded) {
			t.Fatalf("%q, %v", kind, err)
		}
		if code, err := r.WaitExit(t.Context()); code != 1 || err != nil {
			t.Errorf("exit code %d, %v", code, err)
		}
	}
}

func TestCollectorThatCantStart(t *testing.T) {
	binary, err := collector.Binary()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Config{Binary: binary, Dir: t.TempDir()}, "receivers:\n"); !errors.Is(err, ErrEnded) {
		t.Error(err)
	}
}

func listening(address string) int {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return 0
	}
	_ = conn.Close()
	return 1
}
