package exporter

import (
	"fmt"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// The encoder of the Collector's types says the same as the SDK's in sdk.go
// and the exporters behind it; TestParity compares the two on the wire.

// logs encodes a batch: resources in the order in which they first appear,
// each with one scope, and in it the records in their order.
func (m *Mapping) logs(batch []item) plog.Logs {
	out := plog.NewLogs()
	scopes := map[string]plog.ScopeLogs{}
	for _, it := range batch {
		r := m.of(it)
		key := resourceKey(r.resource)
		scope, known := scopes[key]
		if !known {
			resource := out.ResourceLogs().AppendEmpty()
			resource.SetSchemaUrl(SchemaURL)
			putAttributes(resource.Resource().Attributes(), r.resource)
			scope = resource.ScopeLogs().AppendEmpty()
			scope.SetSchemaUrl(SchemaURL)
			putScope(scope.Scope(), m.version)
			scopes[key] = scope
		}
		putLog(scope.LogRecords().AppendEmpty(), &r)
	}
	return out
}

func putLog(out plog.LogRecord, r *record) {
	out.SetEventName(r.event)
	out.SetTimestamp(unixNano(r.time))
	out.SetObservedTimestamp(unixNano(r.observed))
	out.SetSeverityNumber(plog.SeverityNumber(r.severity.number)) //nolint:gosec // from severityTable, below 25
	out.Body().SetStr(r.body)
	if r.traced {
		out.SetTraceID(r.traceID)
		out.SetSpanID(r.spanID)
		out.SetFlags(plog.DefaultLogRecordFlags.WithIsSampled(true))
	}
	putAttributes(out.Attributes(), r.log)
}

// traces is logs for spans.
func (m *Mapping) traces(batch []item) ptrace.Traces {
	out := ptrace.NewTraces()
	scopes := map[string]ptrace.ScopeSpans{}
	for _, it := range batch {
		r := m.of(it)
		key := resourceKey(r.resource)
		scope, known := scopes[key]
		if !known {
			resource := out.ResourceSpans().AppendEmpty()
			resource.SetSchemaUrl(SchemaURL)
			putAttributes(resource.Resource().Attributes(), r.resource)
			scope = resource.ScopeSpans().AppendEmpty()
			scope.SetSchemaUrl(SchemaURL)
			putScope(scope.Scope(), m.version)
			scopes[key] = scope
		}
		putSpan(scope.Spans().AppendEmpty(), &r)
	}
	return out
}

// spanFlags: sampled, and the parent's being remote is known (there is none).
const spanFlags = uint32(trace.FlagsSampled) | uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK)

func putSpan(out ptrace.Span, r *record) {
	out.SetName(r.name)
	out.SetKind(ptrace.SpanKindInternal)
	out.SetTraceID(r.traceID)
	out.SetSpanID(r.spanID)
	out.SetFlags(spanFlags)
	out.SetStartTimestamp(unixNano(r.time))
	out.SetEndTimestamp(unixNano(r.end))
	if r.denied {
		out.Status().SetCode(ptrace.StatusCodeError)
		out.Status().SetMessage(deniedStatus)
	}
	putAttributes(out.Attributes(), r.span)
}

func putScope(out pcommon.InstrumentationScope, version string) {
	out.SetName(ScopeName)
	out.SetVersion(version)
}

// unixNano is 0 for what lies before 1970, the zero time included, as it is in
// the official exporters.
func unixNano(t time.Time) pcommon.Timestamp {
	return pcommon.Timestamp(max(t.UnixNano(), 0)) //nolint:gosec // not negative
}

// putAttributes writes attrs, in which no key is twice, into an empty map.
func putAttributes(out pcommon.Map, attrs []attribute.KeyValue) {
	out.EnsureCapacity(len(attrs))
	for _, kv := range attrs {
		putValue(out.PutEmpty(string(kv.Key)), kv.Value)
	}
}

// putValue knows the types that the tables use.
func putValue(out pcommon.Value, v attribute.Value) {
	switch v.Type() {
	case attribute.BOOL:
		out.SetBool(v.AsBool())
	case attribute.INT64:
		out.SetInt(v.AsInt64())
	case attribute.FLOAT64:
		out.SetDouble(v.AsFloat64())
	case attribute.STRING:
		out.SetStr(v.AsString())
	case attribute.STRINGSLICE:
		all := v.AsStringSlice()
		list := out.SetEmptySlice()
		list.EnsureCapacity(len(all))
		for _, s := range all {
			list.AppendEmpty().SetStr(s)
		}
	default:
		out.SetStr(v.String())
	}
}

// What names a record or a span is what makes it one with its access, and the
// same on every attempt.

func logID(it item) string {
	if it.gap != nil {
		return fmt.Sprintf("%x", gapID(it.gap))
	}
	return fmt.Sprintf("%x", it.access.ID[:])
}

func logIDs(logs plog.Logs) []string {
	out := make([]string, 0, logs.LogRecordCount())
	for _, resource := range logs.ResourceLogs().All() {
		for _, scope := range resource.ScopeLogs().All() {
			for _, r := range scope.LogRecords().All() {
				id := "" // no access has that
				if uid, ok := r.Attributes().Get(string(semconv.LogRecordUIDKey)); ok {
					id = uid.AsString()
				}
				out = append(out, id)
			}
		}
	}
	return out
}

func traceAndSpanID(it item) string {
	return fmt.Sprintf("%x/%x", traceID(it.access), spanID(it.access))
}

func traceAndSpanIDs(traces ptrace.Traces) []string {
	out := make([]string, 0, traces.SpanCount())
	for _, resource := range traces.ResourceSpans().All() {
		for _, scope := range resource.ScopeSpans().All() {
			for _, s := range scope.Spans().All() {
				trace, span := s.TraceID(), s.SpanID()
				out = append(out, fmt.Sprintf("%x/%x", trace[:], span[:]))
			}
		}
	}
	return out
}
