package collector

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func newReceiver() *Collector {
	return &Collector{refused: map[string]int{}, changed: make(chan struct{})}
}

func (c *Collector) post(t *testing.T, path, body string) int {
	t.Helper()
	w := httptest.NewRecorder()
	c.receive(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body)))
	return w.Code
}

const (
	resource  = `"resource":{"attributes":[{"key":"host.name","value":{"stringValue":"h"}}]},"schemaUrl":"s"`
	logsJSON  = `{"resourceLogs":[{` + resource + `,"scopeLogs":[{"scope":{"name":"x"},"logRecords":[{"timeUnixNano":"1000000000","body":{"stringValue":"b"}}]}]}]}`
	spansJSON = `{"resourceSpans":[{` + resource + `,"scopeSpans":[{"spans":[{"name":"n","startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]}`
	sumJSON   = `{"resourceMetrics":[{` + resource + `,"scopeMetrics":[{"metrics":[
		{"name":"a","unit":"{access}","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[
			{"attributes":[{"key":"k","value":{"stringValue":"v"}}],"startTimeUnixNano":"1","timeUnixNano":"3000000000","asInt":"7"}]}},
		{"name":"b","gauge":{"dataPoints":[{"timeUnixNano":"4000000000","asDouble":0.5}]}},
		{"name":"c","histogram":{"aggregationTemporality":1,"dataPoints":[{"timeUnixNano":"1","count":"3"}]}}]}]}]}`
)

func TestReceives(t *testing.T) {
	c := newReceiver()
	for range 2 { // what was decoded once stays, what is new is added
		for path, body := range map[string]string{"/v1/logs": logsJSON, "/v1/traces": spansJSON, "/v1/metrics": sumJSON} {
			if code := c.post(t, path, body); code != http.StatusOK {
				t.Errorf("%s: %d", path, code)
			}
		}
		if _, err := c.Logs(); err != nil {
			t.Fatal(err)
		}
	}
	logs, err := c.Logs()
	if err != nil || len(logs) != 2 || logs[1].Body != "b" || logs[1].Resource["host.name"] != "h" || !logs[1].Time.Equal(time.Unix(1, 0)) {
		t.Errorf("logs %+v, %v", logs, err)
	}
	spans, err := c.Spans()
	if err != nil || len(spans) != 2 || spans[0].Name != "n" || spans[0].ResourceSchemaURL != "s" {
		t.Errorf("spans %+v, %v", spans, err)
	}
	points, err := c.Points()
	if err != nil || len(points) != 6 {
		t.Fatalf("points %+v, %v", points, err)
	}
	sum := points[0]
	if sum.Name != "a" || sum.Kind != "sum" || !sum.Monotonic || sum.Temporality != 2 || sum.Value != 7 ||
		sum.Attributes["k"] != "v" || sum.Resource["host.name"] != "h" || !sum.Time.Equal(time.Unix(3, 0)) {
		t.Errorf("sum %+v", sum)
	}
	if points[1].Kind != "gauge" || points[1].Value != 0.5 || points[2].Kind != "histogram" || points[2].Value != 3 {
		t.Errorf("gauge %+v, histogram %+v", points[1], points[2])
	}
}

func TestRefuses(t *testing.T) {
	c := newReceiver()
	c.SetAway(true)
	if code := c.post(t, "/v1/logs", logsJSON); code != http.StatusServiceUnavailable {
		t.Errorf("%d while away", code)
	}
	c.SetAway(false)
	if code := c.post(t, "/v1/logs", "no JSON"); code != http.StatusBadRequest {
		t.Errorf("%d for what is no JSON", code)
	}
	if n := c.Refused("logs"); n != 1 || len(c.Requests()) != 0 {
		t.Errorf("%d refused, %d taken", n, len(c.Requests()))
	}
	c.post(t, "/v1/traces", `{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"x"}]}]}]}`)
	if _, err := c.Spans(); err == nil {
		t.Error("a time that is none, and no error")
	}
}
