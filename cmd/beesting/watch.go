package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/exporter"
	"github.com/beesting-otel/beesting/internal/agent"
	"github.com/beesting-otel/beesting/internal/check"
	"github.com/beesting-otel/beesting/internal/config"
)

// drainTime bounds how long telemetry is still delivered after the end.
const drainTime = 10 * time.Second

const (
	watchHelp = `Watch existing files of this host as tokens and report who touches them, without
container runtime or configuration.

When all files are watched, standard error gets the line "watching N files
(MODE)", and then which kinds of access are seen and which can't be. N counts
files, not names: links to the same file are one. A file that is replaced by
another under its name (as editors do) is not watched any more.

Modes differ in what they see and tiers in what they cost: "beesting check" lists
the kinds of each mode, docs/benchmarks.md has the prices. fanotify needs no
eBPF; auto takes it when nothing else works. A process that goes on touching a
file is told of once a second, with the number of touches.

SIGINT and SIGTERM end it: what happened until then is delivered, and the exit
code is 0. A second signal ends it at once. It also ends when the reader of its
standard output goes away.`
	watchExamples = `  # Who touches these?
  sudo beesting watch /etc/shadow ~/.ssh/id_ed25519

  # One JSON object a line, in the terms of OpenTelemetry's log data model
  sudo beesting watch --output json /etc/shadow | jq .body

  # Also who only asks whether the file is there; not the nightly backup
  sudo beesting watch --tier recon --exempt-binary /usr/bin/restic /etc/shadow

  # Go on watching while nobody looks; the next start tells what was touched
  sudo beesting watch --pin /sys/fs/bpf/shadow /etc/shadow
  sudo beesting uninstall --pin /sys/fs/bpf/shadow

  # On a machine that refuses eBPF
  sudo beesting watch --mode fanotify /etc/shadow

  # To an OpenTelemetry Collector
  export OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318
  sudo -E beesting watch --output otlp /etc/shadow`
)

func (a *app) watch() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "watch [flags] FILE...",
		Short:   "Watch existing files of this host and report who touches them",
		Long:    watchHelp,
		Example: watchExamples,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{fmt.Errorf("name at least one FILE (see `%s --help`)", cmd.CommandPath())}
			}
			return nil
		},
	}
	output := choiceFlag(cmd, "output", "where accesses go: to standard output, or otlp", "text", "json", "otlp")
	mode := choiceFlag(cmd, "mode", "how to attach; auto takes the first that works", config.SensorModes()...)
	tier := choiceFlag(cmd, "tier", "kinds of access to look for; recon costs more", config.SensorTiers()...)
	pin := cmd.Flags().String("pin", "", "stay attached after the end, in this `DIR` on bpffs")
	exempt := cmd.Flags().StringArray("exempt-binary", nil, "a program `FILE` whose touches are no accesses; can be repeated")
	_ = cmd.MarkFlagDirname("pin") // which exists
	args := choiceFlag(cmd, "command-args", "what is told of the process's arguments", "redacted", "full", "off")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		// What goes wrong while watching. Without trouble, standard error has
		// the line that says what is watched, and no other.
		log := slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
		w := watcher{app: a, output: output.value, mode: mode.value, tier: tier.value, args: args.value, log: log}
		var err error
		if w.pin, err = config.CleanPin(*pin); err != nil {
			return usageError{fmt.Errorf("--pin: %w (see `%s --help`)", err, cmd.CommandPath())}
		}
		if w.exempt, err = exemptBinaries(*exempt); err != nil {
			return err
		}
		return w.run(cmd.Context(), names)
	}
	return cmd
}

// watcher is one run of the watch command.
type watcher struct {
	app                           *app
	output, mode, tier, pin, args string
	exempt                        []string // binaries
	log                           *slog.Logger
}

// run checks everything first; nothing is watched before all of it is known to
// work.
func (w *watcher) run(ctx context.Context, names []string) error {
	m := w.app.machine(config.Default(), "/proc", "/sys")
	m.Mode, m.Pin, m.PinDefault = w.mode, w.pin, ""
	if err := m.Platform().Err(); err != nil {
		return err
	}
	node := hostNode("")
	targets, err := openTargets(names, node.HostID)
	if err != nil {
		return err
	}
	defer closeTargets(targets)
	for _, row := range []check.Row{m.BTF(), m.SensorPrivileges(), m.Pinning()} {
		if err := row.Err(); err != nil {
			return err
		}
	}
	mapping, err := exporter.NewMapping(exporter.MappingOptions{
		Node: node, Args: exporter.ArgsMode(w.args), Version: readVersion().Version, Getenv: w.app.getenv,
	})
	if err != nil {
		return err
	}

	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	context.AfterFunc(ctx, stop) // a second signal has its usual effect
	var reader sync.WaitGroup
	defer reader.Wait()
	defer cancel(nil)
	stdout := untilReaderLeaves(ctx, &reader, w.app.stdout, func() { cancel(errReaderLeft) })
	out, err := w.app.newOutputs(ctx, []string{w.output}, destinations{stdout: stdout}, mapping, w.log)
	if err != nil {
		return err
	}
	err = w.watch(ctx, targets, forReader{out, ctx})
	last, done := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer done()
	return errors.Join(err, out.Shutdown(last))
}

