package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/beesting-otel/beesting/exporter"
	"github.com/beesting-otel/beesting/internal/web"
)

// scrapeTime bounds one answer to a scrape; Prometheus waits for 10 s unless told
// otherwise.
const scrapeTime = 9 * time.Second

// prometheus answers scrapes with the node's metrics, and with what this process
// needs of the machine.
func (m *metrics) prometheus(mapping *exporter.Mapping) (http.Handler, error) {
	registry := prometheus.NewRegistry()
	reader, err := otelprometheus.New(
		otelprometheus.WithRegisterer(registry),
		otelprometheus.WithProducer(m.meter.Producer(mapping, m.state)),
		otelprometheus.WithoutScopeInfo(), // there is one scope
	)
	if err != nil {
		return nil, fmt.Errorf("metrics for Prometheus: %w", err)
	}
	// It owns nothing that would have to be shut down.
	metric.NewMeterProvider(metric.WithReader(reader), metric.WithResource(mapping.NodeResource()))
	for _, c := range []prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("metrics for Prometheus: %w", err)
		}
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: 2, Timeout: scrapeTime,
	}), nil
}

// web says what is asked over HTTP.
func (n *node) web() web.Options {
	return web.Options{
		Address: n.config.HTTP.Address, Profiles: n.config.HTTP.Profiles, Metrics: n.scrapes, Log: n.log,
		NotReady: func() []string { return n.status().health(time.Now(), 0).Reasons },
	}
}
