package exporter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/protobuf/proto"
)

// The exporters make one attempt per call. Their own retry gives up after a
// minute, and after their time-out in any case, and then the batch is gone.

// logSender is the sender of log records.
type logSender struct {
	mapping  *Mapping
	encoder  *logEncoder
	exporter sdklog.Exporter
	release  func() error
}

func (s *logSender) send(ctx context.Context, batch []item) (outcome, error) {
	for _, it := range batch {
		s.encoder.add(ctx, s.mapping.of(it))
	}
	ctx, ans := withAnswer(ctx)
	err := s.exporter.Export(ctx, s.encoder.take())
	return ans.outcome(err), err
}

func (s *logSender) close(ctx context.Context) error {
	return errors.Join(s.exporter.Shutdown(ctx), s.release())
}

// spanSender is the sender of spans.
type spanSender struct {
	mapping  *Mapping
	encoder  *spanEncoder
	exporter sdktrace.SpanExporter
	release  func() error
}

func (s *spanSender) send(ctx context.Context, batch []item) (outcome, error) {
	for _, it := range batch {
		s.encoder.add(ctx, s.mapping.of(it))
	}
	ctx, ans := withAnswer(ctx)
	err := s.exporter.ExportSpans(ctx, s.encoder.take())
	return ans.outcome(err), err
}

func (s *spanSender) close(ctx context.Context) error {
	return errors.Join(s.exporter.Shutdown(ctx), s.release())
}

func newLogSender(ctx context.Context, m *Mapping, e endpoint) (sender, error) {
	exporter, release, err := logExporter(ctx, e)
	if err != nil {
		return nil, err
	}
	return &logSender{mapping: m, encoder: newLogEncoder(m.version), exporter: exporter, release: release}, nil
}

func logExporter(ctx context.Context, e endpoint) (exporter sdklog.Exporter, release func() error, err error) {
	if e.protocol == protocolGRPC {
		conn, err := dial(e)
		if err != nil {
			return nil, nil, err
		}
		exporter, err = otlploggrpc.New(ctx,
			otlploggrpc.WithGRPCConn(conn),
			otlploggrpc.WithHeaders(e.headers),
			otlploggrpc.WithTimeout(e.timeout),
			otlploggrpc.WithRetry(otlploggrpc.RetryConfig{}))
		if err != nil {
			return nil, nil, errors.Join(err, conn.Close())
		}
		return exporter, conn.Close, nil
	}
	client, release := httpClient(e, func() proto.Message { return new(collogs.ExportLogsServiceResponse) })
	compression := otlploghttp.NoCompression
	if e.gzip {
		compression = otlploghttp.GzipCompression
	}
	exporter, err = otlploghttp.New(ctx,
		otlploghttp.WithEndpointURL(e.url.String()),
		otlploghttp.WithHTTPClient(client),
		otlploghttp.WithHeaders(e.headers),
		otlploghttp.WithCompression(compression),
		otlploghttp.WithTimeout(e.timeout),
		otlploghttp.WithRetry(otlploghttp.RetryConfig{}))
	return exporter, release, err
}

func newSpanSender(ctx context.Context, m *Mapping, e endpoint) (sender, error) {
	client, release, err := spanClient(e)
	if err != nil {
		return nil, err
	}
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, errors.Join(err, release())
	}
	return &spanSender{mapping: m, encoder: newSpanEncoder(m.version), exporter: exporter, release: release}, nil
}

func spanClient(e endpoint) (client otlptrace.Client, release func() error, err error) {
	if e.protocol == protocolGRPC {
		conn, err := dial(e)
		if err != nil {
			return nil, nil, err
		}
		return otlptracegrpc.NewClient(
			otlptracegrpc.WithGRPCConn(conn),
			otlptracegrpc.WithHeaders(e.headers),
			otlptracegrpc.WithTimeout(e.timeout),
			otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{})), conn.Close, nil
	}
	hc, release := httpClient(e, func() proto.Message { return new(coltrace.ExportTraceServiceResponse) })
	compression := otlptracehttp.NoCompression
	if e.gzip {
		compression = otlptracehttp.GzipCompression
	}
	return otlptracehttp.NewClient(
		otlptracehttp.WithEndpointURL(e.url.String()),
		otlptracehttp.WithHTTPClient(hc),
		otlptracehttp.WithHeaders(e.headers),
		otlptracehttp.WithCompression(compression),
		otlptracehttp.WithTimeout(e.timeout),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{})), release, nil
}

// dial prepares a connection; it is made when it is first needed, so an end
// point that isn't there yet is no error here.
func dial(e endpoint) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if e.tls != nil {
		creds = credentials.NewTLS(e.tls)
	}
	target := "dns:///" + e.hostPort()
	if e.url.Scheme == "unix" {
		target = "unix://" + e.url.Path
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithUnaryInterceptor(observeGRPC),
		// grpc-go answers at once with the last failure while it waits to
		// connect again, up to two minutes by default. The pipeline paces
		// itself; the connection must not be slower than that.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: e.timeout,
		}),
	}
	if e.gzip {
		options = append(options, grpc.WithDefaultCallOptions(grpc.UseCompressor(gzip.Name)))
	}
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		return nil, fmt.Errorf("connection to %s: %w", target, err)
	}
	return conn, nil
}

// httpClient observes every answer. release closes the connections that it
// keeps for later. A redirection is followed only where the
// method stays POST (307, 308): at 301 to 303 net/http would fetch the target
// with GET, and the 200 of a log-in page would look like a delivery.
func httpClient(e endpoint, response func() proto.Message) (client *http.Client, release func() error) {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		TLSClientConfig:       e.tls,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          1,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   e.timeout,
		ExpectContinueTimeout: time.Second,
	}
	client = &http.Client{
		Transport: observeHTTP{next: transport, response: response, now: time.Now},
		Timeout:   e.timeout,
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if req.Method != http.MethodPost || len(via) >= 5 {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
	return client, func() error { transport.CloseIdleConnections(); return nil }
}
