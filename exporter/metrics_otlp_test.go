package exporter

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// metricService is the metrics service of a backend.
type metricService struct {
	colmetrics.UnimplementedMetricsServiceServer
	b *backend
}

// Export implements the metrics service.
func (m metricService) Export(ctx context.Context, req *colmetrics.ExportMetricsServiceRequest) (*colmetrics.ExportMetricsServiceResponse, error) {
	m.b.noteMetadata(ctx)
	r := m.b.acceptMetrics(req)
	if r != nil && r.rejected > 0 {
		return rejectedPoints(r), nil
	}
	return &colmetrics.ExportMetricsServiceResponse{}, r.asGRPC()
}

func rejectedPoints(r *refusal) *colmetrics.ExportMetricsServiceResponse {
	return &colmetrics.ExportMetricsServiceResponse{PartialSuccess: &colmetrics.ExportMetricsPartialSuccess{
		RejectedDataPoints: r.rejected, ErrorMessage: "too old",
	}}
}

func (b *backend) acceptMetrics(req *colmetrics.ExportMetricsServiceRequest) *refusal {
	return b.accept("metrics", nil, func() { b.metrics = append(b.metrics, req) })
}

// exports returns the requests that arrived so far.
func (b *backend) exports() []*colmetrics.ExportMetricsServiceRequest {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.metrics)
}

// asPData is a request as the Collector's library reads it.
func asPData(t testing.TB, req *colmetrics.ExportMetricsServiceRequest) pmetric.Metrics {
	t.Helper()
	data, err := proto.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	in := pmetricotlp.NewExportRequest()
	if err := in.UnmarshalProto(data); err != nil {
		t.Fatal(err)
	}
	return in.Metrics()
}

// metricsTo starts an exporter with a meter and sampleState.
func metricsTo(t testing.TB, m *Meter, log *slog.Logger, variables ...string) *OTLP {
	t.Helper()
	o, err := newOTLP(t.Context(), sampleMapping(t), OTLPOptions{
		Getenv: envOf(variables...), Logger: log, Meter: m, State: knownState,
	}, testPace)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = o.Shutdown(ctx) // the test looked at the result of its own call
	})
	return o
}

// often makes exports come quickly, the first one too.
var oftenFlags = []string{"OTEL_METRIC_EXPORT_INTERVAL", "5"}

// latest is the value of the sample accesses at the back end.
func latest(t testing.TB, b *backend) float64 {
	t.Helper()
	all := b.exports()
	if len(all) == 0 {
		return 0
	}
	sum := 0.0
	for _, n := range points(t, asPData(t, all[len(all)-1]), "honeytoken.accesses") {
		sum += n
	}
	return sum
}

// The official exporters send what the Collector's consumer is handed: the same
// bytes, once both are written by the same library.
func TestMetricsParity(t *testing.T) {
	meters := map[string]*Meter{"samples": sampleMeter(), "nothing": NewMeter(func() time.Time { return at })}
	clock := func() time.Time { return at }
	crowd := NewMeter(clock)
	for i := range maxSeries + 2 {
		a := numbered(i)
		c := *sampleContainer()
		c.Pod.Namespace = strings.Repeat("x", i%60) + string(rune('a'+i%26)) + string(rune(0x100+i))
		a.Placement.Container = &c
		crowd.Observe(&a)
	}
	hostileAccess := hostile()
	crowd.Observe(&hostileAccess)
	meters["crowd"] = crowd
	for name, m := range meters {
		t.Run(name, func(t *testing.T) {
			m.now = clock // every collection is of the same moment
			protocols(t, func(t *testing.T, b *backend, variables []string) {
				o := metricsTo(t, m, testLog(t), variables...)
				drain(t, o)
				got := b.exports()
				if len(got) != 1 {
					t.Fatalf("%d exports", len(got))
				}
				data, err := pmetricotlp.NewExportRequestFromMetrics(m.PData(sampleMapping(t), sampleState())).MarshalProto()
				if err != nil {
					t.Fatal(err)
				}
				var want colmetrics.ExportMetricsServiceRequest
				if err := proto.Unmarshal(data, &want); err != nil {
					t.Fatal(err)
				}
				if !proto.Equal(got[0], &want) {
					t.Errorf("sent:\n%v\nwant:\n%v", got[0], &want)
				}
				if s := o.Stats().Metrics; s.Exported != 1 || s.Failed != 0 || s.LastError != "" || s.Endpoint == "" {
					t.Errorf("stats %+v", s)
				}
			})
		})
	}
}

