package exporter

import (
	"bytes"
	"io"
	"testing"

	"github.com/beesting-otel/beesting"
)

// BenchmarkRecord is what an access costs before any encoder.
func BenchmarkRecord(b *testing.B) {
	m := sampleMapping(b)
	a := outsiderAccess()
	b.ReportAllocs()
	for b.Loop() {
		m.record(&a)
	}
}

// BenchmarkJSON is a whole line.
func BenchmarkJSON(b *testing.B) {
	w := NewJSON(io.Discard, sampleMapping(b))
	a := outsiderAccess()
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Deliver(b.Context(), a); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRedact is the sanitiser on the longest vector the kernel side hands
// over, made to look interesting.
func BenchmarkRedact(b *testing.B) {
	line := bytes.Repeat([]byte(`curl -u bob:pw -H "X: y" https://h/?a=b&c=d; `), 22)
	args := []string{"sh", "-c", string(line)}
	b.ReportAllocs()
	for b.Loop() {
		sanitiseArgs(args, ArgsRedacted, false)
	}
}

// BenchmarkOTLPEncode is both signals up to the SDK's types.
func BenchmarkOTLPEncode(b *testing.B) {
	m := sampleMapping(b)
	a := outsiderAccess()
	logs, spans := newLogEncoder("v0"), newSpanEncoder("v0")
	b.ReportAllocs()
	for b.Loop() {
		encodeBoth(b, m, logs, spans, &a)
	}
}

func encodeBoth(b *testing.B, m *Mapping, logs *logEncoder, spans *spanEncoder, a *beesting.Access) {
	logs.add(b.Context(), m.record(a))
	spans.add(b.Context(), m.record(a))
	if len(logs.take()) != 1 || len(spans.take()) != 1 {
		b.Fatal("not one record of each")
	}
}

// BenchmarkPDataEncode is a whole batch of both signals, in the Collector's
// types.
func BenchmarkPDataEncode(b *testing.B) {
	m := sampleMapping(b)
	var batch []item
	for n := range 256 {
		a := outsiderAccess()
		a.ID[15] = byte(n)
		batch = append(batch, accessItem(a))
	}
	b.ReportAllocs()
	for b.Loop() {
		if m.logs(batch).LogRecordCount()+m.traces(batch).SpanCount() != 2*len(batch) {
			b.Fatal("not one record of each")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch)), "ns/access")
}
