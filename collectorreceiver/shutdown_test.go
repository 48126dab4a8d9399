//go:build linux

package collectorreceiver

import (
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/beesting-otel/beesting/collectorreceiver/internal/metadata"
	"github.com/beesting-otel/beesting/internal/agent"
)

// The time for delivery at the end is for all components of a receiver together:
// a pipeline that refuses must not hold up a Collector once for each signal.
func TestShutdownTakesItsTimeOnce(t *testing.T) {
	const timeout = time.Second
	h := newTestHost(t)
	cfg := h.config()
	cfg.ShutdownTimeout = timeout
	p := &pipelines{err: errRefused}
	c := h.mustLoad(p, cfg)
	h.touch(10)
	eventually(t, "attempts", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.calls > 0 })
	begin := time.Now()
	c.shutdown()
	if took := time.Since(begin); took < timeout || took > 2*timeout {
		t.Errorf("shut down in %v, want a little more than %v", took, timeout)
	}
	// One that leaves later has that time for itself.
	c = h.mustLoad(p, cfg, signalLogs, signalTraces)
	c.shutdown(signalTraces)
	time.Sleep(together + timeout/4)
	p.refuse(nil)
	c.shutdown(signalLogs)
	p.want(t, 1, 10, signalLogs)
	if h.parked.out.Stats().Spans.Queued != 10 {
		t.Errorf("spans %+v, want 10 kept for a successor", h.parked.out.Stats().Spans)
	}
}

// What was touched before is delivered in Shutdown, by each signal, in
// whatever order they end; metrics count it.
func TestShutdownInAnyOrder(t *testing.T) {
	for _, order := range [][]string{
		{signalLogs, signalTraces, signalMetrics}, {signalMetrics, signalTraces, signalLogs}, {signalTraces, signalLogs, signalMetrics},
	} {
		h := newTestHost(t)
		p := &pipelines{}
		c := h.mustLoad(p, h.config())
		n := h.touch(300)
		c.shutdown(order[0])
		points := len(p.points)
		c.shutdown(order[1])
		c.shutdown(order[2])
		p.want(t, 1, n, signalLogs, signalTraces)
		if len(p.points) == 0 || (order[0] == signalMetrics && points == 0) {
			t.Errorf("ended in the order %v: no last metrics", order)
		}
	}
}

// As long as something is delivered at the end, the agent is there: containers
// that are created meanwhile get their tokens, and touches are seen.
func TestShutdownEndsTheAgentLast(t *testing.T) {
	h := newTestHost(t)
	cfg := h.config()
	cfg.ShutdownTimeout = 20 * time.Second
	p := &pipelines{err: errRefused}
	c := h.mustLoad(p, cfg, signalLogs)
	h.touch(10)
	out := h.nodes[c.components[0].(*member).group.id].engine.out
	eventually(t, "accesses", func() bool { return out.Stats().Logs.Offered == 10 })
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.shutdown()
	}()
	time.Sleep(50 * time.Millisecond) // into the Shutdown
	h.touch(10)
	eventually(t, "accesses of the meantime", func() bool { return out.Stats().Logs.Offered == 20 })
	select {
	case <-done:
		t.Error("the pipeline refuses and Shutdown doesn't wait")
	default:
	}
	p.refuse(nil)
	<-done
	p.want(t, 1, 20, signalLogs)
}

// A pipeline that refuses has no part of the time of one that accepts.
func TestShutdownWhileOneRefuses(t *testing.T) {
	h := newTestHost(t)
	cfg := h.config()
	cfg.ShutdownTimeout = 500 * time.Millisecond
	bad, good := &pipelines{err: errRefused}, &pipelines{}
	f := newFactory(h.host)
	set := receivertest.NewNopSettings(metadata.Type)
	logs, err := create(t.Context(), f, set, cfg, good, signalLogs)
	if err != nil {
		t.Fatal(err)
	}
	traces, err := create(t.Context(), f, set, cfg, bad, signalTraces)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []component.Component{logs, traces} {
		if err := c.Start(t.Context(), &statuses{}); err != nil {
			t.Fatal(err)
		}
	}
	n := h.touch(10)
	if err := traces.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	n += h.touch(300)
	if err := logs.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	good.want(t, 1, n, signalLogs)
}

// The end of all members, soon after one of them was made again, has its own time.
func TestShutdownSoonAfterAReload(t *testing.T) {
	h := newTestHost(t)
	config := func() *Config {
		cfg := h.config()
		cfg.ShutdownTimeout = time.Second
		return cfg
	}
	p := &pipelines{}
	c := h.mustLoad(p, config(), signalLogs, signalTraces)
	c.shutdown(signalTraces)
	again := h.mustLoad(p, config(), signalTraces)
	time.Sleep(1500 * time.Millisecond)
	n := h.touch(300)
	c.shutdown(signalLogs)
	again.shutdown()
	if logs, traces := p.counts(); logs != n || traces != n {
		t.Errorf("%d logs and %d traces of %d", logs, traces, n)
	}
}

// A token that is opened in a loop ends neither a Collector that reloads nor the
// sensor.
func TestShutdownUnderAFlood(t *testing.T) {
	h := newTestHost(t)
	h.drain = 20 * time.Millisecond
	p := &pipelines{}
	cfg := h.config()
	cfg.ShutdownTimeout = 100 * time.Millisecond
	open := h.open
	h.open = func(o agent.SensorOptions) (agent.Sensor, []agent.ModeAttempt, error) {
		s, refused, err := open(o)
		h.sensors[0].Flood(true) // from the first read on
		return s, refused, err
	}
	c := h.mustLoad(p, cfg, signalLogs)
	eventually(t, "accesses", func() bool { logs, _ := p.counts(); return logs > 0 })
	c.shutdown()
	n := h.sensors[0].Flood(false)
	c = h.mustLoad(p, h.config(), signalLogs)
	h.sensors[0].Touch(1, n+1)
	p.want(t, 1, n+1, signalLogs)
	c.shutdown()
	if len(h.sensors) != 1 {
		t.Errorf("attached %d times", len(h.sensors))
	}
}

// A component that is shut down without having been started, after another of
// its group was, gives its pipeline nothing any more.
func TestShutdownWithoutStart(t *testing.T) {
	h := newTestHost(t)
	f, cfg, p := newFactory(h.host), h.config(), &pipelines{}
	set := receivertest.NewNopSettings(metadata.Type)
	logs, err := create(t.Context(), f, set, cfg, p, signalLogs)
	if err != nil {
		t.Fatal(err)
	}
	traces, err := create(t.Context(), f, set, cfg, p, signalTraces)
	if err != nil {
		t.Fatal(err)
	}
	if err := traces.Start(t.Context(), &statuses{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := logs.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
	n := h.touch(3)
	p.want(t, 1, n, signalTraces)
	if got, _ := p.counts(); got != 0 {
		t.Errorf("%d records went to a pipeline whose receiver is shut down", got)
	}
	if err := traces.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
