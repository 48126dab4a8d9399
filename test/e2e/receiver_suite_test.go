//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/test/collector"
	"github.com/beesting-otel/beesting/test/runtime/collectorproc"
)

// The Collector's own metrics of the receiver (collectorreceiver/metadata.yaml).
const (
	metricDeferred  = "otelcol_honeytoken_accesses_deferred"
	metricDropped   = "otelcol_honeytoken_accesses_dropped"
	metricQueued    = "otelcol_honeytoken_accesses_queued"
	metricLost      = "otelcol_honeytoken_events_lost"
	metricBlind     = "otelcol_honeytoken_nri_blind_time"
	metricConnected = "otelcol_honeytoken_nri_connected"
	metricLacking   = "otelcol_honeytoken_containers_lacking"
	metricPlaces    = "otelcol_honeytoken_placements"
)

// setting is what a scenario varies of the Collector's configuration.
type setting struct {
	queue     int
	inMemory  bool     // no journal: the queue has what waits
	args      string   // command_args
	more      string   // further tokens, in YAML
	pipelines []string // that the receiver is in
}

func usual() setting {
	return setting{queue: 16384, args: "full", pipelines: []string{"logs", "traces", "metrics"}}
}

// receiverSuite is one containerd, the Collector of builder-config.yaml with the
// receiver in it, and behind that a second Collector that can refuse.
type receiverSuite struct {
	suite  // node and pods; there is no agent
	config collectorproc.Config
	col    *collectorproc.Collector
	back   *collector.Collector

	spare string // address of the Collector's other receiver

	watched int // tokens in running containers

	mu    sync.Mutex
	made  int // numbered touches so far
	turns turns

	// What arrived, by signal, and how much of that is accounted for.
	arrived map[string][]arrival
	taken   map[string]int
	// looked is how much has come, repeats included, of which there were again.
	looked map[string]int
	ids    map[string]bool
	again  int
	// crashes is how often the Collector was ended without a chance to write down
	// what was delivered.
	crashes int
}

// shutdownTimeout is how long the receiver may go on delivering at its end.
const shutdownTimeout = 8 * time.Second

// receiverConfiguration has nothing in it that keeps or repeats telemetry but
// the receiver: what the second Collector answers is what the receiver is told.
const receiverConfiguration = `
extensions:
  health_check: {endpoint: "127.0.0.1:0"}
receivers:
  honeytoken:
    node_name: node-1
    state_dir: %q
    nri: {socket: %q}
    sensor: {mode: %s, repeat_interval: %s}
    command_args: %s
    %s
    metrics_interval: 5s
    shutdown_timeout: %s
%s
  # Keeps a pipeline alive that the honeytoken receiver is taken out of.
  otlp: {protocols: {http: {endpoint: %q}}}
exporters:
  otlp_http:
    endpoint: %q
    compression: none
    # This exporter of 0.165 has no Shutdown: the connections of one that a reload
    # retires stay for this long, 90 s by default. See noMore.
    keepalive: {idle_conn_timeout: 1s}
    sending_queue: {enabled: false}
    retry_on_failure: {enabled: false}
service:
  extensions: [health_check]
  telemetry:
    logs: {level: info, disable_stacktrace: true, sampling: {enabled: false}}
    metrics:
      readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %s, without_units: true, without_type_suffix: true}}}}]
  pipelines:
`

// receiverTokens are the agent's tokens with the receiver's keys.
func receiverTokens(more string) string {
	text := strings.ReplaceAll(tokens, "labelSelector:", "label_selector:")
	text = strings.ReplaceAll(text, "matchExpressions:", "match_expressions:")
	return strings.ReplaceAll(text, "match:\n", more+"match:\n")
}

// indented moves YAML to where the keys of a receiver are.
func indented(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString("    " + line)
	}
	return out.String()
}

func (s *receiverSuite) configuration(v setting) string {
	bounds := fmt.Sprintf("queue_size: %d", v.queue)
	if v.inMemory {
		bounds += "\n    journal: {max_bytes: 0}"
	}
	_, port, _ := net.SplitHostPort(s.config.MetricsAddress)
	text := fmt.Sprintf(receiverConfiguration,
		filepath.Join(s.node.Dir(), "state"), s.node.NRISocket(), *attachMode, repeatInterval, v.args, bounds, shutdownTimeout,
		indented(receiverTokens(v.more)), s.spare, "http://"+s.back.HTTP, port)
	for _, signal := range []string{"logs", "traces", "metrics"} {
		receivers := "otlp"
		for _, in := range v.pipelines {
			if in == signal {
				receivers = "honeytoken, otlp"
			}
		}
		text += fmt.Sprintf("    %s: {receivers: [%s], exporters: [otlp_http]}\n", signal, receivers)
	}
	return text
}

