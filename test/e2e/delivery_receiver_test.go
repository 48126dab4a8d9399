//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/test/backend"
	"github.com/beesting-otel/beesting/test/runtime/collectorproc"
)

// deliveryReceiver has the receiver before an exporter whose queue is small, and
// on disk as in deploy/otel/collector.
const deliveryReceiver = `
extensions:
  file_storage: {directory: %q, create_directory: true, fsync: true}
receivers:
  honeytoken:
    node_name: node-1
    state_dir: %q
    nri: {socket: %q}
    sensor: {mode: %s}
%s
exporters:
  otlp_http:
    endpoint: http://%s
    sending_queue: {queue_size: 10, num_consumers: 1, storage: file_storage}
    retry_on_failure: {initial_interval: 1s, max_interval: 5s, max_elapsed_time: 0s}
service:
  extensions: [file_storage]
  telemetry:
    metrics:
      readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %s, without_units: true, without_type_suffix: true}}}}]
  pipelines:
    logs: {receivers: [honeytoken], exporters: [otlp_http]}
    traces: {receivers: [honeytoken], exporters: [otlp_http]}
`

// receiver: a Collector whose exporter has nobody to send to, and a queue that is
// full at once, is killed in the middle of that and started again. Nobody touches a
// token while it is away: without eBPF nobody would see it.
func (d *delivery) receiver(t *testing.T) {
	cfg := collectorproc.Config{
		Binary: need(t, "receiver", receiverExe), Dir: filepath.Join(d.node.Dir(), "collector"), MetricsAddress: freeAddress(t),
	}
	_, port, err := net.SplitHostPort(cfg.MetricsAddress)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(deliveryReceiver, filepath.Join(d.node.Dir(), "queue"), filepath.Join(d.node.Dir(), "receiver-state"), d.node.NRISocket(), *attachMode, indented(deliveryTokens), d.back.Address, port)
	col := d.collector(t, cfg, text, 0)
	agents := d.box
	d.box = d.runForever(t, pod{ns: "shop", name: "receiver"})
	defer func() { d.box = agents }()
	ctx, cancel := context.WithTimeout(t.Context(), *outage+2*patience)
	defer cancel()

	first, enough := d.touches(ctx, quick)
	time.Sleep(time.Second)
	d.down(t)
	time.Sleep(*outage / 2)
	enough(t)
	before, err := strconv.Atoi(<-first)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // without eBPF, what was seen a moment ago is in the process only
	if err := col.Kill(); err != nil {
		t.Fatal(err)
	}
	col = d.collector(t, cfg, text, 1)
	second, enough := d.touches(ctx, quick)
	time.Sleep(*outage / 2)
	d.up(t, nil)
	healed := time.Now()
	enough(t)
	n, err := strconv.Atoi(<-second)
	if err != nil {
		t.Fatal(err)
	}
	n += before
	took := d.wait(ctx, t, n, func(took backend.Took) bool { return len(opens(took)) >= n && len(took.Spans) >= n })
	after := time.Since(healed)
	usage, err := col.Usage()
	if err != nil {
		t.Fatal(err)
	}
	if err := col.Stop(); err != nil {
		t.Fatal(err)
	}
	d.check(t, n, took)
	d.row(trouble{name: "receiver: exporter away, queue of 10, killed meanwhile", lasts: *outage}, n, took, after, int(usage.RSSKiB))
	d.back.Forget()
}

// collector starts the Collector and waits until so many tokens are watched.
func (d *delivery) collector(t *testing.T, cfg collectorproc.Config, text string, armed int) *collectorproc.Collector {
	t.Helper()
	col, err := collectorproc.Start(t.Context(), cfg, text)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = col.Kill() }) // has ended as a rule
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err = col.WaitMetrics(ctx, "the receiver to be connected", func(m collectorMetrics) bool {
		on, known := m.Sum(metricConnected)
		n, _ := m.Sum(metricPlaces, "state", "armed")
		return known && on == 1 && int(n) >= armed
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, col.Tail())
	}
	return col
}
