//go:build integration

package build

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/test/collector"
	"github.com/beesting-otel/beesting/test/runtime/collectorproc"
)

// A node's Collector as deploy/otel/collector has it, apart from where its
// records come from: OTLP over HTTP takes the place of the receiver, which needs
// root, a kernel and a container runtime. Those are test/e2e's.
type node struct {
	*collectorproc.Collector
	cfg  collectorproc.Config
	text string
	otlp string // address
	back *collector.Collector
}

// inPlace is on top of everything else; a list replaces a list.
const inPlace = `
receivers:
  otlp: {protocols: {http: {endpoint: %q}}}
service:
  telemetry:
    metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %s}}}}]}
  pipelines:
    logs: {receivers: [otlp]}
    traces: {receivers: [otlp]}
    metrics: {receivers: [otlp]}
`

func startNode(t *testing.T, overlays []string, more string, env ...string) *node {
	t.Helper()
	back, err := collector.Start(t.Context(), collector.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := back.Stop(); err != nil {
			t.Error(err)
		}
	})
	text, err := os.ReadFile(filepath.Join(configs, "node.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	n := &node{text: string(text), otlp: freeAddress(t), back: back}
	n.cfg = collectorproc.Config{
		Binary: k8sBinary, Dir: t.TempDir(), MetricsAddress: freeAddress(t),
		Env: append([]string{
			"GATEWAY_ENDPOINT=" + back.GRPC, "GATEWAY_INSECURE=true", "NODE_NAME=worker-1",
			"HEALTH_ENDPOINT=" + freeAddress(t), "STORAGE_DIR=" + t.TempDir(),
		}, env...),
	}
	for _, name := range overlays {
		n.cfg.Args = append(n.cfg.Args, "--config", filepath.Join(configs, name+".yaml"))
	}
	_, port, _ := net.SplitHostPort(n.cfg.MetricsAddress)
	last := filepath.Join(t.TempDir(), "last.yaml")
	if err := os.WriteFile(last, []byte(fmt.Sprintf(inPlace, n.otlp, port)+more), 0o600); err != nil {
		t.Fatal(err)
	}
	n.cfg.Args = append(n.cfg.Args, "--config", last)
	n.start(t)
	t.Cleanup(func() { _ = n.Kill() })
	return n
}

func (n *node) start(t *testing.T) {
	t.Helper()
	var err error
	if n.Collector, err = collectorproc.Start(t.Context(), n.cfg, n.text); err != nil {
		t.Fatal(err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// access is the exporter's log record of one access, in OTLP JSON, n times with
// a uid of its own each.
func access(t *testing.T, name string, first, n int) []byte {
	t.Helper()
	text, err := os.ReadFile(root + "exporter/testdata/" + name + ".otlp.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Logs struct {
			ResourceLogs []struct {
				Resource  json.RawMessage `json:"resource"`
				ScopeLogs []struct {
					LogRecords []json.RawMessage `json:"logRecords"`
				} `json:"scopeLogs"`
			} `json:"resourceLogs"`
		} `json:"logs"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	scope := &file.Logs.ResourceLogs[0].ScopeLogs[0]
	record := string(scope.LogRecords[0])
	const key = `"log.record.uid"`
	at := strings.Index(record, key)
	if at < 0 {
		t.Fatalf("%s has no %s", name, key)
	}
	old := strings.Split(record[at+len(key):], `"`)[5] // … "value": {"stringValue": "UID"
	scope.LogRecords = nil
	for i := range n {
		scope.LogRecords = append(scope.LogRecords, json.RawMessage(strings.ReplaceAll(record, old, uid(first+i))))
	}
	out, err := json.Marshal(file.Logs)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func uid(i int) string { return fmt.Sprintf("%032x", i+1) }

func (n *node) post(t *testing.T, body []byte) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+n.otlp+"/v1/logs", bytes.NewReader(body))
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

// arrived waits until n records are at the back end and returns all that are.
func (n *node) arrived(t *testing.T, want int) []collector.Log {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []collector.Log
	err := n.back.Wait(ctx, func(logs []collector.Log, _ []collector.Span) bool {
		got = logs
		return len(logs) >= want
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, n.Tail())
	}
	return got
}