// Exports come from time to time, and at Shutdown with what happened since.
func TestMetricsPeriodic(t *testing.T) {
	protocols(t, func(t *testing.T, b *backend, variables []string) {
		m := NewMeter(time.Now)
		o := metricsTo(t, m, testLog(t), append(variables, oftenFlags...)...)
		a := sampleAccess()
		for n := range 3 {
			m.Observe(&a)
			eventually(t, "an export with the access", func() bool { return latest(t, b) == float64(n+1) })
		}
		slow := metricsTo(t, m, testLog(t), variables...)
		m.Observe(&a)
		drain(t, o)
		before := len(b.exports())
		drain(t, slow)
		if n := len(b.exports()); n != before+1 || latest(t, b) != 4 {
			t.Errorf("%d exports, then %d with %v accesses", before, n, latest(t, b))
		}
		if err := slow.Shutdown(t.Context()); err != nil || len(b.exports()) != before+1 {
			t.Errorf("second Shutdown: %v, %d exports", err, len(b.exports()))
		}
	})
}

// Without anything set, the first export comes after five seconds and the next
// after a minute.
func TestMetricsDefaults(t *testing.T) {
	e := env{envOf(), metricsSignal()}
	s, err := e.metricSettings()
	if err != nil || s.interval != time.Minute || s.timeout != 30*time.Second || firstExport != 5*time.Second {
		t.Errorf("%+v, %v", s, err)
	}
	for _, c := range []struct {
		variables []string
		want      string
	}{
		{nil, "http/protobuf http://localhost:4318/v1/metrics"},
		{[]string{"METRICS_ENDPOINT", "http://m:1/x", "METRICS_PROTOCOL", "http/protobuf", "PROTOCOL", "grpc"}, "http/protobuf http://m:1/x"},
		{[]string{"METRICS_PROTOCOL", "grpc", "ENDPOINT", "http://c:9"}, "grpc http://c:9"},
	} {
		got, err := env{otlpEnv(c.variables...), metricsSignal()}.endpoint()
		if err != nil || got.String() != c.want {
			t.Errorf("%v: %q, %v; want %q", c.variables, got, err, c.want)
		}
	}
}

