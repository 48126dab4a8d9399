package collectorreceiver

import (
	"context"
	"errors"
	"log/slog"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/beesting-otel/beesting/collectorreceiver/internal/metadata"
	"github.com/beesting-otel/beesting/exporter"
)

// state is what the metrics say of the node.
func (n *node) state() exporter.NodeState {
	s, err := n.agent.Summary()
	if err != nil {
		n.engine.log.logger().Debug("counts of the kernel side are not the latest", slog.Any("error", err))
	}
	failures := make(map[string]uint64, len(s.Failures))
	for reason, count := range s.Failures {
		failures[string(reason)] = count
	}
	durations := make(map[string]exporter.Histogram, len(s.Durations))
	for request, h := range s.Durations {
		durations[request] = exporter.Histogram(h)
	}
	sent := n.engine.out.Stats()
	return exporter.NodeState{
		Mode: s.Mode, Wanted: s.Wanted, Armed: s.Armed, LackingContainers: s.Lacking,
		Lost: s.Events.Lost, DecodeErrors: s.Events.DecodeErrors, PlantFailures: failures,
		NRIConnected: s.Connected, NRIReconnects: s.Reconnects, NRIBlindSeconds: s.BlindSeconds,
		UnwatchedSeconds: s.UnwatchedSeconds, NRIDurations: durations,
		Delivery: map[string]exporter.SignalStats{signalLogs: sent.Logs, signalTraces: sent.Spans},
		Journal:  n.engine.out.journalStats(), Unresolved: s.Events.Unresolved,
	}
}

// observe gives the Collector's own telemetry its values; metadata.yaml says
// what they are.
func (n *node) observe() (*metadata.TelemetryBuilder, error) {
	b, err := metadata.NewTelemetryBuilder(n.group.set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	err = errors.Join(n.observeDelivery(b), n.observeNode(b))
	if err != nil {
		b.Shutdown()
		return nil, err
	}
	return b, nil
}

func word(key, value string) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String(key, value))
}

func (n *node) observeDelivery(b *metadata.TelemetryBuilder) error {
	bySignal := func(each func(signal string, s exporter.SignalStats)) {
		s := n.engine.out.Stats()
		each(signalLogs, s.Logs)
		each(signalTraces, s.Spans)
	}
	return errors.Join(
		b.RegisterHoneytokenAccessesQueuedCallback(func(_ context.Context, o metric.Int64Observer) error {
			bySignal(func(signal string, s exporter.SignalStats) { o.Observe(int64(s.Queued), word("signal", signal)) }) //nolint:gosec // bounded by the queue
			return nil
		}),
		b.RegisterHoneytokenAccessesDeferredCallback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(n.engine.core.Deferred())) //nolint:gosec // counts from zero
			return nil
		}),
		b.RegisterHoneytokenAccessesDroppedCallback(func(_ context.Context, o metric.Int64Observer) error {
			bySignal(func(signal string, s exporter.SignalStats) {
				for cause, count := range s.Dropped {
					o.Observe(int64(count), word("signal", signal), word("cause", cause)) //nolint:gosec // counts from zero
				}
			})
			return nil
		}),
	)
}

func (n *node) observeNode(b *metadata.TelemetryBuilder) error {
	return errors.Join(
		b.RegisterHoneytokenEventsLostCallback(func(_ context.Context, o metric.Int64Observer) error {
			s := n.state()
			for cause, count := range s.Lost {
				o.Observe(int64(count), word("cause", cause)) //nolint:gosec // counts from zero
			}
			o.Observe(int64(s.DecodeErrors), word("cause", "decode_error")) //nolint:gosec // counts from zero
			return nil
		}),
		b.RegisterHoneytokenPlacementsCallback(func(_ context.Context, o metric.Int64Observer) error {
			s := n.state()
			o.Observe(int64(s.Wanted), word("state", "wanted"))
			o.Observe(int64(s.Armed), word("state", "armed"))
			return nil
		}),
		b.RegisterHoneytokenContainersLackingCallback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(n.state().LackingContainers))
			return nil
		}),
		b.RegisterHoneytokenNriConnectedCallback(func(_ context.Context, o metric.Int64Observer) error {
			connected := int64(0)
			if n.state().NRIConnected {
				connected = 1
			}
			o.Observe(connected)
			return nil
		}),
		b.RegisterHoneytokenNriBlindTimeCallback(func(_ context.Context, o metric.Float64Observer) error {
			o.Observe(n.state().NRIBlindSeconds)
			return nil
		}),
	)
}
