// Package collector runs a real OpenTelemetry Collector as the back end of a
// test and gives back what it received, as the Collector passes it on.
//
// The Collector is the one in the otelcol directory, built by build.sh into
// the cache. It takes logs, traces and metrics in OTLP over gRPC and HTTP on
// loopback and sends what it got, synchronously, as OTLP JSON to a server in the test's process: when the
// sender is told of success, the test has it. The package needs nothing but
// the standard library and a path to the binary, and so works in a VM too.
package collector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Version is that of the Collector in otelcol/go.mod.
const Version = "0.165.0"

// Binary finds the Collector: BEESTING_COLLECTOR if that is set, else where
// build.sh puts it. The error says what to do about a missing one.
func Binary() (string, error) {
	path := os.Getenv("BEESTING_COLLECTOR")
	if path == "" {
		cache := os.Getenv("BEESTING_CACHE")
		if cache == "" {
			dir, err := os.UserCacheDir()
			if err != nil {
				return "", fmt.Errorf("cache directory: %w", err)
			}
			cache = filepath.Join(dir, "beesting")
		}
		path = filepath.Join(cache, "otelcol-"+Version, "otelcol")
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("collector: %w (test/collector/build.sh builds it)", err)
	}
	return path, nil
}

// Config configures [Start]. The zero value works on the host.
type Config struct {
	// Binary is the Collector; [Binary] finds it if empty.
	Binary string
	// GRPC and HTTP are the loopback addresses to listen on; free ones are
	// chosen if empty.
	GRPC, HTTP string
	// Log takes the Collector's own log; discarded if nil.
	Log io.Writer
}

// Collector is a running Collector. Safe for concurrent use.
type Collector struct {
	// GRPC and HTTP are the addresses (HOST:PORT) it takes OTLP on.
	GRPC, HTTP string

	sink   *httptest.Server
	dir    string
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended
	err    error         // of cmd, valid once exited is closed

	mu       sync.Mutex
	away     bool
	refused  map[string]int
	received []Request
	changed  chan struct{} // closed and replaced when something arrives

	decoded decoded
}

// readyWithin is how long a Collector may take to listen. It takes about 0.3 s
// on an idle machine.
const readyWithin = 60 * time.Second

// Start starts a Collector and waits until it takes OTLP. Stop must be called.
// ctx bounds the start only.
func Start(ctx context.Context, cfg Config) (*Collector, error) {
	var err error
	if cfg.Binary == "" {
		if cfg.Binary, err = Binary(); err != nil {
			return nil, err
		}
	}
	c := &Collector{GRPC: cfg.GRPC, HTTP: cfg.HTTP, exited: make(chan struct{}), refused: map[string]int{}, changed: make(chan struct{})}
	for _, address := range []*string{&c.GRPC, &c.HTTP} {
		if *address == "" {
			if *address, err = freeAddress(); err != nil {
				return nil, err
			}
		}
	}
	c.sink = httptest.NewServer(http.HandlerFunc(c.receive))
	if err := c.launch(cfg); err != nil {
		c.sink.Close()
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for _, address := range []string{c.GRPC, c.HTTP} {
		if err := c.ready(ctx, address); err != nil {
			return nil, errors.Join(fmt.Errorf("collector on %s: %w", address, err), c.Stop())
		}
	}
	return c, nil
}

// freeAddress finds a port. Another process may take it before the Collector
// does; then the start fails and says so.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

// configuration has no queue, no batch and no retry: what the sink answers is
// what the sender is told.
const configuration = `
receivers:
  otlp:
    protocols:
      grpc: {endpoint: %q}
      http: {endpoint: %q}
exporters:
  otlp_http:
    endpoint: %q
    encoding: json
    compression: none
    sending_queue: {enabled: false}
    retry_on_failure: {enabled: false}
service:
  telemetry:
    metrics: {level: none}
    logs: {level: warn, disable_stacktrace: true}
  pipelines:
    logs: {receivers: [otlp], exporters: [otlp_http]}
    traces: {receivers: [otlp], exporters: [otlp_http]}
    metrics: {receivers: [otlp], exporters: [otlp_http]}
`

func (c *Collector) launch(cfg Config) error {
	var err error
	if c.dir, err = os.MkdirTemp("", "otelcol"); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	file := filepath.Join(c.dir, "config.yaml")
	text := fmt.Sprintf(configuration, c.GRPC, c.HTTP, c.sink.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	c.cmd = exec.Command(cfg.Binary, "--config", file) // not CommandContext: Stop ends it with SIGTERM
	c.cmd.Stdout, c.cmd.Stderr = cfg.Log, cfg.Log
	c.cmd.SysProcAttr = diesWithParent()
	started := make(chan error)
	go func() {
		// The kernel counts the thread that started a process as its parent
		// (prctl(2), PR_SET_PDEATHSIG): it has to stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := c.cmd.Start(); err != nil {
			started <- err
			return
		}
		close(started)
		defer close(c.exited)
		c.err = c.cmd.Wait()
	}()
	if err := <-started; err != nil {
		return errors.Join(fmt.Errorf("collector: %w", err), os.RemoveAll(c.dir))
	}
	return nil
}

func (c *Collector) ready(ctx context.Context, address string) error {
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-c.exited:
			return fmt.Errorf("ended at the start: %w", c.err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stopWithin is how long a Collector may take to drain and end.
const stopWithin = 20 * time.Second

// Stop ends the Collector with SIGTERM, as an operator would, and waits for
// it. What was received stays readable. An error says that it didn't end well.
func (c *Collector) Stop() error {
	err := c.cmd.Process.Signal(syscall.SIGTERM)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	select {
	case <-c.exited:
	case <-time.After(stopWithin):
		err = errors.Join(err, fmt.Errorf("collector: did not end within %v", stopWithin), c.cmd.Process.Kill())
		<-c.exited
	}
	c.sink.Close()
	if c.err != nil {
		err = errors.Join(err, fmt.Errorf("collector: %w", c.err))
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}

// SetAway makes the back end behind the Collector refuse (503) or take what
// comes: the Collector tells its senders that it is unavailable.
func (c *Collector) SetAway(away bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = away
}
