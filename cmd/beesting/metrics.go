package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/exporter"
	"github.com/beesting-otel/beesting/internal/agent"
	"github.com/beesting-otel/beesting/internal/journal"
)

// metrics counts accesses and knows whom to ask for the rest. The exporter asks
// from the start until after the end, when there is no agent: the outputs are
// there first and go last.
type metrics struct {
	meter *exporter.Meter
	log   *slog.Logger

	mu    sync.Mutex
	from  *sources // nil without an agent
	last  exporter.NodeState
	known bool // there has been one
}

// sources are who knows what the metrics tell.
type sources struct {
	agent   func() (agent.Summary, error)
	reloads func() map[string]uint64 // of the configuration
	outputs func() outputStats
	journal func() *journal.Stats // returns nil where there is none
}

func newMetrics(log *slog.Logger) *metrics {
	return &metrics{meter: exporter.NewMeter(time.Now), log: log}
}

// attach has state ask from now on.
func (m *metrics) attach(from *sources) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.from = from
}

// detach has state ask a last time: what it says then stays.
func (m *metrics) detach() {
	m.state()
	m.attach(nil)
}

// state is for the exporter. It returns false until there is an agent: one that
// doesn't come about has nothing to tell.
func (m *metrics) state() (exporter.NodeState, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.from == nil {
		return m.last, m.known
	}
	m.known = true
	s, err := m.from.agent()
	if err != nil {
		m.log.Warn("metrics of losses are not the latest", slog.Any("error", err))
	}
	m.last = exporter.NodeState{
		Mode: s.Mode, Wanted: s.Wanted, Armed: s.Armed, LackingContainers: s.Lacking,
		Lost: s.Events.Lost, DecodeErrors: s.Events.DecodeErrors,
		PlantFailures: make(map[string]uint64, len(s.Failures)),
		NRIConnected:  s.Connected, NRIReconnects: s.Reconnects, NRIBlindSeconds: s.BlindSeconds,
		UnwatchedSeconds: s.UnwatchedSeconds, ConfigReloads: m.from.reloads(), Journal: m.from.journal(),
		Unresolved:   s.Events.Unresolved,
		NRIDurations: make(map[string]exporter.Histogram, len(s.Durations)),
	}
	for request, h := range s.Durations {
		m.last.NRIDurations[request] = exporter.Histogram(h)
	}
	if otlp := m.from.outputs().OTLP; otlp != nil {
		m.last.Delivery = map[string]exporter.SignalStats{exporter.SignalLogs: otlp.Logs, exporter.SignalTraces: otlp.Spans}
	}
	for reason, n := range s.Failures {
		m.last.PlantFailures[string(reason)] = n
	}
	return m.last, true
}

// countedSink counts what it passes on and is taken: what is refused comes again.
type countedSink struct {
	agent.Sink
	meter *exporter.Meter
}

func (c countedSink) Deliver(ctx context.Context, a beesting.Access) error {
	err := c.Sink.Deliver(ctx, a)
	if err == nil {
		c.meter.Observe(&a)
	}
	return err
}

func (c countedSink) Gap(ctx context.Context, g beesting.Gap) error {
	err := c.Sink.Gap(ctx, g)
	if err == nil {
		c.meter.ObserveGap(&g)
	}
	return err
}
