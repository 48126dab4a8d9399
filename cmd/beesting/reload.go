package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/beesting-otel/beesting/internal/config"
	"github.com/beesting-otel/beesting/internal/control"
	"github.com/beesting-otel/beesting/internal/reload"
)

func (a *app) reload() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have the running agent read its configuration again",
		Long: `Have the running agent read its configuration again, at once.

The agent does so by itself a few seconds after its configuration file, or a
file that takes a token's content, has changed, and when it gets SIGHUP. A
configuration with mistakes is refused as a whole: the old one stays in use, the
mistakes are printed, and the exit code is 1.

Tokens, match and the log's level change at once. What else differs waits for a
restart of the agent, and is named here and by "beesting status".

Only root may ask.`,
		Example: `  sudo beesting reload
  sudo beesting reload --json | jq .pending
  sudo beesting reload --socket /run/other/control.sock`,
		Args: noArgs,
	}
	asJSON := jsonFlag(cmd)
	socket := a.socketFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		path, err := socket()
		if err != nil {
			return err
		}
		var r reload.Result
		if err := control.Reload(cmd.Context(), path, &r); err != nil {
			return err
		}
		if *asJSON {
			err = printJSON(a.stdout, r)
		} else {
			err = writeReload(a.stdout, r)
		}
		if err == nil && r.Outcome == reload.Refused {
			err = refusedError(r.Mistakes)
			if *asJSON {
				err = codeError(exitFailure) // it is all in the answer
			}
		}
		return err
	}
	return cmd
}

// refusedError are the mistakes of a configuration that the agent refused, one
// line each.
type refusedError []string

func (e refusedError) Error() string {
	return strings.Join(append([]string{"configuration refused, the old one stays in use:"}, e...), "\n")
}

func writeReload(w io.Writer, r reload.Result) error {
	var text string
	switch r.Outcome {
	case reload.Refused:
		return nil
	case reload.Unchanged:
		text = "unchanged"
	default:
		text = string(r.Outcome)
	}
	text += fmt.Sprintf(": %d tokens, hash %s\n", r.Tokens, shortHash(r.Hash))
	if len(r.Pending) > 0 {
		text += "waiting for a restart: " + printable(strings.Join(r.Pending, ", ")) + "\n"
	}
	_, err := io.WriteString(w, text)
	return err
}

// shortHash is enough of a hash for people to compare.
func shortHash(s string) string { return s[:min(len(s), 12)] }

// socketFlags adds the flags that say where an agent listens, and gives what finds
// out.
func (a *app) socketFlags(cmd *cobra.Command) func() (string, error) {
	file := cmd.Flags().String("config", "", "take the socket's path from this configuration `FILE`")
	socket := cmd.Flags().String("socket", "", "`PATH` of the agent's control socket (default: the configuration's)")
	return func() (string, error) {
		switch {
		case *socket != "" && *file != "":
			return "", usageError{errors.New("--config and --socket exclude each other")}
		case *socket != "":
			return *socket, nil
		}
		c, err := a.loadOrDefault(*file)
		return c.ControlSocket, err
	}
}

// hangups makes SIGHUP a wish to read the configuration again, instead of the end
// of the process that it is by default (signal(7)). Signals that come together are
// one wish. stop ends that.
func hangups() (c <-chan os.Signal, stop func()) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	return hangup, func() { signal.Stop(hangup) }
}

// newReloader makes what changes the agent's configuration while it runs.
func (n *node) newReloader() (*reload.Reloader, error) {
	name, err := filepath.Abs(n.file)
	if err != nil {
		name = n.file
	}
	return reload.New(reload.Options{
		Load:   func() (config.Config, config.Source, error) { return n.app.loadSource(n.file) },
		Config: n.config, Source: n.source, File: name, Apply: n.apply, Log: n.log, Now: time.Now,
	})
}

// apply uses what of a new configuration can be used at once.
func (n *node) apply(c config.Config) {
	n.level.Set(c.Log.Level)
	n.agent.SetPolicy(c.Policy().Selector(n.log))
}

// reloadAnswer is what the control socket says to a wish to reload.
func (n *node) reloadAnswer() any { return n.reloader.Reload() }

// configRows are the configuration's part of `beesting status`.
func configRows(t *table, s reload.Status, now time.Time) {
	if s.File == "" { // an agent that is older than this command
		return
	}
	text := fmt.Sprintf("%s, loaded %s ago, hash %s", s.File, since(now, s.LoadedAt), shortHash(s.Hash))
	if r := s.Reloads; r[reload.Applied]+r[reload.Refused] > 0 {
		text += fmt.Sprintf(", %d reloads, %d refused", r[reload.Applied], r[reload.Refused])
	}
	t.row("configuration", text)
	if len(s.Pending) > 0 {
		t.row("needs restart", strings.Join(s.Pending, ", "))
	}
	if s.LastError == "" {
		return
	}
	t.row("NOT IN USE", fmt.Sprintf("the file as it was %s ago is refused, the old one stays in use:", since(now, s.LastErrorAt)))
	for _, line := range reload.Lines(s.LastError) {
		t.row("", line)
	}
}

// levelLogger is a logger whose level can change.
func (a *app) levelLogger(l config.Log) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(l.Level)
	o := &slog.HandlerOptions{Level: level}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(a.stderr, o)), level
	}
	return slog.New(slog.NewTextHandler(a.stderr, o)), level
}

func reloadCounts(m map[reload.Outcome]uint64) map[string]uint64 {
	out := make(map[string]uint64, len(m))
	for outcome, n := range m {
		out[string(outcome)] = n
	}
	return out
}
