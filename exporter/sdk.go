package exporter

import (
	"context"
	"math"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// In the SDK a resource belongs to a provider, while here it belongs to the
// token's container: each container gets a provider of its own, and all of
// them hand over to the batch that is being made. A provider without a batch
// processor has no goroutine and nothing to release, so one that is no longer
// needed is just forgotten.

// maxResources bounds the providers that are kept: more than the containers a
// node runs (110 pods by default), few enough to weigh nothing.
const maxResources = 512

// logEncoder makes SDK log records. One goroutine uses it.
type logEncoder struct {
	version string
	batch   []sdklog.Record
	loggers *lru[log.Logger]
}

func newLogEncoder(version string) *logEncoder {
	return &logEncoder{version: version, loggers: newLRU[log.Logger](maxResources)}
}

// add encodes r and appends it to the batch.
func (e *logEncoder) add(ctx context.Context, r record) {
	logger := e.loggers.get(r.resource, func(res *resource.Resource) log.Logger {
		provider := sdklog.NewLoggerProvider(
			sdklog.WithResource(res),
			sdklog.WithProcessor(logCollector{&e.batch}),
			// The table has no key twice and every value is bounded: nothing
			// that the environment's limits for applications should cut.
			sdklog.WithAllowKeyDuplication(),
			sdklog.WithAttributeCountLimit(-1),
			sdklog.WithAttributeValueLengthLimit(-1),
		)
		return provider.Logger(ScopeName, log.WithInstrumentationVersion(e.version), log.WithSchemaURL(SchemaURL))
	})
	var out log.Record
	out.SetEventName(r.event)
	out.SetTimestamp(r.time)
	out.SetObservedTimestamp(r.observed)
	out.SetSeverity(log.Severity(r.severity.number))
	out.SetBody(attribute.StringValue(r.body))
	out.AddAttributes(r.log...)
	if r.traced {
		ctx = trace.ContextWithSpanContext(ctx, r.spanContext())
	}
	logger.Emit(ctx, out)
}

// take empties the batch.
func (e *logEncoder) take() []sdklog.Record {
	batch := e.batch
	e.batch = nil
	return batch
}

// logCollector is the processor of every provider: it appends to the batch. It
// is a value of its own per provider, as the SDK wants a processor to be.
type logCollector struct{ batch *[]sdklog.Record }

// OnEmit implements sdklog.Processor.
func (c logCollector) OnEmit(_ context.Context, r *sdklog.Record) error {
	*c.batch = append(*c.batch, r.Clone())
	return nil
}

// Enabled implements sdklog.Processor.
func (logCollector) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }

// Shutdown implements sdklog.Processor.
func (logCollector) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdklog.Processor.
func (logCollector) ForceFlush(context.Context) error { return nil }

// spanEncoder makes SDK spans. One goroutine uses it.
type spanEncoder struct {
	version string
	batch   []sdktrace.ReadOnlySpan
	tracers *lru[trace.Tracer]
}

func newSpanEncoder(version string) *spanEncoder {
	return &spanEncoder{version: version, tracers: newLRU[trace.Tracer](maxResources)}
}

// add encodes r and appends it to the batch. It ended already: the SDK is
// told both times.
func (e *spanEncoder) add(ctx context.Context, r record) {
	tracer := e.tracers.get(r.resource, func(res *resource.Resource) trace.Tracer {
		limits := sdktrace.NewSpanLimits()
		limits.AttributeCountLimit, limits.AttributeValueLengthLimit = -1, -1
		provider := sdktrace.NewTracerProvider(
			sdktrace.WithResource(res),
			sdktrace.WithSpanProcessor(spanCollector{&e.batch}),
			sdktrace.WithIDGenerator(derivedIDs{}),
			// Not OTEL_TRACES_SAMPLER: it is meant for request traffic. A trace
			// of an incident with holes in it misleads, and there are few.
			sdktrace.WithSampler(sdktrace.AlwaysSample()),
			sdktrace.WithRawSpanLimits(limits),
		)
		return provider.Tracer(ScopeName, trace.WithInstrumentationVersion(e.version), trace.WithSchemaURL(SchemaURL))
	})
	_, span := tracer.Start(context.WithValue(ctx, idsKey{}, r.spanContext()), r.name,
		trace.WithNewRoot(),
		trace.WithSpanKind(trace.SpanKindInternal),
		trace.WithTimestamp(r.time),
		trace.WithAttributes(r.span...))
	if r.denied {
		span.SetStatus(codes.Error, deniedStatus)
	}
	span.End(trace.WithTimestamp(r.end))
}

// take empties the batch.
func (e *spanEncoder) take() []sdktrace.ReadOnlySpan {
	batch := e.batch
	e.batch = nil
	return batch
}

// spanCollector is logCollector for spans.
type spanCollector struct{ batch *[]sdktrace.ReadOnlySpan }

// OnStart implements sdktrace.SpanProcessor.
func (spanCollector) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd implements sdktrace.SpanProcessor.
func (c spanCollector) OnEnd(s sdktrace.ReadOnlySpan) { *c.batch = append(*c.batch, s) }

// Shutdown implements sdktrace.SpanProcessor.
func (spanCollector) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdktrace.SpanProcessor.
func (spanCollector) ForceFlush(context.Context) error { return nil }

// spanContext has the derived ids. Only the sampled flag is set: the random
// flag promises bits that are random, and these are a hash of known things.
func (r record) spanContext() trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: r.traceID, SpanID: r.spanID, TraceFlags: trace.FlagsSampled,
	})
}

type idsKey struct{}

// derivedIDs takes a span's ids from the context it is started with.
type derivedIDs struct{}

// NewIDs implements sdktrace.IDGenerator.
func (derivedIDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	sc, _ := ctx.Value(idsKey{}).(trace.SpanContext)
	return sc.TraceID(), sc.SpanID()
}

// NewSpanID implements sdktrace.IDGenerator.
func (derivedIDs) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	sc, _ := ctx.Value(idsKey{}).(trace.SpanContext)
	return sc.SpanID()
}

// lru keeps the most recently used values by resource. Not safe for
// concurrent use.
type lru[V any] struct {
	limit int
	turn  uint64 // counts the uses
	byKey map[string]*entry[V]
}

type entry[V any] struct {
	value V
	used  uint64 // the turn of the last use
}

func newLRU[V any](limit int) *lru[V] {
	return &lru[V]{limit: limit, byKey: map[string]*entry[V]{}}
}

// get returns the value of a resource, made on first use.
func (l *lru[V]) get(attrs []attribute.KeyValue, create func(*resource.Resource) V) V {
	key := resourceKey(attrs)
	l.turn++
	e := l.byKey[key]
	if e == nil {
		if len(l.byKey) >= l.limit {
			l.evict()
		}
		e = &entry[V]{value: create(resource.NewWithAttributes(SchemaURL, attrs...))}
		l.byKey[key] = e
	}
	e.used = l.turn
	return e.value
}

// evict forgets the value that was not used for the longest. It looks at all
// of them, which is cheap beside making a new one.
func (l *lru[V]) evict() {
	var oldest string
	least := uint64(math.MaxUint64)
	for key, e := range l.byKey {
		if e.used < least {
			oldest, least = key, e.used
		}
	}
	delete(l.byKey, oldest)
}
