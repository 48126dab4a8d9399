// Package backend is an OTLP/HTTP back end that fails in the ways that real ones
// do, and remembers what it took. What a real one receives of the exporter is the
// business of test/collector.
package backend

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"
)

// Fault is how a back end answers.
type Fault struct {
	// Status is the answer's, with that many seconds of Retry-After if it is not
	// zero; nothing is taken.
	Status, RetryAfter int
	// Delay is waited before an answer.
	Delay time.Duration
	// CutBefore ends the connection with the request half read, CutAfter after all
	// of it was taken, without an answer.
	CutBefore, CutAfter bool
	// Reject is how many records of a request are not taken, with a partial success
	// that says so.
	Reject int
}

// Record is what the back end has of a log record.
type Record struct {
	UID, Event, Token, Kind, Process string
	// Count is how many touches it stands for.
	Count int64
	// Times is how often it came.
	Times int
}

// Backend is a back end. Safe for concurrent use.
type Backend struct {
	Address string // HOST:PORT, the same for as long as it exists

	server *http.Server

	mu       sync.Mutex
	fault    Fault
	records  map[string]*Record
	spans    map[string]int
	rejected map[string]int // by path
	requests map[int]int    // by answer; 0 for a connection that was cut
}

// Start starts one that listens on loopback, at a free port.
func Start(ctx context.Context) (*Backend, error) {
	b := &Backend{Address: "127.0.0.1:0", records: map[string]*Record{}, spans: map[string]int{}, rejected: map[string]int{}, requests: map[int]int{}}
	return b, b.Up(ctx, nil)
}

// Up listens, again after Down; with TLS if there is a certificate.
func (b *Backend) Up(ctx context.Context, certificate *tls.Certificate) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", b.Address)
	if err != nil {
		return fmt.Errorf("back end: %w", err)
	}
	b.Address = l.Addr().String()
	if certificate != nil {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12})
	}
	b.server = &http.Server{Handler: b, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go func(s *http.Server) { _ = s.Serve(l) }(b.server)
	return nil
}

// Down ends all connections and listens no more.
func (b *Backend) Down() error { return b.server.Close() }

// Set has requests answered so from now on.
func (b *Backend) Set(f Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fault = f
}

// ServeHTTP implements http.Handler.
func (b *Backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	f := b.fault
	b.mu.Unlock()
	if f.CutBefore {
		_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
		b.cut(w)
		return
	}
	body, err := read(r)
	if err != nil {
		b.count(http.StatusBadRequest)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	select {
	case <-time.After(f.Delay):
	case <-r.Context().Done():
	}
	if f.Status != 0 {
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
		}
		b.count(f.Status)
		w.WriteHeader(f.Status)
		return
	}
	answer, err := b.take(r.URL.Path, body, f.Reject)
	switch {
	case err != nil:
		b.count(http.StatusBadRequest)
		http.Error(w, err.Error(), http.StatusBadRequest)
	case f.CutAfter:
		b.cut(w)
	default:
		b.count(http.StatusOK)
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, _ = io.Copy(w, bytes.NewReader(answer))
	}
}

func read(r *http.Request) ([]byte, error) {
	if r.Header.Get("Content-Encoding") != "gzip" {
		return io.ReadAll(r.Body)
	}
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func (b *Backend) cut(w http.ResponseWriter) {
	b.count(0)
	if h, ok := w.(http.Hijacker); ok {
		if conn, _, err := h.Hijack(); err == nil {
			_ = conn.Close()
		}
	}
}

func (b *Backend) count(status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests[status]++
}

// take keeps what is in a request but for the last records that are rejected.
func (b *Backend) take(path string, body []byte, reject int) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch path {
	case "/v1/logs":
		var req collogs.ExportLogsServiceRequest
		if err := proto.Unmarshal(body, &req); err != nil {
			return nil, err
		}
		n := b.takeLogs(&req, reject)
		b.rejected[path] += n
		return proto.Marshal(&collogs.ExportLogsServiceResponse{PartialSuccess: &collogs.ExportLogsPartialSuccess{RejectedLogRecords: int64(n)}})
	case "/v1/traces":
		var req coltrace.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &req); err != nil {
			return nil, err
		}
		n := b.takeSpans(&req, reject)
		b.rejected[path] += n
		return proto.Marshal(&coltrace.ExportTraceServiceResponse{PartialSuccess: &coltrace.ExportTracePartialSuccess{RejectedSpans: int64(n)}})
	case "/v1/metrics":
		return nil, nil
	}
	return nil, errors.New("no such path: " + path)
}

func (b *Backend) takeLogs(req *collogs.ExportLogsServiceRequest, reject int) (rejected int) {
	for _, rl := range req.GetResourceLogs() {
		for _, sl := range rl.GetScopeLogs() {
			for _, l := range sl.GetLogRecords() {
				if rejected < reject {
					rejected++
					continue
				}
				r := recordOf(l.GetAttributes())
				if known := b.records[r.UID]; known != nil {
					known.Times++
					continue
				}
				r.Times = 1
				b.records[r.UID] = &r
			}
		}
	}
	return rejected
}

func (b *Backend) takeSpans(req *coltrace.ExportTraceServiceRequest, reject int) (rejected int) {
	for _, rs := range req.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				if rejected < reject {
					rejected++
					continue
				}
				b.spans[fmt.Sprintf("%x", s.GetSpanId())]++
			}
		}
	}
	return rejected
}

func recordOf(attributes []*commonpb.KeyValue) Record {
	r := Record{Count: 1}
	var pid, created string
	for _, kv := range attributes {
		v := kv.GetValue()
		switch kv.GetKey() {
		case "log.record.uid":
			r.UID = v.GetStringValue()
		case "honeytoken.event":
			r.Event = v.GetStringValue()
		case "honeytoken.name":
			r.Token = v.GetStringValue()
		case "honeytoken.access.kind", "honeytoken.gap.kind":
			r.Kind = strings.TrimSpace(r.Kind + v.GetStringValue())
		case "honeytoken.access.count", "honeytoken.gap.count":
			r.Count = v.GetIntValue()
		case "process.pid":
			pid = strconv.FormatInt(v.GetIntValue(), 10)
		case "process.creation.time":
			created = v.GetStringValue()
		}
	}
	r.Process = pid + " " + created
	return r
}

// Took is what a back end has.
type Took struct {
	Records  []Record
	Spans    map[string]int // how often each came
	Rejected map[string]int // by path
	Requests map[int]int    // by status; 0 for a connection that was cut
}

// Took returns what has come since the start, or since Forget.
func (b *Backend) Took() Took {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := Took{Spans: maps.Clone(b.spans), Rejected: maps.Clone(b.rejected), Requests: maps.Clone(b.requests)}
	for _, r := range b.records {
		t.Records = append(t.Records, *r)
	}
	return t
}

// Forget drops what has come.
func (b *Backend) Forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.records)
	clear(b.spans)
	clear(b.rejected)
	clear(b.requests)
}
