package collectorproc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Series is one line of Prometheus' text format.
type Series struct {
	Name   string
	Labels map[string]string
	Value  float64
}

// Metrics are the Collector's own.
type Metrics []Series

// Metrics asks the Prometheus end point.
func (c *Collector) Metrics(ctx context.Context) (Metrics, error) {
	if c.cfg.MetricsAddress == "" {
		return nil, errors.New("metrics of the collector: no address was set")
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.cfg.MetricsAddress+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("metrics of the collector: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("metrics of the collector: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metrics of the collector: %s: %s", resp.Status, body)
	}
	return parseMetrics(string(body))
}

// WaitMetrics asks until the metrics are as wanted; what names that in the
// error.
func (c *Collector) WaitMetrics(ctx context.Context, what string, ok func(Metrics) bool) (Metrics, error) {
	for {
		m, err := c.Metrics(ctx)
		if err == nil && ok(m) {
			return m, nil
		}
		select {
		case <-c.exited:
			return m, fmt.Errorf("%s: %w", what, ErrEnded)
		case <-ctx.Done():
			return m, errors.Join(fmt.Errorf("%s: %w (last metrics %v)", what, ctx.Err(), m), err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Sum adds the series of a metric up that have the given labels; found is false
// if there is none. Prometheus' suffix _total may be there or not: a reader of
// the Collector can leave it out.
func (m Metrics) Sum(name string, labels ...string) (sum float64, found bool) {
	for _, s := range m {
		if strings.TrimSuffix(s.Name, "_total") == name && s.has(labels) {
			sum += s.Value
			found = true
		}
	}
	return sum, found
}

// With returns the series whose names begin so.
func (m Metrics) With(prefix string) Metrics {
	var out Metrics
	for _, s := range m {
		if strings.HasPrefix(s.Name, prefix) {
			out = append(out, s)
		}
	}
	return out
}

// has says whether a series has the labels: key, value, key, value.
func (s Series) has(labels []string) bool {
	for i := 0; i+1 < len(labels); i += 2 {
		if s.Labels[labels[i]] != labels[i+1] {
			return false
		}
	}
	return true
}

// parseMetrics reads Prometheus' text format, version 0.0.4, without time
// stamps, which the Collector does not write.
func parseMetrics(text string) (Metrics, error) {
	var out Metrics
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		s, err := parseSeries(line)
		if err != nil {
			return nil, fmt.Errorf("metrics of the collector: %w in %q", err, line)
		}
		out = append(out, s)
	}
	return out, nil
}

func parseSeries(line string) (Series, error) {
	s := Series{Labels: map[string]string{}}
	end := strings.IndexAny(line, "{ ")
	if end <= 0 {
		return s, errors.New("no name")
	}
	s.Name = line[:end]
	rest := line[end:]
	if strings.HasPrefix(rest, "{") {
		rest = rest[1:]
		for !strings.HasPrefix(rest, "}") {
			key, quoted, ok := strings.Cut(rest, "=")
			if !ok {
				return s, errors.New("a label without a value")
			}
			literal, err := strconv.QuotedPrefix(quoted)
			if err != nil {
				return s, fmt.Errorf("label %s: %w", key, err)
			}
			if s.Labels[key], err = strconv.Unquote(literal); err != nil {
				return s, fmt.Errorf("label %s: %w", key, err)
			}
			rest = strings.TrimPrefix(quoted[len(literal):], ",")
		}
		rest = rest[1:]
	}
	var err error
	s.Value, err = strconv.ParseFloat(strings.TrimSpace(rest), 64)
	return s, err
}