func newReceiverSuite(t *testing.T) *receiverSuite {
	t.Helper()
	begin := time.Now()
	binary := need(t, "receiver", receiverExe)
	s := &receiverSuite{
		suite:   suite{node: startNode(t)},
		arrived: map[string][]arrival{}, taken: map[string]int{}, looked: map[string]int{}, ids: map[string]bool{},
	}
	var log bytes.Buffer
	var err error
	s.back, err = collector.Start(t.Context(), collector.Config{Binary: need(t, "collector", collectorExe), Log: &log})
	if err != nil {
		t.Fatalf("%v\n%s", err, log.Bytes())
	}
	t.Cleanup(func() {
		if err := s.back.Stop(); err != nil {
			t.Errorf("%v\n%s", err, log.Bytes())
		}
	})
	t.Cleanup(func() {
		if err := s.turns.end(); err != nil {
			t.Error(err)
		}
	})
	s.spare = freeAddress(t)
	s.config = collectorproc.Config{
		Binary: binary, Dir: filepath.Join(s.node.Dir(), "collector"), MetricsAddress: freeAddress(t),
	}
	s.start(t, usual())
	t.Cleanup(func() { _ = s.col.Kill() })
	t.Logf("the receiver is connected after %.1f s", time.Since(begin).Seconds())
	return s
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

// start starts the Collector and waits until the runtime has accepted the
// receiver's plugin.
func (s *receiverSuite) start(t *testing.T, v setting, args ...string) {
	t.Helper()
	cfg := s.config
	cfg.Args = args
	begin := time.Now()
	col, err := collectorproc.Start(t.Context(), cfg, s.configuration(v))
	if err != nil {
		t.Fatal(err)
	}
	s.col = col
	s.connected(t)
	t.Logf("the Collector is up after %.1f s", time.Since(begin).Seconds())
}

// connected waits until the runtime has accepted the receiver's plugin and the
// tokens of all containers that were started with the receiver there are
// watched. Those that a reload has added they can't get any more, so what is
// wanted may be more than that.
func (s *receiverSuite) connected(t *testing.T) collectorMetrics {
	t.Helper()
	return s.waitMetrics(t, fmt.Sprintf("the receiver to be connected and %d tokens to be watched", s.watched), func(m collectorMetrics) bool {
		on, known := m.Sum(metricConnected)
		armed, _ := m.Sum(metricPlaces, "state", "armed")
		return known && on == 1 && int(armed) >= s.watched
	})
}

// runForever runs a pod as [suite.runForever] does, and counts its tokens.
func (s *receiverSuite) runForever(t *testing.T, p pod) *box {
	t.Helper()
	b := s.suite.runForever(t, p)
	if s.col.Running() {
		s.watched += tokenCount
	}
	return b
}

func (s *receiverSuite) startFence(t *testing.T) {
	t.Helper()
	s.suite.startFence(t)
	s.watched += tokenCount
}

func (s *receiverSuite) waitMetrics(t *testing.T, what string, ok func(collectorMetrics) bool) collectorMetrics {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m, err := s.col.WaitMetrics(ctx, what, ok)
	if err != nil {
		tail, at := s.col.Tail(), s.col.Len()
		if len(m) == 0 { // it does not even answer: what is it doing?
			_, _ = s.col.Dump(context.WithoutCancel(t.Context()))
			tail = s.col.From(at)
		}
		t.Fatalf("%v\n%s", err, tail)
	}
	return m
}

// blindTime is for how long the plugin was away from the runtime, in seconds.
func blindTime(t *testing.T, m collectorMetrics) float64 {
	t.Helper()
	v, ok := m.Sum(metricBlind)
	if !ok {
		t.Errorf("no metric %s among %v", metricBlind, m.With("otelcol_honeytoken"))
	}
	return v
}

// stop ends the Collector as a service manager does: exit code 0.
func (s *receiverSuite) stop(t *testing.T) {
	t.Helper()
	defer timed(t, "the Collector's end")()
	if err := s.col.Stop(); err != nil {
		t.Fatal(err)
	}
}

// reload changes the configuration and has the Collector read it, which must
// come to what is wanted; any kind will do if that is empty.
func (s *receiverSuite) reload(t *testing.T, v setting, want collectorproc.Kind) collectorMetrics {
	t.Helper()
	if err := s.col.Configure(s.configuration(v)); err != nil {
		t.Fatal(err)
	}
	kind, took, err := s.col.Reload(t.Context())
	if err != nil || (want != "" && kind != want) {
		t.Fatalf("reload: %q, %v, want a %s one\n%s", kind, err, want, s.col.Tail())
	}
	m := s.connected(t)
	t.Logf("%s reload in %.2f s", kind, took.Seconds())
	return m
}
