// Command latency measures how long after a touch its record and its span are at
// an OTLP back end on the same machine: `beesting watch`, one process for each
// touch, so that none is a repeat. The sensor is the best that the machine allows.
//
//	go run ./test/latency [-n 1000] [-every 10ms]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// The targets, at 100 accesses a second.
const (
	p50Target = 10 * time.Millisecond
	p99Target = 50 * time.Millisecond
)

// patience is for what is under way, on a busy machine.
const patience = 30 * time.Second

func main() {
	n := flag.Int("n", 1000, "how many `touches`")
	every := flag.Duration("every", 10*time.Millisecond, "the `time` between two")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *n, *every); err != nil {
		fmt.Fprintln(os.Stderr, "latency:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, n int, every time.Duration) (err error) {
	dir, err := os.MkdirTemp("", "latency")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		return err
	}
	back, err := listen(ctx)
	if err != nil {
		return err
	}
	defer back.server.Close()
	mode, stop, err := watch(ctx, dir, token, back.address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := touch(ctx, token); err != nil { // what happens once is over after it
		return err
	}
	if err := back.wait(ctx, 1); err != nil {
		return err
	}
	first := back.counts()
	begin := time.Now()
	for next := begin; n > 0; n-- {
		if err := touch(ctx, token); err != nil {
			return err
		}
		next = next.Add(every)
		time.Sleep(time.Until(next))
		first++
	}
	rate := float64(first-1) / time.Since(begin).Seconds()
	if err := back.wait(ctx, first); err != nil {
		return err
	}
	fmt.Printf("%s, %.0f accesses a second, each by a process of its own\n\n", mode, rate)
	back.print()
	return nil
}

func touch(ctx context.Context, token string) error {
	if out, err := exec.CommandContext(ctx, "/bin/cat", token).CombinedOutput(); err != nil {
		return fmt.Errorf("touch: %w: %s", err, out)
	}
	return nil
}

// watch starts `beesting watch` and returns how it watches, when it does.
func watch(ctx context.Context, dir, token, address string) (mode string, stop func() error, err error) {
	binary := filepath.Join(dir, "beesting")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/beesting").CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("build: %w: %s", err, out)
	}
	cmd := exec.CommandContext(ctx, binary, "watch", "--output", "otlp", "--pin", "", token)
	cmd.Env = append(os.Environ(), "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+address, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = patience
	var log tail
	log.ready = make(chan struct{})
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	stop = func() error {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := <-done; err != nil {
			return fmt.Errorf("beesting watch: %w: %s", err, log.text())
		}
		return nil
	}
	select {
	case <-log.ready:
		return log.mode(), stop, nil
	case err := <-done:
		return "", nil, fmt.Errorf("beesting watch: %w: %s", err, log.text())
	case <-time.After(patience):
		return "", nil, errors.Join(fmt.Errorf("beesting watch is not ready: %s", log.text()), stop())
	}
}

// tail is what the program says on standard error.
type tail struct {
	mu    sync.Mutex
	all   strings.Builder
	once  sync.Once
	ready chan struct{} // closed when it watches
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all.Write(b)
	if _, line, found := strings.Cut(t.all.String(), "watching "); found && strings.Contains(line, ")") {
		t.once.Do(func() { close(t.ready) })
	}
	return len(b), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all.String()
}

// mode is how it watches: "watching 1 files (fanotify)".
func (t *tail) mode() string {
	_, rest, _ := strings.Cut(t.text(), "watching ")
	_, rest, _ = strings.Cut(rest, "(")
	mode, _, _ := strings.Cut(rest, ")")
	return mode
}

// backend takes logs and spans over OTLP/HTTP and notes how old they are.
type backend struct {
	address string
	server  *http.Server

	mu   sync.Mutex
	ages map[string][]time.Duration
}

func listen(ctx context.Context) (*backend, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &backend{address: l.Addr().String(), ages: map[string][]time.Duration{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/logs", func(w http.ResponseWriter, r *http.Request) {
		now := time.Now()
		var req collogs.ExportLogsServiceRequest
		if !decode(w, r, &req) {
			return
		}
		for _, rl := range req.GetResourceLogs() {
			for _, sl := range rl.GetScopeLogs() {
				for _, l := range sl.GetLogRecords() {
					b.note("log record, after the touch", now, l.GetTimeUnixNano())
				}
			}
		}
	})
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, r *http.Request) {
		now := time.Now()
		var req coltrace.ExportTraceServiceRequest
		if !decode(w, r, &req) {
			return
		}
		for _, rs := range req.GetResourceSpans() {
			for _, ss := range rs.GetScopeSpans() {
				for _, s := range ss.GetSpans() {
					b.note("span, after the access's end", now, s.GetEndTimeUnixNano())
				}
			}
		}
	})
	mux.HandleFunc("POST /v1/metrics", func(http.ResponseWriter, *http.Request) {})
	b.server = &http.Server{Handler: mux, ReadHeaderTimeout: patience}
	go func() { _ = b.server.Serve(l) }()
	return b, nil
}

func decode(w http.ResponseWriter, r *http.Request, into proto.Message) bool {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = proto.Unmarshal(body, into)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	return true
}

func (b *backend) note(signal string, now time.Time, nanoseconds uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ages[signal] = append(b.ages[signal], now.Sub(time.Unix(0, int64(nanoseconds)))) //nolint:gosec // of this year
}

// counts is how many of each signal have come, of the one that has fewest.
func (b *backend) counts() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.ages) < 2 {
		return 0
	}
	n := -1
	for _, ages := range b.ages {
		if n < 0 || len(ages) < n {
			n = len(ages)
		}
	}
	return n
}

func (b *backend) wait(ctx context.Context, n int) error {
	for begin := time.Now(); b.counts() < n; time.Sleep(10 * time.Millisecond) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(begin) > patience {
			return fmt.Errorf("%d of %d accesses have come in both signals", b.counts(), n)
		}
	}
	return nil
}

// print leaves out the first of each, which came before there was a connection.
func (b *backend) print() {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := true
	fmt.Println("| | number | p50 | p99 | longest |\n|---|--:|--:|--:|--:|")
	for _, signal := range slices.Sorted(maps.Keys(b.ages)) {
		ages := slices.Sorted(slices.Values(b.ages[signal][1:]))
		at := func(q float64) time.Duration { return ages[min(len(ages)-1, int(q*float64(len(ages))))] }
		fmt.Printf("| %s | %d | %.1f ms | %.1f ms | %.1f ms |\n", signal, len(ages), ms(at(0.5)), ms(at(0.99)), ms(ages[len(ages)-1]))
		kept = kept && at(0.5) <= p50Target && at(0.99) <= p99Target
	}
	verdict := "MISSED"
	if kept {
		verdict = "kept"
	}
	fmt.Printf("\ntarget: p50 ≤ %v, p99 ≤ %v: %s\n", p50Target, p99Target, verdict)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
