// Package agentproc runs the real beesting agent as a child process and reads
// what it reports, the way an operator's tools would: configuration file,
// standard output, control socket, signals.
package agentproc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/beesting-otel/beesting/internal/control"
)

const (
	readyTimeout = 3 * time.Minute // a kernel that checks the programs on an emulated CPU takes most of one
	stopTimeout  = 20 * time.Second
)

// Config says how to run an agent.
type Config struct {
	// Binary is the beesting executable.
	Binary string
	// Dir is the agent's private directory: configuration, state, sockets, log.
	Dir string
	// StateDir is used in place of Dir/state if set.
	StateDir string
	// NoJournal has accesses wait in memory only.
	NoJournal bool
	// NRISocket is the runtime's.
	NRISocket string
	// PluginName is "beesting" if empty.
	PluginName string
	// HTTP is where health and metrics are served; nowhere if empty.
	HTTP string
	// Tokens is the configuration's YAML from "tokens:" and "match:" on.
	Tokens string
	// Output is the configuration's list of outputs, "json" if empty.
	Output []string
	// Env is added to this process's environment.
	Env []string
	// Text gets standard output when that is not JSON; discarded if nil.
	Text io.Writer
}

// Agent is a running agent. Its methods are safe for concurrent use, apart
// from those that end it.
type Agent struct {
	*Records
	cfg    Config
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // of cmd.Wait, valid once exited is closed
}

// Start starts an agent and returns when it is connected to the runtime, or
// with the end of its log when it isn't after three minutes.
func Start(ctx context.Context, cfg Config) (*Agent, error) {
	a, err := Launch(cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := a.WaitConnected(ctx); err != nil {
		err = fmt.Errorf("beesting agent: %w\n%s", err, a.LogTail())
		return nil, errors.Join(err, a.Kill())
	}
	return a, nil
}

// Launch starts an agent and doesn't wait for anything.
func Launch(cfg Config) (*Agent, error) {
	a := &Agent{Records: newRecords(), cfg: cfg, exited: make(chan struct{})}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(a.path("agent.yaml"), []byte(cfg.yaml()), 0o600); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(a.path("agent.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(cfg.Binary, "agent", "--config", a.path("agent.yaml"))
	cmd.Env = append(os.Environ(), cfg.Env...)
	cmd.Stderr = log
	cmd.Stdout = a.stdout()
	// Ctrl-C must not end the agent before what it watches is taken down.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("beesting agent: %w", err)
	}
	a.cmd = cmd
	go func() {
		defer close(a.exited)
		a.err = cmd.Wait()
	}()
	return a, nil
}

func (a *Agent) stdout() io.Writer {
	if len(a.cfg.Output) == 0 || a.cfg.Output[0] == "json" {
		return a.Records
	}
	if a.cfg.Text == nil {
		return io.Discard
	}
	return a.cfg.Text
}

func (a *Agent) path(name string) string { return filepath.Join(a.cfg.Dir, name) }

func (c Config) yaml() string {
	output := c.Output
	if len(output) == 0 {
		output = []string{"json"}
	}
	state := c.StateDir
	if state == "" {
		state = filepath.Join(c.Dir, "state")
	}
	name := c.PluginName
	if name == "" {
		name = "beesting"
	}
	journal := ""
	if c.NoJournal {
		journal = "journal: {maxBytes: 0}\n"
	}
	return fmt.Sprintf(`nodeName: node-1
stateDir: %q
controlSocket: %q
nri:
  socket: %q
  pluginName: %s
http: {address: %q}
commandArgs: full
output: [%s]
log: {level: debug}
%s%s`, state, filepath.Join(c.Dir, "control.sock"), c.NRISocket, name, c.HTTP, strings.Join(output, ", "), journal, c.Tokens)
}

// PID is the agent's process id.
func (a *Agent) PID() int { return a.cmd.Process.Pid }

// Status asks the agent through `beesting status --json`.
func (a *Agent) Status(ctx context.Context) (Status, error) {
	cmd := exec.CommandContext(ctx, a.cfg.Binary, "status", "--json", "--socket", a.path("control.sock"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return Status{}, fmt.Errorf("beesting status: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	var s Status
	if err := json.Unmarshal(out, &s); err != nil {
		return Status{}, fmt.Errorf("beesting status: %w in %s", err, out)
	}
	return s, nil
}

// WaitConnected waits until the runtime has accepted the agent's plugin.
func (a *Agent) WaitConnected(ctx context.Context) error {
	return a.WaitStatus(ctx, "connection to the runtime", func(s Status) bool { return s.connected() })
}

// WaitStatus waits until the agent's status is as wanted; what names that in
// the error. It asks the control socket itself: a process per question is slow
// under an emulated CPU.
func (a *Agent) WaitStatus(ctx context.Context, what string, ok func(Status) bool) error {
	for {
		var s Status
		err := control.Status(ctx, a.path("control.sock"), &s)
		if err == nil && ok(s) {
			return nil
		}
		select {
		case <-a.exited:
			return fmt.Errorf("%s: the agent has ended: %w", what, a.ended())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s: %w (last status %+v)", what, ctx.Err(), s), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ended says how the agent ended, once it has.
func (a *Agent) ended() error {
	if a.err == nil {
		return errors.New("exit status 0")
	}
	return a.err
}

// Signal sends a signal to the agent, such as SIGSTOP to make it slow.
func (a *Agent) Signal(sig syscall.Signal) error { return a.cmd.Process.Signal(sig) }

// Stop ends the agent as an operator does and returns an error unless it drains
// and exits with 0.
func (a *Agent) Stop() error {
	if err := a.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-a.exited:
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("beesting agent: still there %v after SIGTERM\n%s", stopTimeout, a.LogTail()), a.Kill())
	}
	if a.err != nil {
		return fmt.Errorf("beesting agent: %w after SIGTERM\n%s", a.err, a.LogTail())
	}
	return nil
}

// Uninstall takes down what an agent that has ended left attached to the
// kernel, as an operator does.
func (a *Agent) Uninstall(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, a.cfg.Binary, "uninstall", "--config", a.path("agent.yaml"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("beesting uninstall: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// WaitExit waits until the agent has ended by itself and returns its exit code.
func (a *Agent) WaitExit(ctx context.Context) (int, error) {
	select {
	case <-a.exited:
		return a.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return -1, fmt.Errorf("end of the agent: %w", ctx.Err())
	}
}

// Kill ends the agent without warning.
func (a *Agent) Kill() error {
	if err := a.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-a.exited
	return nil
}

// LogTail is the end of the agent's log.
func (a *Agent) LogTail() string {
	const most = 6000
	b, err := os.ReadFile(a.path("agent.log"))
	if err != nil {
		return "no log: " + err.Error()
	}
	return "last lines of its log:\n" + string(b[max(0, len(b)-most):])
}