// A back end that comes late, goes and comes back has the whole count after
// each: nothing is queued and nothing is lost. The log hears of it once.
func TestMetricsOutage(t *testing.T) {
	address := unusedAddress(t)
	var log syncBuffer
	m := NewMeter(time.Now)
	o := metricsTo(t, m, slog.New(slog.NewTextHandler(&log, nil)), append(oftenFlags,
		"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+address)...)
	a := sampleAccess()
	m.Observe(&a)
	eventually(t, "failures", func() bool { return o.Stats().Metrics.Failed > 3 })
	if s := o.Stats().Metrics; s.LastError == "" || s.Exported != 0 {
		t.Errorf("at the start: %+v", s)
	}
	b := &backend{}
	b.serveGRPC(t, address)
	eventually(t, "the first export", func() bool { return latest(t, b) == 1 })
	b.set(func(string, []string) *refusal { return rpcError(status.New(codes.Unavailable, "no")) })
	failed := o.Stats().Metrics.Failed
	m.Observe(&a)
	eventually(t, "failures", func() bool { return o.Stats().Metrics.Failed > failed+3 })
	b.set(nil)
	eventually(t, "the count of both", func() bool { return latest(t, b) == 2 && o.Stats().Metrics.LastError == "" })
	drain(t, o)
	if text := log.String(); strings.Count(text, "not delivered") != 2 || strings.Count(text, "delivered again") != 2 || !strings.Contains(text, "signal=metrics") {
		t.Errorf("log:\n%s", text)
	}
}

// syncBuffer is a buffer that is written to by goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// A back end that takes no metrics, or not all points, is told of once in the
// log, and the other signals don't suffer.
func TestMetricsRefused(t *testing.T) {
	for name, answer := range map[string]*refusal{
		"not there": {grpc: status.Error(codes.Unimplemented, "no metrics here"), http: 404},
		"web page":  {grpc: status.Error(codes.Internal, "hm"), http: 200, header: http.Header{"Content-Type": {"text/html"}}, body: "<html>log in"},
		"partly":    {rejected: 2},
	} {
		t.Run(name, func(t *testing.T) {
			protocols(t, func(t *testing.T, b *backend, variables []string) {
				b.refuse = func(signal string, _ []string) *refusal {
					if signal == "metrics" {
						return answer
					}
					return nil
				}
				var log syncBuffer
				o := metricsTo(t, sampleMeter(), slog.New(slog.NewTextHandler(&log, nil)), append(variables, oftenFlags...)...)
				deliver(t, o, 0, 5)
				eventually(t, "three exports", func() bool { s := o.Stats().Metrics; return s.Exported+s.Failed >= 3 })
				drain(t, o)
				wantStats(t, o.Stats().Logs, 5, 5, nil)
				wantStats(t, o.Stats().Spans, 5, 5, nil)
				s := o.Stats().Metrics
				if partly := answer.rejected > 0; s.LastError == "" || partly != (s.Failed == 0) || partly != (s.Exported > 0) || s.RejectedPoints != s.Exported*uint64(answer.rejected) {
					t.Errorf("stats %+v", s)
				}
				if text := log.String(); strings.Count(text, "telemetry not delivered") != 1 || strings.Count(text, "\n") != 2 {
					t.Errorf("log:\n%s", text)
				}
			})
		})
	}
}

// Shutdown ends soon though the back end doesn't answer. What can't be told
// is logged, and is no error: nothing of an access is lost with it.
func TestMetricsShutdownInTime(t *testing.T) {
	for name, variables := range map[string][]string{
		"nobody listens": {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://" + unusedAddress(t)},
		"no answer": {"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc",
			"OTEL_EXPORTER_OTLP_ENDPOINT", "http://" + (&backend{}).serveGRPC(t, "127.0.0.1:0", grpc.UnaryInterceptor(blockForEver))},
	} {
		t.Run(name, func(t *testing.T) {
			var log syncBuffer
			o := metricsTo(t, sampleMeter(), slog.New(slog.NewTextHandler(&log, nil)), variables...)
			start := time.Now()
			err := o.Shutdown(t.Context())
			if took := time.Since(start); err != nil || took > 2*lastExport {
				t.Errorf("took %v: %v", took, err)
			}
			if s := o.Stats().Metrics; s.Failed != 1 || s.Exported != 0 || !strings.Contains(log.String(), "last metrics not delivered") {
				t.Errorf("stats %+v, log:\n%s", s, &log)
			}
		})
	}
}

// An export that hangs ends with its time-out, and the next one is made.
func TestMetricsTimeout(t *testing.T) {
	address := (&backend{}).serveGRPC(t, "127.0.0.1:0", grpc.UnaryInterceptor(blockForEver))
	o := metricsTo(t, sampleMeter(), testLog(t), append(oftenFlags, "OTEL_METRIC_EXPORT_TIMEOUT", "20",
		"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+address)...)
	eventually(t, "two time-outs", func() bool { return o.Stats().Metrics.Failed >= 2 })
}

func TestMetricsTurnedOff(t *testing.T) {
	for _, variables := range [][]string{{"OTEL_SDK_DISABLED", "true"}, {"OTEL_METRICS_EXPORTER", "none"}} {
		b := &backend{}
		// What is wrong with metrics doesn't matter when there are none.
		o := metricsTo(t, sampleMeter(), testLog(t), append(variables, "OTEL_EXPORTER_OTLP_ENDPOINT", b.serveHTTP(t),
			"OTEL_METRIC_EXPORT_INTERVAL", "never", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "udp")...)
		drain(t, o)
		if s := o.Stats().Metrics; s == nil || *s != (MetricStats{}) || len(b.exports()) != 0 {
			t.Errorf("%v: %+v and %d exports", variables, s, len(b.exports()))
		}
	}
	b := &backend{}
	o := otlpTo(t, sampleMapping(t), 0, append(oftenFlags, "OTEL_EXPORTER_OTLP_ENDPOINT", b.serveHTTP(t))...)
	deliver(t, o, 0, 1)
	drain(t, o)
	if o.Stats().Metrics != nil || len(b.exports()) != 0 {
		t.Errorf("metrics without a meter: %+v", o.Stats().Metrics)
	}
}

// The trouble of metrics is not the trouble of the others, nor the other way.
func TestMetricsAreIndependent(t *testing.T) {
	b := &backend{}
	o := metricsTo(t, sampleMeter(), testLog(t), append(oftenFlags,
		"OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+unusedAddress(t),
		"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", b.serveHTTP(t)+"/v1/metrics",
		"OTEL_EXPORTER_OTLP_METRICS_HEADERS", "x-tenant=m", "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "gzip")...)
	deliver(t, o, 0, 3)
	eventually(t, "metrics while logs wait", func() bool { return len(b.exports()) > 2 && o.Stats().Logs.Retries > 2 })
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range b.headers {
		if h.Get("X-Tenant") != "m" || h.Get("Content-Encoding") != "gzip" {
			t.Errorf("headers %v", h)
		}
	}
}

func TestWrongMetricSettings(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"OTEL_METRICS_EXPORTER", "prometheus", `OTEL_METRICS_EXPORTER="prometheus": must be otlp or none`},
		{"OTEL_METRIC_EXPORT_INTERVAL", "1m", `OTEL_METRIC_EXPORT_INTERVAL="1m": must be a number of milliseconds above 0`},
		{"OTEL_METRIC_EXPORT_INTERVAL", "0", "OTEL_METRIC_EXPORT_INTERVAL"},
		{"OTEL_METRIC_EXPORT_TIMEOUT", "-1", "OTEL_METRIC_EXPORT_TIMEOUT"},
		{"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta", `="delta": must be cumulative`},
		{"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "LowMemory", `="LowMemory": must be cumulative`},
		{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "collector:4318", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"},
	} {
		o, err := NewOTLP(t.Context(), sampleMapping(t), OTLPOptions{
			Getenv: envOf(c.name, c.value), Logger: testLog(t), Meter: sampleMeter(), State: knownState,
		})
		if o != nil || err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s=%s: %v, want %q", c.name, c.value, err, c.want)
		}
	}
	if s, err := (env{envOf("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", " Cumulative"), metricsSignal()}).metricSettings(); err != nil {
		t.Errorf("cumulative: %+v, %v", s, err)
	}
	_, err := NewOTLP(t.Context(), sampleMapping(t), OTLPOptions{Getenv: envOf(), Logger: testLog(t), Meter: sampleMeter()})
	if err == nil || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "without State") {
		t.Errorf("a meter alone: %v", err)
	}
}

// Who knows nothing of the node yet tells nothing, at the end either.
func TestMetricsNotKnownYet(t *testing.T) {
	var log bytes.Buffer
	o, err := newOTLP(t.Context(), sampleMapping(t), OTLPOptions{
		Getenv: envOf("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+unusedAddress(t)), Meter: sampleMeter(),
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
		State:  func() (NodeState, bool) { return NodeState{}, false },
	}, testPace)
	if err != nil {
		t.Fatal(err)
	}
	drain(t, o)
	if s := o.Stats().Metrics; s.Exported != 0 || s.Failed != 0 || log.Len() > 0 {
		t.Errorf("stats %+v, log %s", s, &log)
	}
}
