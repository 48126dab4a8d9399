package collector

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Request is one request that the Collector passed on, as OTLP JSON.
type Request struct {
	// Signal is "logs", "traces" or "metrics".
	Signal string
	JSON   json.RawMessage
}

// receive is the server behind the Collector.
func (c *Collector) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || !json.Valid(body) {
		http.Error(w, "not JSON", http.StatusBadRequest)
		return
	}
	signal := map[string]string{"/v1/logs": "logs", "/v1/traces": "traces", "/v1/metrics": "metrics"}[r.URL.Path]
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away || signal == "" {
		c.refused[signal]++
		http.Error(w, "away", http.StatusServiceUnavailable)
		return
	}
	c.received = append(c.received, Request{Signal: signal, JSON: body})
	close(c.changed)
	c.changed = make(chan struct{})
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, "{}")
}

// Requests returns what arrived so far, in order.
func (c *Collector) Requests() []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Request(nil), c.received...)
}

// Refused is how many requests with a signal were answered with 503.
func (c *Collector) Refused(signal string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused[signal]
}

// Wait returns when done says so of what arrived, or with ctx's error.
func (c *Collector) Wait(ctx context.Context, done func(logs []Log, spans []Span) bool) error {
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		logs, err := c.Logs()
		if err != nil {
			return err
		}
		spans, err := c.Spans()
		if err != nil {
			return err
		}
		if done(logs, spans) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting with %d logs and %d spans: %w", len(logs), len(spans), ctx.Err())
		}
	}
}

// Origin is what a log record and a span have around them. Attribute values
// are string, bool, int64, float64, []any or nil.
type Origin struct {
	Resource          map[string]any
	ResourceSchemaURL string
	ScopeName         string
	ScopeVersion      string
	ScopeSchemaURL    string
}

// Log is a log record as received.
type Log struct {
	Origin
	Time, ObservedTime time.Time
	EventName          string
	SeverityNumber     int
	SeverityText       string
	Body               any
	Attributes         map[string]any
	TraceID, SpanID    string
	Flags              uint32
}

// Span is a span as received.
type Span struct {
	Origin
	Name                  string
	Kind                  int // 1 is INTERNAL
	TraceID, SpanID       string
	ParentSpanID          string
	Start, End            time.Time
	Attributes            map[string]any
	StatusCode            int // 0 unset, 1 ok, 2 error
	StatusMessage         string
	Flags                 uint32
	DroppedAttributeCount uint32
}

// decoded is what was received, taken apart. Each request is decoded once:
// tests ask again and again.
type decoded struct {
	mu     sync.Mutex
	next   int // index of the first request that is not decoded
	logs   []Log
	spans  []Span
	points []Point
	err    error // of the first request that is not as it should be
}

// decode brings c.decoded up to date. Its mutex must be held.
func (c *Collector) decode() error {
	d := &c.decoded
	all := c.Requests()
	for _, r := range all[d.next:] {
		d.next++
		var err error
		switch r.Signal {
		case "logs":
			err = d.addLogs(r.JSON)
		case "traces":
			err = d.addSpans(r.JSON)
		case "metrics":
			err = d.addPoints(r.JSON)
		}
		if err != nil && d.err == nil {
			d.err = fmt.Errorf("%s of the collector: %w", r.Signal, err)
		}
	}
	return d.err
}

// Logs returns the log records that arrived so far, in order. They are shared:
// don't change them.
func (c *Collector) Logs() ([]Log, error) {
	c.decoded.mu.Lock()
	defer c.decoded.mu.Unlock()
	err := c.decode()
	return slices.Clip(c.decoded.logs), err
}

// Spans returns the spans that arrived so far, in order, shared like the logs.
func (c *Collector) Spans() ([]Span, error) {
	c.decoded.mu.Lock()
	defer c.decoded.mu.Unlock()
	err := c.decode()
	return slices.Clip(c.decoded.spans), err
}

// Points returns the data points of metrics that arrived so far, in order,
// shared like the logs.
func (c *Collector) Points() ([]Point, error) {
	c.decoded.mu.Lock()
	defer c.decoded.mu.Unlock()
	err := c.decode()
	return slices.Clip(c.decoded.points), err
}

func (d *decoded) addLogs(data []byte) error {
	var req logsRequest
	if err := json.Unmarshal(data, &req); err != nil {
		return err
	}
	for _, rl := range req.ResourceLogs {
		for _, sl := range rl.ScopeLogs {
			for _, l := range sl.LogRecords {
				l := l.Log
				l.Origin = rl.origin(sl.scoped)
				d.logs = append(d.logs, l)
			}
		}
	}
	return nil
}

func (d *decoded) addSpans(data []byte) error {
	var req tracesRequest
	if err := json.Unmarshal(data, &req); err != nil {
		return err
	}
	for _, rs := range req.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				s := s.Span
				s.Origin = rs.origin(ss.scoped)
				d.spans = append(d.spans, s)
			}
		}
	}
	return nil
}
