//go:build !vmtest

package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/internal/agent"
	"github.com/beesting-otel/beesting/internal/agent/sensortest"
	"github.com/beesting-otel/beesting/internal/control"
	"github.com/beesting-otel/beesting/internal/reload"
)

// safeBuffer is a log that is read while it is written.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// running is an agent with a fake sensor and without a runtime: all that a change
// of the configuration needs.
type running struct {
	*node
	t    *testing.T
	text string // what the configuration begins with
	log  *safeBuffer
}

func newRunning(t *testing.T) *running {
	t.Helper()
	dir, err := os.MkdirTemp("", "reload")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	nri, err := net.Listen("unix", filepath.Join(dir, "nri.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nri.Close() })
	r := &running{t: t, log: new(safeBuffer)}
	r.text = fmt.Sprintf("match: {}\nnodeName: n\nstateDir: %[1]s/state\ncontrolSocket: %[1]s/run/c.sock\nnri: {socket: %[1]s/nri.sock}\n", dir)
	app := &app{stderr: r.log, lookupEnv: func(string) (string, bool) { return "", false }}
	file := filepath.Join(dir, "beesting.yaml")
	r.node = &node{app: app, file: file}
	r.write("first", "")
	if r.config, r.source, err = app.loadSource(file); err != nil {
		t.Fatal(err)
	}
	r.node.log, r.level = app.levelLogger(r.config.Log)
	core, err := agent.NewCore(agent.CoreOptions{Sensor: sensortest.New(), Sink: outputs{}, Exempt: agent.Exempt{Runtimes: []string{}, Kubelets: []string{}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = core.Close() })
	r.agent, err = agent.New(core, agent.Options{StateDir: r.config.StateDir, NRISocket: r.config.NRI.Socket, Select: r.config.Policy().Selector(r.node.log)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.agent.Close() })
	if r.reloader, err = r.newReloader(); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *running) write(token, more string) {
	r.t.Helper()
	text := "tokens: [{name: " + token + ", path: /a, content: x}]\n" + r.text + more
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// serve answers for the user of the test, and gives what runs a command line.
func (r *running) serve() func(args ...string) (code int, out, errs string) {
	r.t.Helper()
	socket, err := control.Listen(r.config.ControlSocket)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		a := control.Answers{Status: func() any { return r.status() }, Reload: r.reloadAnswer}
		if err := socket.Serve(ctx, uint32(os.Geteuid()), a, slog.New(slog.DiscardHandler)); err != nil { //nolint:gosec // never negative on Linux
			r.t.Error(err)
		}
	})
	r.t.Cleanup(func() { cancel(); wg.Wait() })
	return func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		a := app{stdout: &out, stderr: &errs, lookupEnv: r.app.lookupEnv}
		code := a.run(r.t.Context(), append(args, "--socket", r.config.ControlSocket))
		return code, out.String(), errs.String()
	}
}

func TestReloadCommand(t *testing.T) {
	r := newRunning(t)
	run := r.serve()
	if code, out, errs := run("reload"); code != exitOK || !strings.HasPrefix(out, "unchanged: 1 tokens, hash ") || errs != "" {
		t.Errorf("unchanged: %d, %q, %q", code, out, errs)
	}
	r.write("second", "log: {level: debug}\ncommandArgs: full\n")
	code, out, errs := run("reload")
	if code != exitOK || !strings.HasPrefix(out, "applied: 1 tokens, hash ") || !strings.HasSuffix(out, "\nwaiting for a restart: commandArgs\n") || errs != "" {
		t.Errorf("applied: %d, %q, %q", code, out, errs)
	}
	if r.level.Level() != slog.LevelDebug {
		t.Errorf("level %v", r.level.Level())
	}
	if _, out, _ := run("status"); !strings.Contains(out, "\nneeds restart  commandArgs\n") {
		t.Errorf("status:\n%s", out)
	}
	r.write("A", "log: {level: error}\n")
	code, out, errs = run("reload")
	want := "beesting: configuration refused, the old one stays in use:\nbeesting: " + r.file + `:1: token name "A": may hold only a-z, 0-9 and "-"` + "\n"
	if code != exitFailure || out != "" || errs != want {
		t.Errorf("refused: %d, %q, %q", code, out, errs)
	}
	code, out, errs = run("reload", "--json")
	if code != exitFailure || !strings.Contains(out, `"outcome": "refused"`) || !strings.Contains(out, `may hold only`) || errs != "" {
		t.Errorf("refused: %d, %q, %q", code, out, errs)
	}
	if r.level.Level() != slog.LevelDebug {
		t.Errorf("level %v after a refused configuration", r.level.Level())
	}
	if _, out, _ := run("status"); !strings.Contains(out, "\nNOT IN USE ") || !strings.Contains(out, `:1: token name "A"`) {
		t.Errorf("status:\n%s", out)
	}
	if got := reloadCounts(r.reloader.Status().Reloads); got["applied"] != 1 || got["unchanged"] != 1 || got["refused"] != 2 {
		t.Errorf("counts %v", got)
	}
}

// SIGHUP would end the process if nobody took it.
func TestHangupReloads(t *testing.T) {
	hangup, stop := hangups()
	defer stop()
	// Somebody takes those that come when this test is over: a signal is sent to the
	// process, and may wait for one of its threads.
	signal.Notify(make(chan os.Signal, 8), syscall.SIGHUP)
	hangUp := func() {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	hangUp() // before the agent is there
	r := newRunning(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { r.reloader.Run(ctx, hangup) })
	until(t, func() bool { return r.reloader.Status().Reloads[reload.Unchanged] == 1 })
	r.write("second", "")
	hangUp()
	until(t, func() bool { return r.reloader.Status().Reloads[reload.Applied] == 1 })
	cancel()
	wg.Wait()
	for range 3 { // after the agent has ended
		hangUp()
	}
	if strings.Count(r.log.String(), "configuration reloaded") != 1 {
		t.Errorf("log:\n%s", r.log)
	}
}

func until(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never")
		}
	}
}
