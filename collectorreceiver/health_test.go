//go:build linux

package collectorreceiver

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/beesting-otel/beesting/collectorreceiver/internal/metadata"
	"github.com/beesting-otel/beesting/exporter"
)

// reporter is a component.Host with the Collector's way to report: a mutex that is
// held while a fatal status waits to be taken up.
type reporter struct {
	mu    sync.Mutex
	fatal chan error
}

// GetExtensions implements component.Host.
func (*reporter) GetExtensions() map[component.ID]component.Component {
	return componenttest.NewNopHost().GetExtensions()
}

// Report implements componentstatus.Reporter.
func (r *reporter) Report(e *componentstatus.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Status() == componentstatus.StatusFatalError {
		r.fatal <- e.Err()
	}
}

// own is what the Collector reports of a component that it starts or ends.
func (r *reporter) own(t *testing.T) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.mu.Lock()
		defer r.mu.Unlock() // waiting for it is all
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the Collector can't report: a fatal status waits for it")
	}
}

// A sensor that breaks while the Collector starts its components, and while it ends
// them, must not make it wait for itself.
func TestFatalStatusWhileTheCollectorIsBusy(t *testing.T) {
	for _, when := range []string{"start", "end", "run"} {
		t.Run(when, func(t *testing.T) {
			h := newTestHost(t)
			h.comes = 300 * time.Millisecond
			r := &reporter{fatal: make(chan error)}
			f, cfg, p := newFactory(h.host), h.config(), &pipelines{}
			set := receivertest.NewNopSettings(metadata.Type)
			var all []component.Component
			for _, signal := range []string{signalLogs, signalTraces, signalMetrics} {
				c, err := create(t.Context(), f, set, cfg, p, signal)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, c)
			}
			node := func() *node { return h.nodes[set.ID] }
			fail := func() {
				n := node()
				h.sensors[0].Errs <- errors.New("bad ring")
				<-n.ran
				eventually(t, "the word of it", func() bool { n.health.mu.Lock(); defer n.health.mu.Unlock(); return n.health.broken != nil })
			}
			for i, c := range all {
				r.own(t) // starting
				if err := c.Start(t.Context(), r); err != nil && when != "start" {
					t.Fatal(err)
				}
				if i == 0 && when == "start" {
					fail()
				}
				r.own(t) // started
			}
			if when == "run" {
				fail()
			}
			if when != "end" {
				select {
				case err := <-r.fatal: // the main loop
					if err == nil {
						t.Error("no error")
					}
				case <-time.After(20 * time.Second):
					t.Fatal("the Collector goes on, and sees nothing")
				}
			}
			for i, c := range all {
				r.own(t)
				if err := c.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
				r.own(t)
				if i == 0 && when == "end" {
					fail()
				}
			}
			select {
			case err := <-r.fatal:
				t.Errorf("said when nobody listens any more: %v", err)
			case <-time.After(2 * h.comes):
			}
		})
	}
}

// The trouble of a pipeline that has gone is nobody's any more.
func TestHealthOfASignalThatLeft(t *testing.T) {
	h := newTestHost(t)
	bad, good := &pipelines{err: errRefused}, &pipelines{}
	cfg := h.config()
	cfg.ShutdownTimeout = time.Millisecond
	c := h.apart(cfg, map[string]*pipelines{signalLogs: good, signalTraces: bad})
	health := h.running(c).health
	health.mu.Lock()
	health.after = time.Millisecond
	health.mu.Unlock()
	h.touch(1)
	eventually(t, "a trouble", func() bool { return c.statuses.has(componentstatus.StatusRecoverableError, "memory is short") })
	c.shutdown(signalTraces)
	health.mu.Lock()
	trouble, since := health.troubles[signalTraces], health.since[signalTraces]
	health.mu.Unlock()
	c.statuses.mu.Lock()
	last := c.statuses.err[len(c.statuses.err)-1]
	c.statuses.mu.Unlock()
	if trouble != nil || !since.IsZero() || last != nil && strings.Contains(last.Error(), "memory is short") {
		t.Errorf("%v since %v is the trouble of a pipeline that has gone, and the last status is %v", trouble, since, last)
	}
	c.shutdown()
}

// An answer that comes as the time is up is one.
func TestHealthOfAnAnswerJustInTime(t *testing.T) {
	h := newHealth(time.Now)
	h.after = time.Millisecond
	var s statuses
	if err := h.add(&member{}, &s); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	done := h.push(signalLogs)
	time.Sleep(20 * time.Millisecond) // the timer has fired and waits for the lock
	answered := make(chan struct{})
	go func() { defer close(answered); done(nil) }()
	time.Sleep(20 * time.Millisecond)
	h.mu.Unlock()
	<-answered
	eventually(t, "no trouble", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.troubles) == 0 })
	time.Sleep(20 * time.Millisecond)
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.troubles) != 0 {
		t.Errorf("troubles %v after the answer", h.troubles)
	}
}

// A second component of a signal is refused, and its Shutdown is not the first's.
func TestSecondPipelineOfASignal(t *testing.T) {
	for _, signal := range []string{signalLogs, signalTraces, signalMetrics} {
		t.Run(signal, func(t *testing.T) {
			h := newTestHost(t)
			p, other := &pipelines{}, &pipelines{}
			first := []string{signalLogs, signalTraces, signalMetrics}
			c := h.mustLoad(p, h.config(), first...)
			second, err := h.load(other, h.config(), signal)
			if !errors.Is(err, exporter.ErrAttached) {
				t.Errorf("started a second %s component: %v", signal, err)
			}
			second.shutdown()
			n := h.touch(3)
			p.want(t, 1, n, signalLogs, signalTraces)
			c.shutdown()
			if logs, traces := other.counts(); logs+traces+len(other.points) != 0 || len(p.points) != 1 {
				t.Errorf("the second got %d logs, %d traces, %d metrics; the first %d metrics", logs, traces, len(other.points), len(p.points))
			}
		})
	}
	// One that is refused for one of its signals leaves the others as they were.
	h := newTestHost(t)
	p, other := &pipelines{}, &pipelines{}
	c := h.mustLoad(p, h.config(), signalTraces)
	second, err := h.load(other, h.config(), signalLogs, signalTraces)
	if !errors.Is(err, exporter.ErrAttached) {
		t.Errorf("started: %v", err)
	}
	second.shutdown()
	third := h.mustLoad(p, h.config(), signalLogs)
	n := h.touch(3)
	p.want(t, 1, n, signalLogs, signalTraces)
	third.shutdown()
	c.shutdown()
}

// Metrics are handed over a last time although a pipeline that refuses has used up
// the time.
func TestLastMetricsHaveTime(t *testing.T) {
	h := newTestHost(t)
	cfg := h.config()
	cfg.ShutdownTimeout = time.Millisecond
	bad, good := &pipelines{err: errRefused}, &pipelines{respect: true}
	c := h.apart(cfg, map[string]*pipelines{signalLogs: bad, signalMetrics: good})
	h.touch(1)
	eventually(t, "an access", func() bool { return h.running(c).engine.out.Stats().Logs.Queued == 1 })
	c.shutdown(signalMetrics, signalLogs)
	if len(good.points) != 1 {
		t.Errorf("%d last metrics", len(good.points))
	}
	c = h.apart(cfg, map[string]*pipelines{signalMetrics: good})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.components[0].Shutdown(ctx); err != nil || len(good.points) != 2 {
		t.Errorf("%v; %d last metrics", err, len(good.points))
	}
}
