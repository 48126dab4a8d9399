package collector

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Point is a data point of a metric as received.
type Point struct {
	Origin
	Name, Unit string
	// Kind is "sum", "gauge" or "histogram".
	Kind string
	// Monotonic and Temporality (1 delta, 2 cumulative) are a sum's, the latter
	// a histogram's too.
	Monotonic   bool
	Temporality int
	Attributes  map[string]any
	// Value is a histogram's count, and else the value.
	Value       float64
	Start, Time time.Time
}

type metricsRequest struct {
	ResourceMetrics []struct {
		resourced
		ScopeMetrics []struct {
			scoped
			Metrics []jsonMetric `json:"metrics"`
		} `json:"scopeMetrics"`
	} `json:"resourceMetrics"`
}

type jsonMetric struct {
	Name      string      `json:"name"`
	Unit      string      `json:"unit"`
	Sum       *jsonPoints `json:"sum"`
	Gauge     *jsonPoints `json:"gauge"`
	Histogram *jsonPoints `json:"histogram"`
}

type jsonPoints struct {
	Monotonic   bool        `json:"isMonotonic"`
	Temporality int         `json:"aggregationTemporality"`
	DataPoints  []jsonPoint `json:"dataPoints"`
}

type jsonPoint struct {
	Attributes        keyValues `json:"attributes"`
	StartTimeUnixNano nanos     `json:"startTimeUnixNano"`
	TimeUnixNano      nanos     `json:"timeUnixNano"`
	AsInt             *string   `json:"asInt"`
	AsDouble          *float64  `json:"asDouble"`
	Count             *string   `json:"count"`
}

func (d *decoded) addPoints(data []byte) error {
	var req metricsRequest
	if err := json.Unmarshal(data, &req); err != nil {
		return err
	}
	for _, rm := range req.ResourceMetrics {
		for _, sm := range rm.ScopeMetrics {
			for _, m := range sm.Metrics {
				points, err := m.points()
				if err != nil {
					return fmt.Errorf("metric %s: %w", m.Name, err)
				}
				for _, p := range points {
					p.Origin = rm.origin(sm.scoped)
					d.points = append(d.points, p)
				}
			}
		}
	}
	return nil
}

func (m jsonMetric) points() ([]Point, error) {
	var out []Point
	for kind, in := range map[string]*jsonPoints{"sum": m.Sum, "gauge": m.Gauge, "histogram": m.Histogram} {
		if in == nil {
			continue
		}
		for _, p := range in.DataPoints {
			value, err := p.value()
			if err != nil {
				return nil, err
			}
			out = append(out, Point{
				Name: m.Name, Unit: m.Unit, Kind: kind, Monotonic: in.Monotonic, Temporality: in.Temporality,
				Attributes: p.Attributes, Value: value,
				Start: time.Time(p.StartTimeUnixNano), Time: time.Time(p.TimeUnixNano),
			})
		}
	}
	return out, nil
}

func (p jsonPoint) value() (float64, error) {
	switch {
	case p.AsDouble != nil:
		return *p.AsDouble, nil
	case p.AsInt != nil:
		return strconv.ParseFloat(*p.AsInt, 64)
	case p.Count != nil:
		return strconv.ParseFloat(*p.Count, 64)
	}
	return 0, nil // a point without a recorded value
}
