//go:build linux

package collectorreceiver

import (
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/beesting-otel/beesting/collectorreceiver/internal/metadata"
	"github.com/beesting-otel/beesting/internal/agent"
)

// A Collector that reloads shuts down and makes anew, with new factories. What
// is touched meanwhile is delivered then, and nothing twice.
func TestReload(t *testing.T) {
	h := newTestHost(t)
	p := &pipelines{}
	for range 5 {
		c := h.mustLoad(p, h.config())
		h.touch(20)
		c.shutdown()
		h.touch(20)
	}
	c := h.mustLoad(p, h.config())
	p.want(t, 1, h.touched, signalLogs, signalTraces)
	c.shutdown()
	if len(h.sensors) != 1 {
		t.Errorf("attached %d times", len(h.sensors))
	}
	if n := h.parked.out.Stats().Logs; n.Delivered != uint64(h.touched) || n.Offered != n.Delivered {
		t.Errorf("counts %+v", n)
	}
}

// A factory can make components for a configuration again, once the ones before
// are shut down.
func TestSameFactoryAgain(t *testing.T) {
	h := newTestHost(t)
	f, cfg, p := newFactory(h.host), h.config(), &pipelines{}
	for range 3 {
		set := receivertest.NewNopSettings(metadata.Type)
		var all []component.Component
		for _, signal := range []string{signalLogs, signalTraces} {
			c, err := create(t.Context(), f, set, cfg, p, signal)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, c)
		}
		for _, c := range all {
			if err := c.Start(t.Context(), componenttest.NewNopHost()); err != nil {
				t.Fatal(err)
			}
		}
		h.touch(5)
		for _, c := range all {
			if err := c.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
	p.want(t, 1, h.touched, signalLogs)
}

// Tokens, policy and arguments can change, and the sensor stays.
func TestReloadWithOtherPolicy(t *testing.T) {
	h := newTestHost(t)
	p := &pipelines{}
	c := h.mustLoad(p, h.config())
	c.shutdown()
	h.touch(3)
	cfg := h.config()
	cfg.CommandArgs = "full"
	cfg.Tokens[0].Name = "other"
	cfg.NodeName = "node-2"
	c = h.mustLoad(p, cfg)
	p.want(t, 1, 3, signalLogs)
	c.shutdown()
	if len(h.sensors) != 1 {
		t.Errorf("attached %d times", len(h.sensors))
	}
}

// Other settings of the sensor take another sensor; the old one is detached.
func TestReloadWithOtherSensor(t *testing.T) {
	h := newTestHost(t)
	p := &pipelines{}
	h.mustLoad(p, h.config()).shutdown()
	cfg := h.config()
	cfg.Sensor.MaxWatches = 7
	c := h.mustLoad(p, cfg)
	select {
	case <-h.sensors[0].Closed():
	default:
		t.Error("the old sensor is attached")
	}
	p.want(t, 1, h.touch(3), signalLogs)
	c.shutdown()
}

// What is pinned goes on under another sensor, but not in another place.
func TestReloadPinned(t *testing.T) {
	h := newTestHost(t)
	h.pin = "/sys/fs/bpf/one"
	p := &pipelines{}
	cfg := h.config()
	cfg.Sensor.Pin = h.pin
	cfg.Sensor.Tier = "recon"
	h.mustLoad(p, cfg).shutdown()
	if got, want := h.options[0], (agent.SensorOptions{
		Mode: "auto", Tier: "recon", Pin: h.pin, RingBytes: 32 << 20, MaxWatches: 16384, RepeatInterval: time.Second,
	}); got != want {
		t.Errorf("opened with %+v, want %+v", got, want)
	}
	cfg = h.config()
	cfg.Sensor.Pin, cfg.Sensor.OpenTimeout = h.pin, time.Hour
	h.mustLoad(p, cfg).shutdown()
	if len(h.options) != 2 || h.options[1].Pin != h.pin || len(h.uninstalled) > 0 {
		t.Errorf("opened with %+v, uninstalled %v", h.options, h.uninstalled)
	}
	cfg = h.config()
	cfg.Sensor.Pin, h.pin = "", ""
	h.mustLoad(p, cfg).shutdown()
	if len(h.options) != 3 || h.options[2].Pin != "" || !slices.Equal(h.uninstalled, []string{"/sys/fs/bpf/one"}) {
		t.Errorf("opened with %+v, uninstalled %v", h.options, h.uninstalled)
	}
}

// What a pipeline refused until the reload goes to the one after it.
func TestReloadKeepsWhatIsQueued(t *testing.T) {
	h := newTestHost(t)
	cfg := h.config()
	cfg.ShutdownTimeout = 10 * time.Millisecond
	refusing := &pipelines{err: errRefused}
	c := h.mustLoad(refusing, cfg)
	h.touch(100)
	eventually(t, "attempts", func() bool { refusing.mu.Lock(); defer refusing.mu.Unlock(); return refusing.calls > 0 })
	c.shutdown()
	refusing.mu.Lock()
	calls := refusing.calls
	refusing.mu.Unlock()
	h.touch(100)
	p := &pipelines{}
	c = h.mustLoad(p, h.config())
	p.want(t, 1, 200, signalLogs, signalTraces)
	c.shutdown()
	refusing.mu.Lock()
	defer refusing.mu.Unlock()
	if refusing.calls != calls {
		t.Error("the old pipeline was called after Shutdown")
	}
}

// A queue is made larger when the back end is away: what is in it stays.
func TestReloadWithALargerQueue(t *testing.T) {
	h := newTestHost(t)
	cfg := h.config()
	cfg.QueueSize, cfg.ShutdownTimeout = 200, time.Millisecond
	c := h.mustLoad(&pipelines{err: errRefused}, cfg, signalLogs)
	h.touch(100)
	out := h.nodes[c.components[0].(*member).group.id].engine.out
	eventually(t, "accesses", func() bool { return out.Stats().Logs.Queued == 100 })
	c.shutdown()
	cfg = h.config()
	cfg.QueueSize = 400
	cfg.Sensor.MaxWatches = 7 // and another sensor
	h.touch(50)               // which the old one has in its ring
	p := &pipelines{}
	c = h.mustLoad(p, cfg, signalLogs)
	p.want(t, 1, 150, signalLogs)
	c.shutdown()
	if len(h.sensors) != 2 {
		t.Errorf("attached %d times, want 2", len(h.sensors))
	}
}

// A failed start leaves what was there before for the next one.
func TestReloadFails(t *testing.T) {
	h := newTestHost(t)
	p := &pipelines{}
	h.mustLoad(p, h.config()).shutdown()
	h.touch(3)
	for name, damage := range map[string]func(*Config){
		"token's file": func(c *Config) { c.Tokens[0].Content, c.Tokens[0].ContentFile = nil, "/nonexistent/token" },
		"plugin name":  func(c *Config) { c.NRI.PluginName = "a_b" },
	} {
		cfg := h.config()
		damage(cfg)
		if c, err := h.load(p, cfg); err == nil {
			t.Errorf("%s: started", name)
		} else {
			c.shutdown()
		}
	}
	c := h.mustLoad(p, h.config())
	p.want(t, 1, 3, signalLogs)
	c.shutdown()
	if len(h.sensors) != 1 {
		t.Errorf("attached %d times", len(h.sensors))
	}
}

// A change of one pipeline's receivers re-creates the component of its signal
// alone, with a configuration and a factory of its own; the others go on.
func TestOneSignalReloads(t *testing.T) {
	h := newTestHost(t)
	p := &pipelines{}
	c := h.mustLoad(p, h.config(), signalLogs, signalTraces)
	h.touch(20)
	c.shutdown(signalTraces)
	h.touch(20)
	p.want(t, 1, 40, signalLogs) // at once
	again := h.mustLoad(p, h.config(), signalTraces)
	h.touch(20)
	p.want(t, 1, 60, signalLogs, signalTraces)
	c.shutdown(signalLogs)
	h.touch(20)
	p.want(t, 1, 80, signalTraces)
	again.shutdown()
	if h.parked == nil {
		t.Error("the sensor is not kept")
	}
	last := h.mustLoad(p, h.config(), signalLogs, signalTraces)
	h.touch(1)
	p.want(t, 1, 81, signalLogs, signalTraces)
	last.shutdown()
}

// A signal that no pipeline takes any more is given up after a while, counted.
func TestSignalForgotten(t *testing.T) {
	h := newTestHost(t)
	h.linger = 50 * time.Millisecond
	p := &pipelines{}
	c := h.mustLoad(p, h.config(), signalLogs, signalTraces)
	c.shutdown(signalTraces)
	n := h.touch(20)
	p.want(t, 1, n, signalLogs)
	out := h.nodes[c.components[0].(*member).group.id].engine.out
	eventually(t, "the end", func() bool { return out.Stats().Spans.Queued == 0 })
	h.touch(5)
	p.want(t, 1, n+5, signalLogs)
	if s := out.Stats().Spans; s.Dropped["shutdown"] != uint64(n) || s.Offered != uint64(n) {
		t.Errorf("spans %+v, want %d given up and no more offered", s, n)
	}
	c.shutdown()
}

// A reload that takes the receiver out of all pipelines of a signal ends it at
// once: it must not go on queueing until it is full.
func TestReloadWithoutASignal(t *testing.T) {
	h := newTestHost(t)
	cfg := h.config()
	cfg.ShutdownTimeout = time.Millisecond
	c := h.mustLoad(&pipelines{err: errRefused}, cfg, signalLogs, signalTraces)
	n := h.touch(10)
	out := h.nodes[c.components[0].(*member).group.id].engine.out
	eventually(t, "accesses", func() bool { return out.Stats().Spans.Queued == uint64(n) })
	c.shutdown()
	p := &pipelines{}
	c = h.mustLoad(p, h.config(), signalLogs)
	n += h.touch(10)
	p.want(t, 1, n, signalLogs)
	c.shutdown()
	if s := out.Stats().Spans; s.Offered != 10 || s.Dropped["shutdown"] != 10 || s.Queued != 0 {
		t.Errorf("spans %+v, want 10 given up and no more offered", s)
	}
}

// Start of a component whose siblings are shut down is refused, whoever runs now.
func TestStartAfterTheOthersEnd(t *testing.T) {
	h := newTestHost(t)
	f, cfg, p := newFactory(h.host), h.config(), &pipelines{}
	set := receivertest.NewNopSettings(metadata.Type)
	set.ID = component.MustNewID("honeytoken")
	logs, err := create(t.Context(), f, set, cfg, p, signalLogs)
	if err != nil {
		t.Fatal(err)
	}
	traces, err := create(t.Context(), f, set, cfg, p, signalTraces)
	if err != nil {
		t.Fatal(err)
	}
	if err := logs.Start(t.Context(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	if err := logs.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := h.mustLoad(p, h.config())
	if err := traces.Start(t.Context(), componenttest.NewNopHost()); err == nil {
		t.Error("started")
	}
	if err := traces.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	p.want(t, 1, h.touch(3), signalLogs, signalTraces)
	next.shutdown()
}

// Without a successor nothing stays attached.
func TestNoSuccessor(t *testing.T) {
	h := newTestHost(t)
	h.linger = 10 * time.Millisecond
	cfg := h.config()
	cfg.ShutdownTimeout = time.Millisecond
	p := &pipelines{err: errRefused}
	c := h.mustLoad(p, cfg)
	h.touch(5)
	c.shutdown()
	select {
	case <-h.sensors[0].Closed():
	case <-time.After(20 * time.Second):
		t.Fatal("the sensor is still attached")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.parked != nil {
		t.Error("something is kept")
	}
}
