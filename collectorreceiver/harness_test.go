//go:build linux

package collectorreceiver

import (
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/beesting-otel/beesting/collectorreceiver/internal/metadata"
	"github.com/beesting-otel/beesting/internal/agent"
	"github.com/beesting-otel/beesting/internal/agent/sensortest"
	"github.com/beesting-otel/beesting/internal/config"
)

// testHost is a process without the kernel side and without a container runtime:
// the tests say what is touched. State directory, agent, queue and encoder are
// the real ones. test/e2e has the rest.
type testHost struct {
	*host
	t       *testing.T
	dir     string
	sensors []*sensortest.Fake
	refuse  error // of the next attach
	touched int
	again   int // touches that are only counted
	// pin is where preflight says that programs can stay; options are those that
	// sensors were opened with.
	pin         string
	uninstalled []string
	options     []agent.SensorOptions
}

func newTestHost(t *testing.T) *testHost {
	t.Helper()
	dir, err := os.MkdirTemp("", "receiver-") // short, for the socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := &testHost{host: newHost(), t: t, dir: dir}
	h.comes = 10 * time.Millisecond
	h.preflight = func(config.Config) (found, error) { return found{pin: h.pin}, nil }
	h.uninstall = func(pin string) error {
		h.uninstalled = append(h.uninstalled, pin)
		return nil
	}
	h.env = config.Environment{
		LookupEnv: func(string) (string, bool) { return "", false },
		Hostname:  func() (string, error) { return "node-1", nil },
	}
	h.open = func(o agent.SensorOptions) (agent.Sensor, []agent.ModeAttempt, error) {
		h.options = append(h.options, o)
		if h.refuse != nil {
			return nil, nil, h.refuse
		}
		s := sensortest.New()
		s.Stays = o.Pin != ""
		h.sensors = append(h.sensors, s)
		return s, nil, nil
	}
	// A socket that nobody listens at any more.
	l, err := net.Listen("unix", h.socket())
	if err != nil {
		t.Fatal(err)
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.end)
	return h
}

// end does what the end of the process would.
func (h *testHost) end() {
	h.mu.Lock()
	parked := h.parked
	h.mu.Unlock()
	if parked != nil {
		h.expire(parked)
	}
	for _, s := range h.sensors {
		select {
		case <-s.Closed():
		default:
			h.t.Error("a sensor was left attached")
		}
	}
}

func (h *testHost) socket() string { return filepath.Join(h.dir, "nri.sock") }

func (h *testHost) config() *Config {
	c, _ := createDefaultConfig().(*Config)
	content := configopaque.String("secret")
	c.Tokens = []TokenConfig{{Name: "aws", Path: "/root/.aws/credentials", Content: &content}}
	c.Match = &MatchConfig{}
	c.StateDir = filepath.Join(h.dir, "state")
	c.NRI.Socket = h.socket()
	c.MetricsInterval = time.Hour
	c.Journal.MaxBytes = 0 // most tests are of what there is without one
	return c
}

// touch has the kernel side see so many accesses and returns their number.
func (h *testHost) touch(n int) int {
	s := h.sensors[len(h.sensors)-1]
	for range n {
		h.touched++
		s.Touch(1, h.touched)
	}
	return n
}

// collector is a Collector with the receiver in up to three pipelines.
type collector struct {
	t          *testing.T
	components []component.Component
	names      []string
	*pipelines
	statuses statuses
}

// load makes and starts the components as a Collector does, with a factory and a
// configuration of their own.
func (h *testHost) load(p *pipelines, cfg *Config, signals ...string) (*collector, error) {
	h.t.Helper()
	if len(signals) == 0 {
		signals = []string{signalLogs, signalTraces, signalMetrics}
	}
	c := &collector{t: h.t, pipelines: p, names: signals}
	f := newFactory(h.host)
	set := receivertest.NewNopSettings(metadata.Type)
	set.ID = component.MustNewID("honeytoken")
	for _, signal := range signals {
		comp, err := create(h.t.Context(), f, set, cfg, p, signal)
		if err != nil {
			h.t.Fatal(err)
		}
		c.components = append(c.components, comp)
	}
	for _, comp := range c.components {
		if err := comp.Start(h.t.Context(), &c.statuses); err != nil {
			return c, err
		}
	}
	return c, nil
}

func create(ctx context.Context, f receiver.Factory, set receiver.Settings, cfg *Config, p *pipelines, signal string) (component.Component, error) {
	switch signal {
	case signalLogs:
		return f.CreateLogs(ctx, set, cfg, p)
	case signalTraces:
		return f.CreateTraces(ctx, set, cfg, p)
	default:
		return f.CreateMetrics(ctx, set, cfg, p)
	}
}

