package exporter

import (
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // the server side of compression
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/beesting-otel/beesting"
)

// backend is an OTLP receiver, over gRPC and over HTTP, that records what it
// accepted and answers as a test wants.
type backend struct {
	collogs.UnimplementedLogsServiceServer

	// refuse looks at the uids or span ids of a request and says how to answer
	// it; nil accepts. It is called with the mutex held.
	refuse func(signal string, ids []string) *refusal

	mu       sync.Mutex
	logs     []string // uids in the order of arrival
	spans    []string // span ids in the order of arrival
	logTimes []time.Time
	rawLogs  []*logspb.ResourceLogs
	rawSpans []*tracepb.ResourceSpans
	metrics  []*colmetrics.ExportMetricsServiceRequest
	requests map[string]int
	headers  []http.Header
}

// refusal is an answer that isn't a plain success.
type refusal struct {
	grpc     error // over gRPC
	http     int   // over HTTP
	header   http.Header
	body     string
	rejected int64 // partial success: accept, but say that so many were not
}

// accept records a request, or says how to answer it otherwise.
func (b *backend) accept(signal string, ids []string, keep func()) *refusal {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.requests == nil {
		b.requests = map[string]int{}
	}
	b.requests[signal]++
	if b.refuse != nil {
		if r := b.refuse(signal, ids); r != nil {
			if r.rejected > 0 {
				keep()
			}
			return r
		}
	}
	keep()
	return nil
}

func (b *backend) acceptLogs(req *collogs.ExportLogsServiceRequest) *refusal {
	var ids []string
	for _, rl := range req.GetResourceLogs() {
		for _, sl := range rl.GetScopeLogs() {
			for _, r := range sl.GetLogRecords() {
				ids = append(ids, logAttribute(r, "log.record.uid"))
			}
		}
	}
	return b.accept("logs", ids, func() {
		b.logs = append(b.logs, ids...)
		b.rawLogs = append(b.rawLogs, req.GetResourceLogs()...)
		for range ids {
			b.logTimes = append(b.logTimes, time.Now())
		}
	})
}

func (b *backend) acceptSpans(req *coltrace.ExportTraceServiceRequest) *refusal {
	var ids []string
	for _, rs := range req.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				ids = append(ids, fmt.Sprintf("%x", s.GetSpanId()))
			}
		}
	}
	return b.accept("spans", ids, func() {
		b.spans = append(b.spans, ids...)
		b.rawSpans = append(b.rawSpans, req.GetResourceSpans()...)
	})
}

func logAttribute(r *logspb.LogRecord, key string) string {
	for _, kv := range r.GetAttributes() {
		if kv.GetKey() == key {
			return kv.GetValue().GetStringValue()
		}
	}
	return ""
}

// Export implements the logs service.
func (b *backend) Export(ctx context.Context, req *collogs.ExportLogsServiceRequest) (*collogs.ExportLogsServiceResponse, error) {
	b.noteMetadata(ctx)
	resp := &collogs.ExportLogsServiceResponse{}
	r := b.acceptLogs(req)
	if r != nil && r.rejected > 0 {
		resp.PartialSuccess = &collogs.ExportLogsPartialSuccess{RejectedLogRecords: r.rejected, ErrorMessage: "too old"}
		return resp, nil
	}
	return resp, r.asGRPC()
}

// traceService is the traces service, whose method has the same name.
type traceService struct {
	coltrace.UnimplementedTraceServiceServer
	b *backend
}

// Export implements the traces service.
func (t traceService) Export(ctx context.Context, req *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	t.b.noteMetadata(ctx)
	resp := &coltrace.ExportTraceServiceResponse{}
	r := t.b.acceptSpans(req)
	if r != nil && r.rejected > 0 {
		resp.PartialSuccess = &coltrace.ExportTracePartialSuccess{RejectedSpans: r.rejected, ErrorMessage: "too old"}
		return resp, nil
	}
	return resp, r.asGRPC()
}

func (r *refusal) asGRPC() error {
	if r == nil {
		return nil
	}
	return r.grpc
}

