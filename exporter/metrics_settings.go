package exporter

import (
	"fmt"
	"strings"
	"time"
)

// metricSettings says when metrics are exported.
type metricSettings struct {
	interval time.Duration // from one export to the next
	timeout  time.Duration // of an export, collection included
}

// The defaults are the specification's.
const (
	defaultMetricInterval = time.Minute
	defaultMetricTimeout  = 30 * time.Second
)

// metricSettings reads what only metrics have. Delta temporality is refused: a
// failed export would have to be kept and sent again, while the next cumulative
// one makes up for it. A Collector converts for a back end that wants deltas.
func (e env) metricSettings() (out metricSettings, err error) {
	for _, s := range []struct {
		variable  string
		otherwise time.Duration
		to        *time.Duration
	}{
		{"OTEL_METRIC_EXPORT_INTERVAL", defaultMetricInterval, &out.interval},
		{"OTEL_METRIC_EXPORT_TIMEOUT", defaultMetricTimeout, &out.timeout},
	} {
		if *s.to, err = milliseconds(strings.TrimSpace(e.getenv(s.variable)), s.variable, s.otherwise); err != nil {
			return out, err
		}
	}
	const temporality = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
	switch v := strings.TrimSpace(e.getenv(temporality)); strings.ToLower(v) {
	case "", "cumulative":
		return out, nil
	default:
		return out, fmt.Errorf("%s=%q: must be cumulative; the Collector's cumulativetodelta processor makes deltas of it", temporality, v)
	}
}