func (h *testHost) mustLoad(p *pipelines, cfg *Config, signals ...string) *collector {
	h.t.Helper()
	c, err := h.load(p, cfg, signals...)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// shutdown shuts down the components of these signals, of all if none is named.
func (c *collector) shutdown(signals ...string) {
	c.t.Helper()
	for i, comp := range c.components {
		if len(signals) > 0 && !slices.Contains(signals, c.names[i]) {
			continue
		}
		if err := comp.Shutdown(context.Background()); err != nil {
			c.t.Errorf("shutdown: %v", err)
		}
	}
}

// pipelines keep what they are given, by the last argument of the command that
// made the access: the number of the touch.
type pipelines struct {
	respect bool // the context, with metrics

	mu     sync.Mutex
	err    error
	calls  int
	logs   []string
	places []map[string]any // the resources of logs
	stands []int            // for so many touches each
	gaps   map[string]int   // touches that are missing, by cause
	traces []string
	points []pmetric.Metrics
}

func (p *pipelines) refuse(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// Capabilities implements the consumers.
func (*pipelines) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

// ConsumeLogs implements consumer.Logs.
func (p *pipelines) ConsumeLogs(_ context.Context, ld plog.Logs) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	if p.err != nil {
		return p.err
	}
	for _, rl := range ld.ResourceLogs().All() {
		for _, r := range rl.ScopeLogs().At(0).LogRecords().All() {
			if cause, ok := r.Attributes().Get("honeytoken.loss.cause"); ok {
				n, _ := r.Attributes().Get("honeytoken.gap.count")
				p.missed(cause.Str(), int(n.Int()))
				continue
			}
			v, _ := r.Attributes().Get("process.command_args")
			p.places = append(p.places, rl.Resource().Attributes().AsRaw())
			p.logs = append(p.logs, v.Slice().At(v.Slice().Len()-1).Str())
			n, _ := r.Attributes().Get("honeytoken.access.count")
			p.stands = append(p.stands, int(n.Int()))
		}
	}
	return nil
}

func (p *pipelines) missed(cause string, n int) {
	if p.gaps == nil {
		p.gaps = map[string]int{}
	}
	p.gaps[cause] += n
}

// causes is what the gaps tell.
func (p *pipelines) causes() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.gaps)
}

func (p *pipelines) missing() (total int) {
	for _, n := range p.causes() {
		total += n
	}
	return total
}

// ConsumeTraces implements consumer.Traces.
func (p *pipelines) ConsumeTraces(_ context.Context, td ptrace.Traces) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	for _, rs := range td.ResourceSpans().All() {
		for _, s := range rs.ScopeSpans().At(0).Spans().All() {
			v, _ := s.Attributes().Get("process.pid")
			p.traces = append(p.traces, v.AsString())
		}
	}
	return nil
}

// ConsumeMetrics implements consumer.Metrics.
func (p *pipelines) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.respect && ctx.Err() != nil {
		return ctx.Err()
	}
	if p.err != nil {
		return p.err
	}
	p.points = append(p.points, md)
	return nil
}

func (p *pipelines) counts() (logs, traces int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.logs), len(p.traces)
}

// want waits for the touches from..to on these signals and checks that they came
// in order, once, and nothing else.
func (p *pipelines) want(t *testing.T, from, to int, signals ...string) {
	t.Helper()
	var want []string
	for i := from; i <= to; i++ {
		want = append(want, itoa(i))
	}
	for _, signal := range signals {
		got := func() []string {
			p.mu.Lock()
			defer p.mu.Unlock()
			if signal == signalLogs {
				return slices.Clone(p.logs)
			}
			return slices.Clone(p.traces)
		}
		eventually(t, signal, func() bool { return len(got()) >= len(want) })
		if g := got(); !slices.Equal(g, want) {
			t.Errorf("%s: %v, want %d to %d", signal, g, from, to)
		}
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for begin := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// statuses is a component.Host that keeps what is reported.
type statuses struct {
	mu  sync.Mutex
	got []componentstatus.Status
	err []error
}

// GetExtensions implements component.Host.
func (*statuses) GetExtensions() map[component.ID]component.Component {
	return componenttest.NewNopHost().GetExtensions()
}

// Report implements componentstatus.Reporter.
func (s *statuses) Report(e *componentstatus.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, e.Status())
	s.err = append(s.err, e.Err())
}

// has reports whether such a status came, with a text in its error.
func (s *statuses) has(want componentstatus.Status, text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, got := range s.got {
		if got == want && (text == "" || s.err[i] != nil && strings.Contains(s.err[i].Error(), text)) {
			return true
		}
	}
	return false
}

var errRefused = errors.New("memory is short")
