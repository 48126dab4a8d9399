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

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// testLog writes to the test's log while the test runs.
func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

func TestDelivers(t *testing.T) {
	protocols(t, func(t *testing.T, b *backend, variables []string) {
		const n = 100
		o := otlpTo(t, sampleMapping(t), 0, variables...)
		deliver(t, o, 0, n)
		drain(t, o)
		if got := b.received("logs"); !slices.Equal(got, uids(0, n)) {
			t.Errorf("logs %v", got)
		}
		if got := b.received("spans"); !slices.Equal(got, spanIDs(0, n)) {
			t.Errorf("spans %v", got)
		}
		wantStats(t, o.Stats().Logs, n, n, nil)
		wantStats(t, o.Stats().Spans, n, n, nil)
		if err := o.Deliver(t.Context(), numbered(n)); !errors.Is(err, ErrShutdown) {
			t.Errorf("after Shutdown: %v", err)
		}
		if s := o.Stats(); s.Logs.Refused != 1 || s.Spans.Refused != 0 {
			t.Errorf("refused after Shutdown: %+v", s)
		}
		wantStats(t, o.Stats().Logs, n, n, nil)
	})
}

// There is no timer between a first access and the wire.
func TestFirstAtOnce(t *testing.T) {
	protocols(t, func(t *testing.T, b *backend, variables []string) {
		o := otlpTo(t, sampleMapping(t), 0, variables...)
		start := time.Now()
		deliver(t, o, 0, 1)
		eventually(t, "the first record", func() bool { return len(b.received("logs")) == 1 })
		took := time.Since(start)
		t.Logf("delivered after %v", took)
		if took > time.Second { // the SDK's batch processor waits as long before it begins
			t.Errorf("the first record took %v", took)
		}
	})
}