// watch arms the targets and delivers accesses until the context ends.
func (w *watcher) watch(ctx context.Context, targets []target, sink agent.Sink) (err error) {
	o := agent.SensorOptions{Mode: w.mode, Tier: w.tier, Pin: w.pin, MaxWatches: len(targets)}
	if w.pin != "" {
		o.MaxWatches = 0 // what stays may have to take more files the next time
	}
	sensor, refused, err := agent.OpenSensor(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sensor.Close()) }()
	core, err := agent.NewCore(agent.CoreOptions{
		Sensor: sensor, Sink: sink, Log: w.log, MaxPlacements: o.MaxWatches, Exempt: agent.Exempt{Binaries: w.exempt},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, core.Close()) }()
	armed, err := arm(core, targets)
	if err != nil {
		return err
	}
	core.Settled() // no other file is going to be watched
	if err := w.announce(armed, started(sensor, o, refused)); err != nil {
		return err
	}
	if err := core.Run(ctx); err != nil {
		return err
	}
	return w.summary(ctx, core)
}

// arm watches the targets and says how many files they are.
func arm(core *agent.Core, targets []target) (armed int, err error) {
	for _, t := range targets {
		err := core.Arm(t.placement, t.file)
		switch {
		case agent.IsWatched(err): // another name after all: overlayfs over a file that was named too
		case err != nil:
			return armed, fmt.Errorf("%s: %w", t.placement.Token.Path, err)
		default:
			armed++
		}
	}
	return armed, nil
}

// announce says that everything is watched, how, and what can't be seen so.
func (w *watcher) announce(armed int, how check.Start) error {
	how.Log(w.log) // which takes warnings only
	mode := how.Mode
	if how.Tier != config.SensorTiers()[0] {
		mode += ", " + how.Tier
	}
	var b strings.Builder
	fmt.Fprintf(&b, "watching %d files (%s)\n", armed, mode)
	for _, line := range how.Kinds.Lines() {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	if how.Pin != "" {
		fmt.Fprintf(&b, "  pinned at %s: the files stay watched until `beesting uninstall --pin %[1]s`\n", how.Pin)
	}
	_, err := io.WriteString(w.app.stderr, b.String())
	return err
}

// summary says what was missed, and on a terminal what was not.
func (w *watcher) summary(ctx context.Context, core *agent.Core) error {
	s, err := core.Stats()
	if err != nil || errors.Is(context.Cause(ctx), errReaderLeft) {
		return err
	}
	if text, bad := watchSummary(s); bad || w.output == "text" {
		_, err = fmt.Fprintln(w.app.stderr, text)
	}
	return err
}

// watchSummary says what came of the touches, and whether anything was lost.
// Lost events are not lost touches: those are counted all the same.
func watchSummary(s agent.CoreStats) (text string, bad bool) {
	text = fmt.Sprintf("%d accesses reported", s.Delivered)
	if s.Coalesced > 0 {
		text += fmt.Sprintf(" for %d touches", s.Delivered+s.Coalesced)
	}
	lost := s.SinkErrors
	for _, n := range s.Gaps {
		lost += n
	}
	text += fmt.Sprintf(", %d lost", lost)
	if events := lossText(s); events != none {
		return text + "; events lost: " + events, true
	}
	return text, lost > 0
}

// errReaderLeft is why the context ends when nobody reads standard output.
var errReaderLeft = errors.New("the reader of standard output has left")

// forReader is an output for a reader who may leave: accesses that nobody is
// there to read any more are no losses to complain of.
type forReader struct {
	agent.Sink
	ctx context.Context //nolint:containedctx // it is what says that the reader has left
}

func (r forReader) Deliver(ctx context.Context, a beesting.Access) error {
	return r.unlessGone(r.Sink.Deliver(ctx, a))
}

func (r forReader) End(ctx context.Context, a beesting.Access) error {
	return r.unlessGone(r.Sink.End(ctx, a))
}

func (r forReader) Gap(ctx context.Context, g beesting.Gap) error {
	return r.unlessGone(r.Sink.Gap(ctx, g))
}

func (r forReader) unlessGone(err error) error {
	if errors.Is(context.Cause(r.ctx), errReaderLeft) {
		return nil
	}
	return err
}

// untilReaderLeaves calls left when nobody will read what is written any more,
// also while nothing is written: `beesting watch FILE | head -1` has to end.
func untilReaderLeaves(ctx context.Context, wg *sync.WaitGroup, stdout io.Writer, left func()) io.Writer {
	// Else the first write to a pipe without a reader kills the process.
	signal.Ignore(syscall.SIGPIPE)
	if f, ok := stdout.(interface{ Fd() uintptr }); ok {
		wg.Go(func() { waitForReader(ctx, f.Fd(), left) })
	}
	return watchedPipe{Writer: stdout, broken: left}
}
