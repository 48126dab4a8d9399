package exporter

import (
	"context"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
)

// Producer gives what a Meter has counted to a reader of the SDK, one for
// Prometheus say. state is as in [OTLPOptions].
func (m *Meter) Producer(mp *Mapping, state func() (NodeState, bool)) metric.Producer {
	return producer{m, mp, state}
}

type producer struct {
	meter   *Meter
	mapping *Mapping
	state   func() (NodeState, bool)
}

// Produce implements metric.Producer.
func (p producer) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	s, known := p.state()
	if !known {
		return nil, nil
	}
	return p.meter.collect(p.mapping, s).sdk().ScopeMetrics, nil
}

// NodeResource describes the node that the metrics are of.
func (m *Mapping) NodeResource() *resource.Resource {
	return resource.NewWithAttributes(SchemaURL, m.nodeResource()...)
}
