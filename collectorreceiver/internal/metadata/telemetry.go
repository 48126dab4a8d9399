package metadata

import (
	"context"
	"errors"
	"sync"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	"go.opentelemetry.io/otel/trace"

	"go.opentelemetry.io/collector/component"
)

// Meter makes the component's own meter.
func Meter(settings component.TelemetrySettings) metric.Meter {
	return settings.MeterProvider.Meter(ScopeName)
}

// Tracer makes the component's own tracer.
func Tracer(settings component.TelemetrySettings) trace.Tracer {
	return settings.TracerProvider.Tracer(ScopeName)
}

// TelemetryBuilder holds the component's internal telemetry. All its
// instruments are asynchronous: a value is asked for at each collection, from
// the callbacks. Safe for concurrent use.
type TelemetryBuilder struct {
	meter         metric.Meter
	mu            sync.Mutex
	registrations []metric.Registration

	HoneytokenAccessesDeferred  metric.Int64ObservableCounter
	HoneytokenAccessesDropped   metric.Int64ObservableCounter
	HoneytokenAccessesQueued    metric.Int64ObservableGauge
	HoneytokenContainersLacking metric.Int64ObservableGauge
	HoneytokenEventsLost        metric.Int64ObservableCounter
	HoneytokenNriBlindTime      metric.Float64ObservableCounter
	HoneytokenNriConnected      metric.Int64ObservableGauge
	HoneytokenPlacements        metric.Int64ObservableGauge
}

// RegisterHoneytokenAccessesDeferredCallback sets the callback that observes HoneytokenAccessesDeferred.
func (builder *TelemetryBuilder) RegisterHoneytokenAccessesDeferredCallback(cb metric.Int64Callback) error {
	return builder.register(func(ctx context.Context, o metric.Observer) error {
		return cb(ctx, &observerInt64{inst: builder.HoneytokenAccessesDeferred, obs: o})
	}, builder.HoneytokenAccessesDeferred)
}

// RegisterHoneytokenAccessesDroppedCallback sets the callback that observes HoneytokenAccessesDropped.
func (builder *TelemetryBuilder) RegisterHoneytokenAccessesDroppedCallback(cb metric.Int64Callback) error {
	return builder.register(func(ctx context.Context, o metric.Observer) error {
		return cb(ctx, &observerInt64{inst: builder.HoneytokenAccessesDropped, obs: o})
	}, builder.HoneytokenAccessesDropped)
}

// RegisterHoneytokenAccessesQueuedCallback sets the callback that observes HoneytokenAccessesQueued.
func (builder *TelemetryBuilder) RegisterHoneytokenAccessesQueuedCallback(cb metric.Int64Callback) error {
	return builder.register(func(ctx context.Context, o metric.Observer) error {
		return cb(ctx, &observerInt64{inst: builder.HoneytokenAccessesQueued, obs: o})
	}, builder.HoneytokenAccessesQueued)
}

// RegisterHoneytokenContainersLackingCallback sets the callback that observes HoneytokenContainersLacking.
func (builder *TelemetryBuilder) RegisterHoneytokenContainersLackingCallback(cb metric.Int64Callback) error {
	return builder.register(func(ctx context.Context, o metric.Observer) error {
		return cb(ctx, &observerInt64{inst: builder.HoneytokenContainersLacking, obs: o})
	}, builder.HoneytokenContainersLacking)
}

// RegisterHoneytokenEventsLostCallback sets the callback that observes HoneytokenEventsLost.
func (builder *TelemetryBuilder) RegisterHoneytokenEventsLostCallback(cb metric.Int64Callback) error {
	return builder.register(func(ctx context.Context, o metric.Observer) error {
		return cb(ctx, &observerInt64{inst: builder.HoneytokenEventsLost, obs: o})
	}, builder.HoneytokenEventsLost)
}

// RegisterHoneytokenNriBlindTimeCallback sets the callback that observes HoneytokenNriBlindTime.
func (builder *TelemetryBuilder) RegisterHoneytokenNriBlindTimeCallback(cb metric.Float64Callback) error {
	return builder.register(func(ctx context.Context, o metric.Observer) error {
		return cb(ctx, &observerFloat64{inst: builder.HoneytokenNriBlindTime, obs: o})
	}, builder.HoneytokenNriBlindTime)
}

// RegisterHoneytokenNriConnectedCallback sets the callback that observes HoneytokenNriConnected.
func (builder *TelemetryBuilder) RegisterHoneytokenNriConnectedCallback(cb metric.Int64Callback) error {
	return builder.register(func(ctx context.Context, o metric.Observer) error {
		return cb(ctx, &observerInt64{inst: builder.HoneytokenNriConnected, obs: o})
	}, builder.HoneytokenNriConnected)
}

