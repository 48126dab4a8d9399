package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/beesting-otel/beesting/exporter"
	"github.com/beesting-otel/beesting/internal/control"
	"github.com/beesting-otel/beesting/internal/journal"
)

func (a *app) accesses() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "accesses",
		Short: "Show what was seen on this node",
		Long: `Show the accesses of this node's journal, oldest first: what the back end has, and
what it has not got yet. No agent needs to run; what is damaged in the journal is
left out.

With --json each is an object on a line of its own, as with the output json. Only
root may read the journal.`,
		Example: `  sudo beesting accesses
  sudo beesting accesses --since 1h --follow
  sudo beesting accesses --since 2026-11-28T09:00:00Z --json | jq -r .body
  sudo beesting accesses --state-dir /mnt/evidence/var/lib/beesting`,
		Args: noArgs,
	}
	asJSON := cmd.Flags().Bool("json", false, "print JSON, one object a line")
	follow := cmd.Flags().BoolP("follow", "f", false, "go on with what comes, until interrupted")
	since := cmd.Flags().String("since", "", "only accesses recorded since this `TIME` (RFC 3339) or for so long (as 30m)")
	file := cmd.Flags().String("config", "", "take the state directory from this configuration `FILE`")
	stateDir := cmd.Flags().String("state-dir", "", "state `DIRECTORY` of the agent (default: the configuration's)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		from, err := parseSince(*since, time.Now())
		if err != nil {
			return usageError{err}
		}
		dir := *stateDir
		switch {
		case dir != "" && *file != "":
			return usageError{errors.New("--config and --state-dir exclude each other")}
		case dir == "":
			c, err := a.loadOrDefault(*file)
			if err != nil {
				return err
			}
			dir = c.StateDir
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		return a.showAccesses(ctx, journal.Below(dir), from, *follow, *asJSON)
	}
	return cmd
}

// parseSince reads a time, or how long ago it is; the zero time if it is empty.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, fmt.Errorf("--since %q: must be a time such as 2026-11-28T09:00:00Z, or a duration such as 30m", s)
	}
	return t, nil
}

func (a *app) showAccesses(ctx context.Context, dir string, since time.Time, follow, asJSON bool) error {
	scanner, err := journal.NewScanner(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no journal in %s: has an agent with this state directory run on this node?", dir)
	}
	if err != nil {
		return err
	}
	mapping, err := exporter.NewMapping(exporter.MappingOptions{
		Node: hostNode(""), Version: readVersion().Version, Getenv: a.getenv,
		Args: exporter.ArgsFull, // the journal has what may be told of them
	})
	if err != nil {
		return err
	}
	to := exporter.NewText(a.stdout, mapping, exporter.TextOptions{Color: exporter.ColorWanted(a.stdout, a.getenv), Location: time.Local})
	if asJSON {
		to = exporter.NewJSON(a.stdout, mapping)
	}
	show := func(e journal.Entry) error {
		err := ctx.Err()
		switch {
		case err != nil:
		case e.Ended: // it was shown when it began
		case e.Gap != nil:
			err = to.Gap(ctx, *e.Gap)
		default:
			err = to.Deliver(ctx, *e.Access)
		}
		return err
	}
	if follow {
		err = scanner.Follow(ctx, since, show)
	} else {
		err = scanner.Scan(since, show)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, syscall.EPIPE) {
		err = nil // interrupted, or nobody reads any more
	}
	return err
}

func (a *app) deadLettersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dead-letters",
		Short: "Show what a back end refused for good, and send it again",
		Long: `Show the log records and spans that the back end said it will never take, and why.
The running agent has them, at most 10,000.

With --resend it sends them once more, which helps after the back end has been
mended. What is refused again is here again. Only root may ask.`,
		Example: `  sudo beesting dead-letters
  sudo beesting dead-letters --json | jq -r '.dead_letters[].cause' | sort | uniq -c
  sudo beesting dead-letters --resend`,
		Args: noArgs,
	}
	asJSON := jsonFlag(cmd)
	resend := cmd.Flags().Bool("resend", false, "send them once more")
	socket := a.socketFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		path, err := socket()
		if err != nil {
			return err
		}
		var answer deadLettersAnswer
		if err := control.DeadLetters(cmd.Context(), path, *resend, &answer); err != nil {
			return err
		}
		if answer.Error != "" {
			return errors.New(answer.Error)
		}
		switch {
		case *asJSON:
			return printJSON(a.stdout, answer)
		case *resend:
			_, err = fmt.Fprintf(a.stdout, "%d are sent once more\n", answer.Resent)
		case len(answer.DeadLetters) == 0:
			_, err = fmt.Fprintln(a.stdout, "none: the back end has refused nothing for good")
		default:
			t := &table{w: tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)}
			t.row("SET ASIDE", "SIGNAL", "CAUSE", "KIND", "TOKEN", "POD", "ACCESS")
			for _, l := range answer.DeadLetters {
				t.row(l.Time.Format(time.RFC3339), l.Signal, l.Cause, l.Kind, l.Token, l.Pod, l.AccessID)
			}
			err = t.w.Flush()
		}
		return err
	}
	return cmd
}
