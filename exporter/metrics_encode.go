package exporter

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
)

// The two encoders of a collection. What a Collector's consumer is handed and
// what a back end receives from the agent is the same OTLP: a test compares
// them byte for byte.

// PData gives all metrics at this moment, of what was observed and of s.
func (m *Meter) PData(mp *Mapping, s NodeState) pmetric.Metrics {
	return m.collect(mp, s).pdata()
}

func (c collection) pdata() pmetric.Metrics {
	all := pmetric.NewMetrics()
	rm := all.ResourceMetrics().AppendEmpty()
	rm.SetSchemaUrl(SchemaURL)
	putAttributes(rm.Resource().Attributes(), c.resource)
	sm := rm.ScopeMetrics().AppendEmpty()
	sm.SetSchemaUrl(SchemaURL)
	sm.Scope().SetName(ScopeName)
	sm.Scope().SetVersion(c.version)
	for _, m := range c.metrics {
		out := sm.Metrics().AppendEmpty()
		out.SetName(m.name)
		out.SetDescription(m.says)
		out.SetUnit(m.unit)
		if m.instrument == histogram {
			c.pdataHistogram(out.SetEmptyHistogram(), m)
			continue
		}
		sum := out.SetEmptySum()
		sum.SetIsMonotonic(m.instrument == counter)
		sum.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		for _, p := range m.points {
			dp := sum.DataPoints().AppendEmpty()
			dp.SetStartTimestamp(pcommon.NewTimestampFromTime(c.start))
			dp.SetTimestamp(pcommon.NewTimestampFromTime(c.at))
			putAttributes(dp.Attributes(), p.attributes.ToSlice())
			if m.fractional {
				dp.SetDoubleValue(p.f)
			} else {
				dp.SetIntValue(p.n)
			}
		}
	}
	return all
}

func (c collection) pdataHistogram(out pmetric.Histogram, m measured) {
	out.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	for _, p := range m.points {
		dp := out.DataPoints().AppendEmpty()
		dp.SetStartTimestamp(pcommon.NewTimestampFromTime(c.start))
		dp.SetTimestamp(pcommon.NewTimestampFromTime(c.at))
		putAttributes(dp.Attributes(), p.attributes.ToSlice())
		dp.SetCount(p.h.count())
		dp.SetSum(p.h.Seconds)
		dp.ExplicitBounds().FromRaw(p.h.Bounds)
		dp.BucketCounts().FromRaw(p.h.Buckets)
	}
}

// sdk gives the metrics as the official exporters take them. They are made here
// rather than by a MeterProvider: the receiver has none, and its callbacks would
// read the state anew for every metric.
func (c collection) sdk() *metricdata.ResourceMetrics {
	metrics := make([]metricdata.Metrics, 0, len(c.metrics))
	for _, m := range c.metrics {
		out := metricdata.Metrics{Name: m.name, Description: m.says, Unit: m.unit}
		switch {
		case m.instrument == histogram:
			out.Data = sdkHistogram(c, m)
		case m.fractional:
			out.Data = sdkSum(c, m, func(p point) float64 { return p.f })
		default:
			out.Data = sdkSum(c, m, func(p point) int64 { return p.n })
		}
		metrics = append(metrics, out)
	}
	return &metricdata.ResourceMetrics{
		Resource: resource.NewWithAttributes(SchemaURL, c.resource...),
		ScopeMetrics: []metricdata.ScopeMetrics{{
			Scope:   instrumentation.Scope{Name: ScopeName, Version: c.version, SchemaURL: SchemaURL},
			Metrics: metrics,
		}},
	}
}

func sdkSum[N int64 | float64](c collection, m measured, value func(point) N) metricdata.Sum[N] {
	sum := metricdata.Sum[N]{Temporality: metricdata.CumulativeTemporality, IsMonotonic: m.instrument == counter}
	for _, p := range m.points {
		sum.DataPoints = append(sum.DataPoints, metricdata.DataPoint[N]{
			Attributes: p.attributes, StartTime: c.start, Time: c.at, Value: value(p),
		})
	}
	return sum
}

func sdkHistogram(c collection, m measured) metricdata.Histogram[float64] {
	h := metricdata.Histogram[float64]{Temporality: metricdata.CumulativeTemporality}
	for _, p := range m.points {
		h.DataPoints = append(h.DataPoints, metricdata.HistogramDataPoint[float64]{
			Attributes: p.attributes, StartTime: c.start, Time: c.at, Count: p.h.count(),
			Bounds: p.h.Bounds, BucketCounts: p.h.Buckets, Sum: p.h.Seconds,
		})
	}
	return h
}