// RegisterHoneytokenPlacementsCallback sets the callback that observes HoneytokenPlacements.
func (builder *TelemetryBuilder) RegisterHoneytokenPlacementsCallback(cb metric.Int64Callback) error {
	return builder.register(func(ctx context.Context, o metric.Observer) error {
		return cb(ctx, &observerInt64{inst: builder.HoneytokenPlacements, obs: o})
	}, builder.HoneytokenPlacements)
}

func (builder *TelemetryBuilder) register(cb metric.Callback, inst metric.Observable) error {
	reg, err := builder.meter.RegisterCallback(cb, inst)
	if err != nil {
		return err
	}
	builder.mu.Lock()
	defer builder.mu.Unlock()
	builder.registrations = append(builder.registrations, reg)
	return nil
}

type observerInt64 struct {
	embedded.Int64Observer
	inst metric.Int64Observable
	obs  metric.Observer
}

// Observe implements metric.Int64Observer.
func (o *observerInt64) Observe(value int64, opts ...metric.ObserveOption) {
	o.obs.ObserveInt64(o.inst, value, opts...)
}

type observerFloat64 struct {
	embedded.Float64Observer
	inst metric.Float64Observable
	obs  metric.Observer
}

// Observe implements metric.Float64Observer.
func (o *observerFloat64) Observe(value float64, opts ...metric.ObserveOption) {
	o.obs.ObserveFloat64(o.inst, value, opts...)
}

// Shutdown takes back the callbacks, which are not called after it. It may be
// called more than once.
func (builder *TelemetryBuilder) Shutdown() {
	builder.mu.Lock()
	defer builder.mu.Unlock()
	for _, reg := range builder.registrations {
		// Unregister of the SDK always gives nil.
		_ = reg.Unregister()
	}
	builder.registrations = nil
}

// NewTelemetryBuilder makes the instruments. Each one is there, without a value,
// until its callback is registered.
func NewTelemetryBuilder(settings component.TelemetrySettings) (*TelemetryBuilder, error) {
	builder := TelemetryBuilder{meter: Meter(settings)}
	var err, errs error
	builder.HoneytokenAccessesDeferred, err = builder.meter.Int64ObservableCounter(
		"otelcol_honeytoken_accesses_deferred",
		metric.WithDescription("Accesses that found no room when they happened, each counted once. Their touches are told later, as a sum. [Alpha]"),
		metric.WithUnit("{access}"),
	)
	errs = errors.Join(errs, err)
	builder.HoneytokenAccessesDropped, err = builder.meter.Int64ObservableCounter(
		"otelcol_honeytoken_accesses_dropped",
		metric.WithDescription("Accesses that were given up and never reach the pipeline, each counted once for a signal. [Alpha]"),
		metric.WithUnit("{access}"),
	)
	errs = errors.Join(errs, err)
	builder.HoneytokenAccessesQueued, err = builder.meter.Int64ObservableGauge(
		"otelcol_honeytoken_accesses_queued",
		metric.WithDescription("Accesses that wait for the pipeline to take them. [Alpha]"),
		metric.WithUnit("{access}"),
	)
	errs = errors.Join(errs, err)
	builder.HoneytokenContainersLacking, err = builder.meter.Int64ObservableGauge(
		"otelcol_honeytoken_containers_lacking",
		metric.WithDescription("Running containers with fewer tokens than the policy wants. [Alpha]"),
		metric.WithUnit("{container}"),
	)
	errs = errors.Join(errs, err)
	builder.HoneytokenEventsLost, err = builder.meter.Int64ObservableCounter(
		"otelcol_honeytoken_events_lost",
		metric.WithDescription("Events lost between the kernel and the queue. [Alpha]"),
		metric.WithUnit("{event}"),
	)
	errs = errors.Join(errs, err)
	builder.HoneytokenNriBlindTime, err = builder.meter.Float64ObservableCounter(
		"otelcol_honeytoken_nri_blind_time",
		metric.WithDescription("Time without the container runtime since the first registration, in which containers were created without tokens. [Alpha]"),
		metric.WithUnit("s"),
	)
	errs = errors.Join(errs, err)
	builder.HoneytokenNriConnected, err = builder.meter.Int64ObservableGauge(
		"otelcol_honeytoken_nri_connected",
		metric.WithDescription("Whether the container runtime has the receiver registered (1) or not (0). [Alpha]"),
		metric.WithUnit("1"),
	)
	errs = errors.Join(errs, err)
	builder.HoneytokenPlacements, err = builder.meter.Int64ObservableGauge(
		"otelcol_honeytoken_placements",
		metric.WithDescription("Tokens in containers, wanted by the policy and armed (watched). [Alpha]"),
		metric.WithUnit("{placement}"),
	)
	errs = errors.Join(errs, err)
	return &builder, errs
}
