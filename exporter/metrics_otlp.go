package exporter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/protobuf/proto"
)

// firstExport is when metrics are exported for the first time, so that who has
// just set it up sees something.
const firstExport = 5 * time.Second

// lastExport bounds how long Shutdown waits for metrics. An answer takes
// milliseconds; while a node's agent is replaced, nobody watches the node.
const lastExport = 3 * time.Second

// MetricStats counts exports of metrics.
type MetricStats struct {
	// Exported is how many exports the back end took, Failed how many it did
	// not. A failed one is not repeated: the next one tells what it told.
	Exported uint64 `json:"exported"`
	Failed   uint64 `json:"failed"`
	// RejectedPoints is how many points of Exported it did not accept (partial
	// success).
	RejectedPoints uint64 `json:"rejected_points"`
	// LastError says why the latest export failed; empty when it did not.
	LastError string `json:"last_error,omitempty"`
	// Endpoint is where metrics go; empty when they are turned off.
	Endpoint string `json:"endpoint,omitempty"`
}

// metricExporter is what is used of the official exporters.
type metricExporter interface {
	Export(ctx context.Context, rm *metricdata.ResourceMetrics) error
	Shutdown(ctx context.Context) error
}

// metricDelivery exports metrics from time to time. Nothing is queued and no
// export repeated, since each tells everything since the start.
type metricDelivery struct {
	collect func() (collection, bool)
	news    *news

	// All below but the counts is zero when metrics are turned off.
	settings metricSettings
	exporter metricExporter
	release  func() error
	closing  chan struct{}
	cancel   context.CancelFunc
	done     chan struct{}
	shutdown sync.Once
	result   error

	mu    sync.Mutex
	stats MetricStats
}

// startMetrics reads the environment and starts the goroutine. nil means that
// o asks for no metrics.
func startMetrics(ctx context.Context, m *Mapping, o OTLPOptions, off bool) (*metricDelivery, error) {
	switch {
	case o.Meter == nil && o.State == nil:
		return nil, nil
	case o.Meter == nil || o.State == nil:
		return nil, errors.New("metrics: a Meter without State, or State without a Meter")
	}
	d := &metricDelivery{
		collect: func() (collection, bool) {
			s, known := o.State()
			return o.Meter.collect(m, s), known
		},
		news: newNews(o.Logger, "metrics", time.Now),
	}
	e := env{getenv: o.Getenv, signal: metricsSignal()}
	on, err := e.selected()
	if err != nil {
		return nil, err
	}
	if off || !on {
		return d, nil
	}
	target, err := e.endpoint()
	if err != nil {
		return nil, err
	}
	if d.settings, err = e.metricSettings(); err != nil {
		return nil, err
	}
	if d.exporter, d.release, err = newMetricExporter(ctx, target); err != nil {
		return nil, fmt.Errorf("metrics to %s: %w", target, err)
	}
	d.stats.Endpoint = target.String()
	d.closing, d.done = make(chan struct{}), make(chan struct{})
	run, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	go func() {
		defer close(d.done)
		d.run(run)
	}()
	return d, nil
}

func newMetricExporter(ctx context.Context, e endpoint) (exporter metricExporter, release func() error, err error) {
	if e.protocol == protocolGRPC {
		conn, err := dial(e)
		if err != nil {
			return nil, nil, err
		}
		exporter, err = otlpmetricgrpc.New(ctx,
			otlpmetricgrpc.WithGRPCConn(conn),
			otlpmetricgrpc.WithHeaders(e.headers),
			otlpmetricgrpc.WithTimeout(e.timeout),
			otlpmetricgrpc.WithRetry(otlpmetricgrpc.RetryConfig{}))
		if err != nil {
			return nil, nil, errors.Join(err, conn.Close())
		}
		return exporter, conn.Close, nil
	}
	client, release := httpClient(e, func() proto.Message { return new(colmetrics.ExportMetricsServiceResponse) })
	compression := otlpmetrichttp.NoCompression
	if e.gzip {
		compression = otlpmetrichttp.GzipCompression
	}
	exporter, err = otlpmetrichttp.New(ctx,
		otlpmetrichttp.WithEndpointURL(e.url.String()),
		otlpmetrichttp.WithHTTPClient(client),
		otlpmetrichttp.WithHeaders(e.headers),
		otlpmetrichttp.WithCompression(compression),
		otlpmetrichttp.WithTimeout(e.timeout),
		otlpmetrichttp.WithRetry(otlpmetrichttp.RetryConfig{}))
	return exporter, release, err
}

// run exports until closing, then once more, or until ctx ends.
func (d *metricDelivery) run(ctx context.Context) {
	timer := time.NewTimer(min(firstExport, d.settings.interval))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			timer.Reset(d.settings.interval) // before the export, whose length is not to delay the next
			d.export(ctx)
		case <-d.closing:
			d.export(ctx)
			if s := d.snapshot(); s.LastError != "" {
				d.news.log.Warn("last metrics not delivered", "error", s.LastError)
			}
			return
		case <-ctx.Done():
			return
		}
	}
}

func (d *metricDelivery) export(ctx context.Context) {
	c, known := d.collect()
	if !known {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, d.settings.timeout)
	defer cancel()
	ctx, ans := withAnswer(ctx)
	err := d.exporter.Export(ctx, c.sdk())
	d.note(ans.outcome(err), err)
}

// note counts an export. The log hears of the first one of an outage and of the
// first one after it.
func (d *metricDelivery) note(out outcome, err error) {
	cause := out.cause
	if out.verdict == delivered && out.rejected > 0 {
		cause, err = causeRejected, fmt.Errorf("partial success, %d points not accepted: %s", out.rejected, bounded(out.message, maxReason))
	}
	d.mu.Lock()
	first := d.stats.LastError == ""
	if out.verdict == delivered {
		d.stats.Exported++
		d.stats.RejectedPoints += uint64(max(out.rejected, 0)) //nolint:gosec // not negative
	} else {
		d.stats.Failed++
	}
	d.stats.LastError = ""
	if cause != "" {
		d.stats.LastError = cmp.Or(reason(err), cause)
	}
	d.mu.Unlock()
	switch {
	case cause == "":
		d.news.works()
	case first:
		d.news.fails(cause, err)
	}
}

// stop exports a last time, for as long as ctx and lastExport last. That the
// back end doesn't have it is told in the log, and is no error: nothing of an
// access is lost with it.
func (d *metricDelivery) stop(ctx context.Context) error {
	if d == nil || d.exporter == nil {
		return nil
	}
	d.shutdown.Do(func() {
		close(d.closing)
		wait, done := context.WithTimeout(ctx, lastExport)
		defer done()
		select {
		case <-d.done:
		case <-wait.Done():
		}
		d.cancel()
		<-d.done
		// Not ctx, which may be over: closing needs no time.
		if err := errors.Join(d.exporter.Shutdown(context.WithoutCancel(ctx)), d.release()); err != nil {
			d.result = fmt.Errorf("metrics: %w", err)
		}
	})
	return d.result
}

// snapshot is nil if no metrics were asked for.
func (d *metricDelivery) snapshot() *MetricStats {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stats
	return &s
}
