// Package collectorproc runs a real OpenTelemetry Collector as a child process
// the way a node's service manager would: with a configuration file that can be
// rewritten, SIGHUP to read it again, SIGTERM to end. What it says of itself is
// read from its log and from its Prometheus end point.
package collectorproc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

const (
	readyTimeout = 3 * time.Minute // a kernel that checks the programs on an emulated CPU takes most of one
	stopTimeout  = 30 * time.Second
	// settling is between the Collector's word that it is ready and the moment
	// from which SIGHUP no longer ends it: it asks for the signal after that word
	// (otelcol/collector.go of 0.165, Run), microseconds later if it is let.
	settling = 500 * time.Millisecond
)

// Config says how to run a Collector.
type Config struct {
	// Binary is the Collector.
	Binary string
	// Dir is a directory of its own; the configuration file goes there.
	Dir string
	// Args come after --config FILE, such as --feature-gates=….
	Args []string
	// Env is added to this process's environment.
	Env []string
	// MetricsAddress is HOST:PORT of the Prometheus reader that the
	// configuration sets up under service::telemetry; Metrics needs it.
	MetricsAddress string
}

// Collector is a running Collector. Its methods are safe for concurrent use,
// apart from those that end it.
type Collector struct {
	*Log
	cfg    Config
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // of cmd.Wait, valid once exited is closed
}

// The Collector's own words (service/service.go, service/internal/graph and
// otelcol/collector.go of 0.165), by which a start and a reload are known to be
// complete. They are logged at the level info.
const (
	saysReady     = "Everything is ready. Begin running and processing data."
	saysPartial   = "Partial receiver reload completed successfully"
	saysUnchanged = "Partial receiver reload: no receiver changes detected"
)

// Start writes the configuration, starts a Collector and returns when all its
// components have started, or with the end of its log when they haven't.
func Start(ctx context.Context, cfg Config, configuration string) (*Collector, error) {
	c, err := Launch(cfg, configuration)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := c.WaitLog(ctx, saysReady, 1); err != nil {
		err = fmt.Errorf("collector's start: %w\n%s", err, c.Tail())
		return nil, errors.Join(err, c.Kill())
	}
	time.Sleep(settling)
	return c, nil
}

// Launch writes the configuration, starts a Collector and waits for nothing.
func Launch(cfg Config, configuration string) (*Collector, error) {
	c := &Collector{Log: newLog(), cfg: cfg, exited: make(chan struct{})}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, err
	}
	if err := c.Configure(configuration); err != nil {
		return nil, err
	}
	cmd := exec.Command(cfg.Binary, append([]string{"--config", c.file()}, cfg.Args...)...)
	cmd.Env = append(os.Environ(), cfg.Env...)
	cmd.Stdout, cmd.Stderr = c.Log, c.Log
	// Ctrl-C must not end it before what it does to containers is settled.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("collector: %w", err)
	}
	c.cmd = cmd
	go func() {
		c.err = cmd.Wait()
		close(c.exited)
		c.end()
	}()
	return c, nil
}

func (c *Collector) file() string { return filepath.Join(c.cfg.Dir, "collector.yaml") }

// Configure replaces the configuration file, in one step as a ConfigMap's
// update does. The Collector reads it at the next Reload.
func (c *Collector) Configure(configuration string) error {
	next := c.file() + ".new"
	if err := os.WriteFile(next, []byte(configuration), 0o600); err != nil {
		return fmt.Errorf("configuration of the collector: %w", err)
	}
	return os.Rename(next, c.file())
}

// Kind is what a reload amounted to.
type Kind string

// The kinds of a reload.
const (
	// Full: every component was stopped, and new ones made and started.
	Full Kind = "full"
	// Partial: receivers that changed, and no other component.
	Partial Kind = "partial"
	// Unchanged: the Collector found no receiver to touch.
	Unchanged Kind = "unchanged"
)

// ErrEnded says that the Collector is no more.
var ErrEnded = errors.New("the collector has ended")

// Reload sends SIGHUP and waits until the Collector is through with it. It is
// ErrEnded when the Collector ends instead.
func (c *Collector) Reload(ctx context.Context) (Kind, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	before := map[Kind]int{Full: c.Count(saysReady), Partial: c.Count(saysPartial), Unchanged: c.Count(saysUnchanged)}
	begin := time.Now()
	if err := c.Signal(syscall.SIGHUP); err != nil {
		return "", 0, err
	}
	for {
		changed := c.changed()
		for kind, says := range map[Kind]string{Full: saysReady, Partial: saysPartial, Unchanged: saysUnchanged} {
			if c.Count(says) > before[kind] {
				return kind, time.Since(begin), nil
			}
		}
		select {
		case <-changed:
		case <-c.exited:
			return "", time.Since(begin), ErrEnded
		case <-ctx.Done():
			return "", time.Since(begin), fmt.Errorf("reload: %w\n%s", ctx.Err(), c.Tail())
		}
	}
}

// Running says whether it has not ended.
func (c *Collector) Running() bool {
	select {
	case <-c.exited:
		return false
	default:
		return true
	}
}

// Args are those that it was started with, after the configuration.
func (c *Collector) Args() []string { return slices.Clone(c.cfg.Args) }

// PID is the Collector's process id.
func (c *Collector) PID() int { return c.cmd.Process.Pid }

// Signal sends a signal.
func (c *Collector) Signal(sig syscall.Signal) error { return c.cmd.Process.Signal(sig) }

// Stop ends the Collector as a service manager does and returns an error unless
// it exits with 0 in time.
func (c *Collector) Stop() error {
	if err := c.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if _, err := c.WaitExit(ctx); err != nil {
		return errors.Join(fmt.Errorf("after SIGTERM: %w\n%s", err, c.Tail()), c.Kill())
	}
	if c.err != nil {
		return fmt.Errorf("collector: %w after SIGTERM\n%s", c.err, c.Tail())
	}
	return nil
}

// WaitExit waits until the Collector has ended and returns its exit code, -1 if
// a signal ended it.
func (c *Collector) WaitExit(ctx context.Context) (int, error) {
	select {
	case <-c.exited:
		return c.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return -1, fmt.Errorf("end of the collector: %w", ctx.Err())
	}
}

// Kill ends the Collector without warning. It may have ended already.
func (c *Collector) Kill() error {
	if err := c.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-c.exited
	return nil
}

// Dump ends the Collector with SIGQUIT, at which Go's runtime writes what every
// goroutine does, and returns that.
func (c *Collector) Dump(ctx context.Context) (Goroutines, error) {
	at := c.Len()
	if err := c.Signal(syscall.SIGQUIT); err != nil {
		return nil, err
	}
	if _, err := c.WaitExit(ctx); err != nil {
		return nil, err
	}
	return parseDump(c.From(at))
}
