package collectorreceiver

import (
	"context"
	"fmt"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"

	"github.com/beesting-otel/beesting/collectorreceiver/internal/metadata"
	"github.com/beesting-otel/beesting/exporter"
)

// NewFactory makes the factory of the receiver. The components that factories
// make for one configuration, one for each signal, are one plugin of the
// runtime and one sensor; see host for what all factories of a process share.
func NewFactory() receiver.Factory { return newFactory(shared) }

func newFactory(h *host) receiver.Factory {
	f := &factory{host: h, groups: map[*Config]*group{}}
	return receiver.NewFactory(metadata.Type, createDefaultConfig,
		receiver.WithLogs(f.logs, metadata.LogsStability),
		receiver.WithTraces(f.traces, metadata.TracesStability),
		receiver.WithMetrics(f.metrics, metadata.MetricsStability))
}

type factory struct {
	host *host

	mu     sync.Mutex
	groups map[*Config]*group
}

// group is what one factory made for one configuration: up to a component for
// each signal.
type group struct {
	id  component.ID
	cfg *Config
	set receiver.Settings

	logs    consumer.Logs
	traces  consumer.Traces
	metrics consumer.Metrics
	members int // that were made and not shut down; guarded by the factory's lock

	// Of the first Start, for the components whose Start comes later: where the
	// group runs, or why it doesn't. Guarded by the host's lock.
	started bool
	node    *node
	err     error
}

// takes reports whether the group has a pipeline for a signal.
func (g *group) takes(signal string) bool {
	switch signal {
	case signalLogs:
		return g.logs != nil
	case signalTraces:
		return g.traces != nil
	default:
		return g.metrics != nil
	}
}

// member adds a component to the group of a configuration: the Collector hands
// the same pointer to the components of all signals. consume sets where the
// signal goes.
func (f *factory) member(set receiver.Settings, cfg component.Config, signal string, consume func(*group)) (*member, error) {
	c, ok := cfg.(*Config)
	if !ok {
		return nil, fmt.Errorf("configuration of receiver %s: %T, want %T", set.ID, cfg, c)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	g := f.groups[c]
	if g == nil || g.id != set.ID {
		set.TelemetrySettings = withoutSignal(set.TelemetrySettings) // it is for all of them
		g = &group{id: set.ID, cfg: c, set: set}
		f.groups[c] = g
	}
	g.members++
	consume(g)
	return &member{factory: f, group: g, signal: signal}, nil
}

// release forgets the group when its last component is shut down: one that is
// made after that starts anew.
func (f *factory) release(g *group) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if g.members--; g.members == 0 && f.groups[g.cfg] == g {
		delete(f.groups, g.cfg)
	}
}

func (f *factory) logs(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Logs) (receiver.Logs, error) {
	return f.member(set, cfg, signalLogs, func(g *group) { g.logs = next })
}

func (f *factory) traces(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Traces) (receiver.Traces, error) {
	return f.member(set, cfg, signalTraces, func(g *group) { g.traces = next })
}

func (f *factory) metrics(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Metrics) (receiver.Metrics, error) {
	return f.member(set, cfg, signalMetrics, func(g *group) { g.metrics = next })
}

// The signals, as the Collector's configuration names them.
const (
	signalLogs    = exporter.SignalLogs
	signalTraces  = exporter.SignalTraces
	signalMetrics = "metrics"
)

// member is the component of one signal.
type member struct {
	factory *factory
	group   *group
	signal  string
	down    sync.Once
	gone    bool // it has been shut down; guarded by the host's lock
}

// Start implements component.Component. The first member of a group to be
// started starts what all of them share, with the consumers of all of them: no
// signal lacks what happens between two Starts.
func (m *member) Start(_ context.Context, reporter component.Host) error {
	return m.factory.host.join(m, reporter)
}

// Shutdown implements component.Component. It may come without Start, and again.
func (m *member) Shutdown(ctx context.Context) error {
	m.down.Do(func() { m.factory.release(m.group) })
	m.factory.host.leave(ctx, m)
	return nil
}
