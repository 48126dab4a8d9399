//go:build stack

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// grafana asks data sources as Grafana's do: the same end points, parameters and
// headers, with the macros filled in.
type grafana struct {
	stack stackState
	to    time.Time
}

// step is what Grafana takes for a short range: the data source's scrape interval,
// 15 s unless the data source says otherwise.
const step = 15 * time.Second

// settle waits until the metrics of the incident are there, twice: a rate needs two
// points.
func (g *grafana) settle(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(2 * time.Second) {
		g.to = time.Now()
		series := g.vector(t, `sum(count_over_time(honeytoken_accesses_total[10m])) >= 2 * count(honeytoken_accesses_total) and sum(count_over_time(otelcol_exporter_queue_size[10m])) >= 2`)
		if len(series) > 0 && time.Since(g.stack.End) > 2*step {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no metrics of accesses, or none of the Collector, in Prometheus after 3 minutes")
		}
	}
}

func (g *grafana) from() time.Time { return g.stack.Begin.Add(-time.Minute) }

// window is the dashboard's time range as Loki takes it.
func (g *grafana) window() url.Values {
	return url.Values{"start": {nanos(g.from())}, "end": {nanos(g.to)}}
}

func nanos(at time.Time) string { return strconv.FormatInt(at.UnixNano(), 10) }

func (g *grafana) macros(values map[string]string, instant bool) map[string]string {
	m := maps.Clone(values)
	if m == nil {
		m = map[string]string{}
	}
	window := fmt.Sprintf("%ds", int(g.to.Sub(g.from()).Seconds()))
	m["__range"] = window
	m["__rate_interval"] = (4 * step).String() // 4 scrapes, which is more than a step and a scrape
	m["__auto"] = step.String()
	if instant {
		m["__auto"] = window
	}
	return m
}

func (g *grafana) get(t *testing.T, address string, query url.Values, into any) {
	t.Helper()
	if err := g.ask(t, http.MethodGet, address, query, into); err != nil {
		t.Fatal(err)
	}
}

func (g *grafana) ask(t *testing.T, method, address string, query url.Values, into any) error {
	t.Helper()
	target, body := address, io.Reader(nil)
	if method == http.MethodPost {
		body = strings.NewReader(query.Encode())
	} else if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(t.Context(), method, target, body)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	// Structured metadata apart from labels, as Grafana asks for it.
	req.Header.Set("X-Loki-Response-Encoding-Flags", "categorize-labels")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, address, resp.Status, answer)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("%s %s: %w in %s", method, address, err, answer)
	}
	return nil
}

// result is an answer of Prometheus or of Loki's metric queries.
type result struct {
	Data struct {
		Result []struct {
			Metric map[string]string
			Value  []any
			Values [][]any
		}
	}
}

// series are the labels of those with a number among their values.
func (r result) series() []map[string]string {
	var all []map[string]string
	for _, one := range r.Data.Result {
		values := one.Values
		if one.Value != nil {
			values = append(values, one.Value)
		}
		if slices.ContainsFunc(values, func(v []any) bool { return len(v) == 2 && v[1] != "NaN" }) {
			all = append(all, one.Metric)
		}
	}
	return all
}

func (g *grafana) vector(t *testing.T, expr string) []map[string]string {
	t.Helper()
	var r result
	query := url.Values{"query": {expr}, "time": {fmt.Sprint(g.to.Unix())}}
	if err := g.ask(t, http.MethodPost, g.stack.Prometheus+"/api/v1/query", query, &r); err != nil {
		t.Fatal(err)
	}
	return r.series()
}

// prometheus is one query of a panel.
func (g *grafana) prometheus(t *testing.T, q target, values map[string]string) ([]map[string]string, error) {
	t.Helper()
	var r result
	expr := interpolate(q.expr, g.macros(values, q.instant))
	if q.instant {
		err := g.ask(t, http.MethodPost, g.stack.Prometheus+"/api/v1/query", url.Values{"query": {expr}, "time": {fmt.Sprint(g.to.Unix())}}, &r)
		return r.series(), err
	}
	// Aligned to the step, as Grafana does.
	second := int64(step / time.Second)
	start, end := g.from().Unix()/second*second, g.to.Unix()/second*second
	err := g.ask(t, http.MethodPost, g.stack.Prometheus+"/api/v1/query_range", url.Values{
		"query": {expr}, "start": {fmt.Sprint(start)}, "end": {fmt.Sprint(end)}, "step": {fmt.Sprint(second)}}, &r)
	return r.series(), err
}

// loki is one query of a panel: series' labels, or all that lines have.
func (g *grafana) loki(t *testing.T, q target, values map[string]string) ([]map[string]string, error) {
	t.Helper()
	expr := interpolate(q.expr, g.macros(values, q.instant))
	query := g.window()
	query.Set("query", expr)
	query.Set("direction", "backward")
	query.Set("limit", fmt.Sprint(max(q.limit, 100)))
	if q.instant {
		query.Del("start")
		query.Del("end")
		query.Set("time", nanos(g.to))
		var r result
		err := g.ask(t, http.MethodGet, g.stack.Loki+"/loki/api/v1/query", query, &r)
		return r.series(), err
	}
	query.Set("step", step.String())
	var answer struct{ Data json.RawMessage }
	if err := g.ask(t, http.MethodGet, g.stack.Loki+"/loki/api/v1/query_range", query, &answer); err != nil {
		return nil, err
	}
	return decodeLoki(answer.Data)
}

