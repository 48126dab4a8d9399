package exporter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
)

// NewJSON writes each access and each gap as one JSON object on one line, in the
// terms of the OpenTelemetry log data model. The end of an access has no line:
// a line is a log record, and one more would make two of one touch for whoever
// counts lines. Times are RFC 3339 in UTC with up to nine
// digits of a second: numbers of nanoseconds don't fit into the numbers of most
// JSON readers, and a person may be reading. Whatever is in the object, a line
// is safe to show on a terminal.
func NewJSON(w io.Writer, m *Mapping) *Writer {
	return &Writer{w: w, format: func(it item) ([]byte, error) { return formatJSON(m.of(it)) }}
}

// jsonRecord has the fields of the line in their order.
type jsonRecord struct {
	Timestamp         string         `json:"timestamp"`
	ObservedTimestamp string         `json:"observed_timestamp"`
	EventName         string         `json:"event_name"`
	SeverityNumber    int            `json:"severity_number"`
	Body              string         `json:"body"`
	TraceID           string         `json:"trace_id,omitempty"`
	SpanID            string         `json:"span_id,omitempty"`
	Resource          map[string]any `json:"resource"`
	Attributes        map[string]any `json:"attributes"`
}

func formatJSON(r record) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	line := jsonRecord{
		Timestamp:         r.time.UTC().Format(time.RFC3339Nano),
		ObservedTimestamp: r.observed.UTC().Format(time.RFC3339Nano),
		EventName:         r.event,
		SeverityNumber:    r.severity.number,
		Body:              r.body,
		Resource:          object(r.resource),
		Attributes:        object(r.log),
	}
	if r.traced {
		line.TraceID, line.SpanID = fmt.Sprintf("%x", r.traceID), fmt.Sprintf("%x", r.spanID)
	}
	if err := enc.Encode(line); err != nil {
		return nil, fmt.Errorf("JSON: %w", err)
	}
	return escapeUnprintable(buf.Bytes()), nil
}

func object(attrs []attribute.KeyValue) map[string]any {
	m := make(map[string]any, len(attrs))
	for _, kv := range attrs {
		m[string(kv.Key)] = kv.Value.AsInterface()
	}
	return m
}

// escapeUnprintable writes every character that a terminal might act on (C1
// controls, DEL, bidirectional overrides, invisible characters) as \u escapes.
// encoding/json does so for C0 only. The value of the JSON is the same.
func escapeUnprintable(line []byte) []byte {
	out := make([]byte, 0, len(line))
	for len(line) > 0 {
		r, size := utf8.DecodeRune(line)
		switch {
		case r == '\n' || strconv.IsPrint(r):
			out = append(out, line[:size]...)
		case r > 0xFFFF:
			hi, lo := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		line = line[size:]
	}
	return out
}