// A back end that isn't there at the start, for longer than the exporters' own
// retry and the batch processor's queue would bear in proportion.
func TestOutageAtStart(t *testing.T) {
	const n = 1000
	address := unusedAddress(t)
	o := otlpTo(t, sampleMapping(t), n, "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+address)
	deliver(t, o, 0, n)
	eventually(t, "some attempts", func() bool { return o.Stats().Logs.Retries > 5 && o.Stats().Spans.Retries > 5 })
	if got := o.Stats().Logs; got.Queued != n || got.LastError == "" {
		t.Errorf("during the outage: %+v", got)
	}
	b := &backend{}
	b.serveGRPC(t, address)
	start := time.Now()
	eventually(t, "the first record after the outage", func() bool { return len(b.received("logs")) > 0 })
	t.Logf("back after %v", time.Since(start))
	drain(t, o)
	if got := b.received("logs"); !slices.Equal(got, uids(0, n)) {
		t.Errorf("%d logs, not the %d in order", len(got), n)
	}
	if got := b.received("spans"); !slices.Equal(got, spanIDs(0, n)) {
		t.Errorf("%d spans, not the %d in order", len(got), n)
	}
	wantStats(t, o.Stats().Logs, n, n, nil)
	wantStats(t, o.Stats().Spans, n, n, nil)
}

// Answers that mean "later" are retried until they change, once for every
// kind, in order and without a repeat of what was accepted.
func TestRetriesWhileAway(t *testing.T) {
	throttled, err := status.New(codes.ResourceExhausted, "slow down").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(10 * time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	answers := []*refusal{
		{grpc: status.Error(codes.Unavailable, "no"), http: 503},
		{grpc: status.Error(codes.DeadlineExceeded, "no"), http: 504},
		{grpc: status.Error(codes.Aborted, "no"), http: 502},
		{grpc: status.Error(codes.DataLoss, "no"), http: 408},
		{grpc: throttled.Err(), http: 429, header: http.Header{"Retry-After": {"0"}}},
		{grpc: status.Error(codes.ResourceExhausted, "rate limit"), http: 429},
		{grpc: status.Error(codes.Internal, "hm"), http: 500}, // doubtful, and passes
	}
	protocols(t, func(t *testing.T, b *backend, variables []string) {
		const n = 40
		seen := map[string]int{}
		b.refuse = func(signal string, _ []string) *refusal {
			seen[signal]++
			if i := seen[signal] - 2; i >= 0 && i < len(answers) { // in the middle
				return answers[i]
			}
			return nil
		}
		o := otlpTo(t, sampleMapping(t), 0, variables...)
		deliver(t, o, 0, n)
		eventually(t, "delivery", func() bool { return o.Stats().Logs.Delivered == n && o.Stats().Spans.Delivered == n })
		if got := b.received("logs"); !slices.Equal(got, uids(0, n)) {
			t.Errorf("logs %v", got)
		}
		wantStats(t, o.Stats().Logs, n, n, nil)
		wantStats(t, o.Stats().Spans, n, n, nil)
		if got := o.Stats().Logs.Retries; got != uint64(len(answers)) {
			t.Errorf("%d retries for %d refusals", got, len(answers))
		}
	})
}

// One record that the back end will never take is found among its neighbours,
// set aside and counted; they arrive in order.
func TestUnfitRecordStandsAlone(t *testing.T) {
	poison := uids(13, 14)[0]
	for name, answer := range map[string]*refusal{
		"said clearly":  {grpc: status.Error(codes.InvalidArgument, "bad record"), http: 400},
		"too large":     {grpc: status.Error(codes.ResourceExhausted, "grpc: received message larger than max (9 vs. 4)"), http: 413},
		"said doubtful": {grpc: status.Error(codes.Internal, "panic"), http: 500},
	} {
		t.Run(name, func(t *testing.T) {
			protocols(t, func(t *testing.T, b *backend, variables []string) {
				const n = 50
				b.refuse = func(signal string, ids []string) *refusal {
					if signal == "logs" && slices.Contains(ids, poison) {
						return answer
					}
					return nil
				}
				o := otlpTo(t, sampleMapping(t), 0, variables...)
				deliver(t, o, 0, n)
				eventually(t, "delivery", func() bool { return o.Stats().Logs.Queued == 0 && o.Stats().Spans.Queued == 0 })
				want := slices.Concat(uids(0, 13), uids(14, n))
				if got := b.received("logs"); !slices.Equal(got, want) {
					t.Errorf("logs %v", got)
				}
				got := o.Stats().Logs
				if len(got.Dropped) != 1 {
					t.Fatalf("dropped %v", got.Dropped)
				}
				for cause := range got.Dropped {
					wantStats(t, got, n, n-1, map[string]uint64{cause: 1})
				}
				wantStats(t, o.Stats().Spans, n, n, nil)
			})
		})
	}
}

// A sender that isn't welcome stops trying with that batch, as the
// specification wants, and says so.
func TestUnwelcome(t *testing.T) {
	for _, c := range []struct {
		answer     *refusal
		grpc, http string
	}{
		{&refusal{grpc: status.Error(codes.Unauthenticated, "who?"), http: 401}, "grpc_Unauthenticated", "http_401"},
		{&refusal{grpc: status.Error(codes.PermissionDenied, "no"), http: 403}, "grpc_PermissionDenied", "http_403"},
		{&refusal{grpc: status.Error(codes.Unimplemented, "no logs here"), http: 404}, "grpc_Unimplemented", "http_404"},
		{&refusal{grpc: status.Error(codes.NotFound, "tenant"), http: 302, header: http.Header{"Location": {"/login"}}}, "grpc_NotFound", "http_302"},
	} {
		t.Run(c.http, func(t *testing.T) {
			protocols(t, func(t *testing.T, b *backend, variables []string) {
				const n, ok = 20, 5
				b.refuse = func(signal string, _ []string) *refusal {
					if signal == "logs" {
						return c.answer
					}
					return nil
				}
				o := otlpTo(t, sampleMapping(t), 0, variables...)
				deliver(t, o, 0, n)
				eventually(t, "refusal", func() bool { return o.Stats().Logs.Queued == 0 })
				b.set(nil)
				deliver(t, o, n, n+ok)
				drain(t, o)
				cause := c.http
				if strings.HasSuffix(t.Name(), "grpc") {
					cause = c.grpc
				}
				wantStats(t, o.Stats().Logs, n+ok, ok, map[string]uint64{cause: n})
				wantStats(t, o.Stats().Spans, n+ok, n+ok, nil)
				if got := b.received("logs"); !slices.Equal(got, uids(n, n+ok)) {
					t.Errorf("logs %v", got)
				}
			})
		})
	}
}

// What a partial success rejects is counted, not repeated and not forgotten.
func TestPartialSuccess(t *testing.T) {
	protocols(t, func(t *testing.T, b *backend, variables []string) {
		const n = 20
		first := map[string]bool{"logs": true, "spans": true}
		b.refuse = func(signal string, ids []string) *refusal {
			if first[signal] && len(ids) >= 3 {
				first[signal] = false
				return &refusal{rejected: 3}
			}
			return nil
		}
		o := otlpTo(t, sampleMapping(t), 0, variables...)
		deliver(t, o, 0, n)
		drain(t, o)
		if got := b.received("logs"); !slices.Equal(got, uids(0, n)) {
			t.Errorf("logs %v", got)
		}
		wantStats(t, o.Stats().Logs, n, n-3, map[string]uint64{causeRejected: 3})
		wantStats(t, o.Stats().Spans, n, n-3, map[string]uint64{causeRejected: 3})
	})
}

// A full queue turns the newest away, says so and counts it; what came first
// is delivered when the back end is back.
func TestOverflow(t *testing.T) {
	const room, n = 10, 25
	address := unusedAddress(t)
	o := otlpTo(t, sampleMapping(t), room, "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+address)
	for i := range n {
		err := o.Deliver(t.Context(), numbered(i))
		if (i < room) != (err == nil) || (err != nil && !errors.Is(err, ErrQueueFull)) {
			t.Errorf("access %d: %v", i, err)
		}
	}
	b := &backend{}
	b.serveGRPC(t, address)
	drain(t, o)
	if got := b.received("logs"); !slices.Equal(got, uids(0, room)) {
		t.Errorf("logs %v", got)
	}
	wantStats(t, o.Stats().Logs, room, room, nil)
	wantStats(t, o.Stats().Spans, room, room, nil)
	if s := o.Stats(); s.Logs.Refused != n-room || s.Spans.Refused != 0 {
		t.Errorf("refused: %+v", s)
	}
}

// The trouble of one signal is not the trouble of the other: what the spans have
// no room for is a log record all the same, taken once.
func TestSignalsAreIndependent(t *testing.T) {
	const n = 30
	b := &backend{}
	o := otlpTo(t, sampleMapping(t), 10,
		"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc",
		"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://"+b.serveGRPC(t, "127.0.0.1:0"),
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://"+unusedAddress(t))
	for i := range n {
		if err := o.Deliver(t.Context(), numbered(i)); err != nil {
			t.Errorf("access %d: %v", i, err)
		}
		eventually(t, "the log", func() bool { return o.Stats().Logs.Delivered == uint64(i)+1 })
	}
	wantStats(t, o.Stats().Logs, n, n, nil)
	wantStats(t, o.Stats().Spans, n, 0, map[string]uint64{causeQueueFull: n - 10})
	if got := b.received("logs"); !slices.Equal(got, uids(0, n)) {
		t.Errorf("logs %v", got)
	}
}

// Shutdown ends in time though the back end is away, and counts what is left.
func TestShutdownInTime(t *testing.T) {
	const n = 20
	for name, variables := range map[string][]string{
		"nobody listens": {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://" + unusedAddress(t)},
		"no answer": {"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc",
			"OTEL_EXPORTER_OTLP_ENDPOINT", "http://" + (&backend{}).serveGRPC(t, "127.0.0.1:0", grpc.UnaryInterceptor(blockForEver))},
	} {
		t.Run(name, func(t *testing.T) {
			o := otlpTo(t, sampleMapping(t), 0, variables...)
			deliver(t, o, 0, n)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			start := time.Now()
			err := o.Shutdown(ctx)
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("took %v", took)
			}
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "logs: 20 not delivered") {
				t.Errorf("error %v", err)
			}
			wantStats(t, o.Stats().Logs, n, 0, map[string]uint64{causeShutdown: n})
			wantStats(t, o.Stats().Spans, n, 0, map[string]uint64{causeShutdown: n})
			if again := o.Shutdown(t.Context()); again == nil || again.Error() != err.Error() {
				t.Errorf("second Shutdown: %v, the first: %v", again, err)
			}
		})
	}
}

func blockForEver(ctx context.Context, _ any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Shutdown cuts a long wait short: a back end that is back gets everything.
func TestShutdownDoesNotSleep(t *testing.T) {
	b := &backend{refuse: func(string, []string) *refusal { return rpcError(status.New(codes.Unavailable, "no")) }}
	slow := testPace
	slow.first, slow.most = time.Hour, time.Hour
	o, err := newOTLP(t.Context(), sampleMapping(t), OTLPOptions{
		Getenv: envOf("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+b.serveGRPC(t, "127.0.0.1:0")),
		Logger: testLog(t),
	}, slow)
	if err != nil {
		t.Fatal(err)
	}
	deliver(t, o, 0, 3)
	eventually(t, "a failure", func() bool { return o.Stats().Logs.Retries == 1 && o.Stats().Spans.Retries == 1 })
	b.set(nil)
	drain(t, o)
	wantStats(t, o.Stats().Logs, 3, 3, nil)
}

func TestConcurrentDeliver(t *testing.T) {
	const writers, each = 8, 100
	b := &backend{}
	o := otlpTo(t, sampleMapping(t), 0, "OTEL_EXPORTER_OTLP_ENDPOINT", b.serveHTTP(t))
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := o.Deliver(t.Context(), numbered(w*each+i)); err != nil {
					t.Error(err)
				}
				_ = o.Stats()
			}
		})
	}
	wg.Wait()
	drain(t, o)
	got := b.received("logs")
	slices.Sort(got)
	if want := uids(0, writers*each); !slices.Equal(got, want) {
		t.Errorf("%d of %d logs", len(got), len(want))
	}
}

func TestTurnedOff(t *testing.T) {
	for name, c := range map[string]struct {
		variables   []string
		logs, spans uint64
	}{
		"all":   {[]string{"OTEL_SDK_DISABLED", "TRUE"}, 0, 0},
		"spans": {[]string{"OTEL_TRACES_EXPORTER", "none"}, 5, 0},
		"logs":  {[]string{"OTEL_LOGS_EXPORTER", "none"}, 0, 5},
	} {
		t.Run(name, func(t *testing.T) {
			b := &backend{}
			o := otlpTo(t, sampleMapping(t), 0, append(c.variables, "OTEL_EXPORTER_OTLP_ENDPOINT", b.serveHTTP(t))...)
			deliver(t, o, 0, 5)
			drain(t, o)
			for _, s := range []struct {
				stats SignalStats
				want  uint64
			}{{o.Stats().Logs, c.logs}, {o.Stats().Spans, c.spans}} {
				dropped := map[string]uint64{}
				if s.want == 0 {
					dropped[causeDisabled] = 5
				}
				wantStats(t, s.stats, 5, s.want, dropped)
			}
		})
	}
}

// The log hears of an outage once, of its end, and of losses with numbers that
// add up, however many there are.
func TestLogIsQuiet(t *testing.T) {
	var b bytes.Buffer
	clock := at
	n := newNews(slog.New(slog.NewTextHandler(&b, nil)), "logs", func() time.Time { return clock })
	for range 1000 {
		n.fails("no_answer", errors.New("connection refused"))
		n.lost(1, causeQueueFull, ErrQueueFull)
		clock = clock.Add(10 * time.Millisecond)
	}
	n.works()
	n.works()
	n.flush()
	lines := strings.Count(b.String(), "\n")
	if lines > 5 || !strings.Contains(b.String(), "accesses=999") || strings.Count(b.String(), "again") != 1 {
		t.Errorf("%d lines:\n%s", lines, b.String())
	}
}