// sums are the values of an instant query for Loki, by a label.
func (g *grafana) sums(t *testing.T, q target, values map[string]string, by string) map[string]int {
	t.Helper()
	var r result
	query := url.Values{"query": {interpolate(q.expr, g.macros(values, true))}, "time": {nanos(g.to)}}
	g.get(t, g.stack.Loki+"/loki/api/v1/query", query, &r)
	sums := map[string]int{}
	for _, one := range r.Data.Result {
		n, err := strconv.Atoi(fmt.Sprint(one.Value[1]))
		if err != nil {
			t.Fatal(err)
		}
		sums[one.Metric[by]] += n
	}
	return sums
}

// decodeLoki reads a matrix, or streams with their lines.
func decodeLoki(data json.RawMessage) ([]map[string]string, error) {
	var form struct{ ResultType string }
	if err := json.Unmarshal(data, &form); err != nil {
		return nil, err
	}
	if form.ResultType != "streams" {
		var r result
		err := json.Unmarshal(data, &r.Data)
		return r.series(), err
	}
	var streams struct {
		Result []struct {
			Stream map[string]string
			Values [][]json.RawMessage
		}
	}
	if err := json.Unmarshal(data, &streams); err != nil {
		return nil, err
	}
	var all []map[string]string
	for _, s := range streams.Result {
		for _, v := range s.Values {
			entry := maps.Clone(s.Stream)
			var more struct{ StructuredMetadata, Parsed map[string]string }
			if len(v) > 2 {
				if err := json.Unmarshal(v[2], &more); err != nil {
					return nil, err
				}
			}
			maps.Copy(entry, more.StructuredMetadata)
			maps.Copy(entry, more.Parsed)
			entry["Time"] = string(v[0])
			all = append(all, entry)
		}
	}
	return all, nil
}

// lines are the entries of a log query with all that they have.
func (g *grafana) lines(t *testing.T, expr string, limit int64) []map[string]string {
	t.Helper()
	all, err := g.loki(t, target{source: logs, expr: expr, limit: limit}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// jaeger is the trace with the id that the query is.
func (g *grafana) jaeger(t *testing.T, q target, values map[string]string) ([]map[string]string, error) {
	t.Helper()
	var answer struct {
		Data []struct {
			Spans []struct{ SpanID, OperationName string }
		}
	}
	err := g.ask(t, http.MethodGet, g.stack.Jaeger+"/api/traces/"+interpolate(q.expr, values), nil, &answer)
	var all []map[string]string
	for _, trace := range answer.Data {
		for _, s := range trace.Spans {
			all = append(all, map[string]string{"span": s.SpanID, "name": s.OperationName})
		}
	}
	return all, err
}

// values are a variable's.
func (g *grafana) values(t *testing.T, v variable) []string {
	t.Helper()
	var answer struct{ Data []string }
	if v.source == logs {
		query := g.window()
		query.Set("query", anyStream)
		g.get(t, g.stack.Loki+"/loki/api/v1/label/"+v.of+"/values", query, &answer)
		return answer.Data
	}
	g.get(t, g.stack.Prometheus+"/api/v1/label/"+v.of+"/values", url.Values{
		"match[]": {v.metric}, "start": {fmt.Sprint(g.from().Unix())}, "end": {fmt.Sprint(g.to.Unix())}}, &answer)
	return answer.Data
}

// panel runs a panel's queries and holds the answers against what it shows of them.
func (g *grafana) panel(t *testing.T, p panel, values map[string]string) {
	t.Helper()
	for i, q := range p.targets {
		ask := map[source]func(*testing.T, target, map[string]string) ([]map[string]string, error){
			metrics: g.prometheus, logs: g.loki, jaeger: g.jaeger}[q.source]
		got, err := ask(t, q, values)
		switch {
		case err != nil:
			t.Errorf("query %c with %v: %v", 'A'+i, values, err)
		case len(got) == 0 && p.mayBeEmpty == "":
			t.Errorf("query %c with %v has no answer: %s", 'A'+i, values, interpolate(q.expr, g.macros(values, q.instant)))
		case len(got) > 0 && i == 0:
			columnsExist(t, p, got)
		}
	}
}

// columnsExist: what a table shows is what the answer has, apart from what transforms
// add.
func columnsExist(t *testing.T, p panel, answer []map[string]string) {
	t.Helper()
	has := map[string]bool{}
	for _, one := range answer {
		for name := range one {
			has[name] = true
		}
	}
	for _, c := range p.columns {
		if !has[c.field] && !strings.HasPrefix(c.field, "Value") {
			t.Errorf("the answer has no %s for the column %q, it has %v", c.field, c.name, slices.Sorted(maps.Keys(has)))
		}
	}
}