func (b *backend) noteMetadata(ctx context.Context) {
	md, _ := metadata.FromIncomingContext(ctx)
	h := http.Header{}
	for k, v := range md {
		h[http.CanonicalHeaderKey(k)] = v
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.headers = append(b.headers, h)
}

// ServeHTTP is OTLP over HTTP.
func (b *backend) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	b.mu.Lock()
	b.headers = append(b.headers, req.Header.Clone())
	b.mu.Unlock()
	var body io.Reader = req.Body
	if req.Header.Get("Content-Encoding") == "gzip" {
		body, _ = gzip.NewReader(req.Body)
	}
	data, err := io.ReadAll(body)
	if err != nil || req.Method != http.MethodPost {
		http.Error(w, "cannot read", http.StatusBadRequest)
		return
	}
	var r *refusal
	var resp proto.Message
	switch req.URL.Path {
	case "/v1/logs":
		var in collogs.ExportLogsServiceRequest
		err = proto.Unmarshal(data, &in)
		if r = b.acceptLogs(&in); r != nil {
			resp = &collogs.ExportLogsServiceResponse{PartialSuccess: &collogs.ExportLogsPartialSuccess{RejectedLogRecords: r.rejected, ErrorMessage: "too old"}}
		}
	case "/v1/traces":
		var in coltrace.ExportTraceServiceRequest
		err = proto.Unmarshal(data, &in)
		if r = b.acceptSpans(&in); r != nil {
			resp = &coltrace.ExportTraceServiceResponse{PartialSuccess: &coltrace.ExportTracePartialSuccess{RejectedSpans: r.rejected, ErrorMessage: "too old"}}
		}
	case "/v1/metrics":
		var in colmetrics.ExportMetricsServiceRequest
		err = proto.Unmarshal(data, &in)
		if r = b.acceptMetrics(&in); r != nil {
			resp = rejectedPoints(r)
		}
	default:
		http.NotFound(w, req)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.writeHTTP(w, resp)
}

func (r *refusal) writeHTTP(w http.ResponseWriter, partial proto.Message) {
	w.Header().Set("Content-Type", "application/x-protobuf")
	switch {
	case r == nil:
	case r.rejected > 0:
		data, _ := proto.Marshal(partial)
		_, _ = w.Write(data)
	default:
		for k, v := range r.header {
			w.Header()[k] = v
		}
		w.WriteHeader(r.http)
		_, _ = io.WriteString(w, r.body)
	}
}

// received returns what arrived so far.
func (b *backend) received(signal string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if signal == "logs" {
		return slices.Clone(b.logs)
	}
	return slices.Clone(b.spans)
}

func (b *backend) set(refuse func(signal string, ids []string) *refusal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuse = refuse
}

// serveGRPC serves on a loopback address of its own, or on the one given.
func (b *backend) serveGRPC(t testing.TB, address string, opts ...grpc.ServerOption) string {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(opts...)
	collogs.RegisterLogsServiceServer(srv, b)
	coltrace.RegisterTraceServiceServer(srv, traceService{b: b})
	colmetrics.RegisterMetricsServiceServer(srv, metricService{b: b})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { srv.Stop(); <-done })
	return l.Addr().String()
}

func (b *backend) serveHTTP(t testing.TB) string {
	t.Helper()
	srv := httptest.NewServer(b)
	t.Cleanup(srv.Close)
	return srv.URL
}

// unusedAddress is a loopback address where nothing listens.
func unusedAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// testPace is quick; its proportions are those of defaultPace.
var testPace = pace{
	batch: 8, first: 2 * time.Millisecond, most: 40 * time.Millisecond,
	closing: 5 * time.Millisecond, asked: time.Second, doubts: 4,
}

// otlpTo starts an exporter and shuts it down at the end of the test at the
// latest.
func otlpTo(t testing.TB, m *Mapping, queue int, variables ...string) *OTLP {
	t.Helper()
	o, err := newOTLP(t.Context(), m, OTLPOptions{Getenv: envOf(variables...), Logger: testLog(t), Queue: queue}, testPace)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = o.Shutdown(ctx) // the test looked at the result of its own call
	})
	return o
}

// protocols runs a test over gRPC and over HTTP.
func protocols(t *testing.T, test func(t *testing.T, b *backend, variables []string)) {
	t.Run("grpc", func(t *testing.T) {
		b := &backend{}
		test(t, b, []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://" + b.serveGRPC(t, "127.0.0.1:0")})
	})
	t.Run("http", func(t *testing.T) {
		b := &backend{}
		test(t, b, []string{"OTEL_EXPORTER_OTLP_ENDPOINT", b.serveHTTP(t)})
	})
}

// numbered is the n-th of a sequence of accesses with the same resource.
func numbered(n int) beesting.Access {
	a := sampleAccess()
	binary.BigEndian.PutUint64(a.ID[:8], uint64(n)+1)
	a.Time = at.Add(time.Duration(n) * time.Microsecond)
	return a
}

// uids and spanIDs are what numbered accesses from..to-1 look like on arrival.
func uids(from, to int) []string {
	var out []string
	for n := from; n < to; n++ {
		a := numbered(n)
		out = append(out, fmt.Sprintf("%x", a.ID[:]))
	}
	return out
}

func spanIDs(from, to int) []string {
	var out []string
	for n := from; n < to; n++ {
		a := numbered(n)
		out = append(out, fmt.Sprintf("%x", spanID(&a)))
	}
	return out
}

// deliver gives the numbered accesses from..to-1 and fails on any error.
func deliver(t testing.TB, o *OTLP, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		if err := o.Deliver(t.Context(), numbered(n)); err != nil {
			t.Fatal(err)
		}
	}
}

// drain shuts o down and wants that to work.
func drain(t testing.TB, o *OTLP) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := o.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// wantStats compares what is counted for one signal, and that the sum holds.
func wantStats(t testing.TB, got SignalStats, offered, delivered uint64, dropped map[string]uint64) {
	t.Helper()
	sum := got.Delivered + got.Queued
	for _, n := range got.Dropped {
		sum += n
	}
	if sum != got.Offered {
		t.Errorf("%+v: doesn't add up", got)
	}
	if got.Offered != offered || got.Delivered != delivered || len(got.Dropped) != len(dropped) {
		t.Errorf("%+v, want offered %d, delivered %d, dropped %v", got, offered, delivered, dropped)
	}
	for cause, n := range dropped {
		if got.Dropped[cause] != n {
			t.Errorf("dropped %v, want %v", got.Dropped, dropped)
		}
	}
}

// eventually waits for something that another goroutine is about to do.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("did not happen within 20 s: %s", what)
}

func rpcError(s *status.Status) *refusal { return &refusal{grpc: s.Err()} }
