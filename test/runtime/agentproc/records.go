package agentproc

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
)

// Record is one line of `output: [json]`: an access as OpenTelemetry's log data
// model has it.
type Record struct {
	Timestamp         string         `json:"timestamp"`
	ObservedTimestamp string         `json:"observed_timestamp"`
	EventName         string         `json:"event_name"`
	SeverityNumber    int            `json:"severity_number"`
	Body              string         `json:"body"`
	TraceID           string         `json:"trace_id"`
	SpanID            string         `json:"span_id"`
	Resource          map[string]any `json:"resource"`
	Attributes        map[string]any `json:"attributes"`
}

// Text returns a resource or log attribute that is a string; empty if there is
// none.
func (r Record) Text(key string) string {
	for _, m := range []map[string]any{r.Attributes, r.Resource} {
		if s, ok := m[key].(string); ok {
			return s
		}
	}
	return ""
}

// Int returns a numeric attribute; ok is false if there is none.
func (r Record) Int(key string) (n int64, ok bool) {
	f, ok := r.Attributes[key].(float64)
	return int64(f), ok
}

// Texts returns an attribute that is a list of strings.
func (r Record) Texts(key string) []string {
	list, _ := r.Attributes[key].([]any)
	out := make([]string, 0, len(list))
	for _, v := range list {
		s, _ := v.(string)
		out = append(out, s)
	}
	return out
}

// Records collects an agent's records as they come.
type Records struct {
	mu      sync.Mutex
	partial []byte
	all     []Record
	bad     error
	changed chan struct{} // closed and replaced with each record
}

func newRecords() *Records { return &Records{changed: make(chan struct{})} }

// Write implements io.Writer for the agent's standard output.
func (r *Records) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.partial = append(r.partial, b...)
	for {
		line, rest, ok := bytes.Cut(r.partial, []byte{'\n'})
		if !ok {
			return len(b), nil
		}
		r.partial = rest
		var rec Record
		if err := json.Unmarshal(line, &rec); err != nil {
			r.bad = fmt.Errorf("line %q: %w", line, err)
		} else {
			r.all = append(r.all, rec)
		}
		close(r.changed)
		r.changed = make(chan struct{})
	}
}

// All returns the records so far for which keep holds, in their order, and an
// error if a line was no record.
func (r *Records) All(keep func(Record) bool) ([]Record, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Record
	for _, rec := range r.all {
		if keep(rec) {
			out = append(out, rec)
		}
	}
	return slices.Clip(out), r.bad
}

// Wait waits until there are n records for which keep holds, or ctx ends.
func (r *Records) Wait(ctx context.Context, n int, keep func(Record) bool) ([]Record, error) {
	for {
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		got, err := r.All(keep)
		if err != nil || len(got) >= n {
			return got, err
		}
		select {
		case <-ctx.Done():
			return got, fmt.Errorf("%d of %d records: %w", len(got), n, ctx.Err())
		case <-changed:
		}
	}
}
