package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/beesting-otel/beesting/internal/agent"
	"github.com/beesting-otel/beesting/internal/control"
	"github.com/beesting-otel/beesting/internal/stealth"
)

const (
	stealthHelp = `Look at planted tokens as an intruder in their container could, and list what
could betray them: the mount and its source, the lock, times and owner of the
file, what is beside it, what else the container sees.

It runs on the host and enters nothing. Which tokens there are is asked of the
running agent; without one, --pid and --path name a file as a container has it.
A token is not opened. That it is looked at is reported in the tier recon; with
--content it is read as well, which is an access as anybody's.

The score is 100 less the weights of what was found, which are judgements: it is
there to compare. docs/stealth.md has the table, and which strategy shows what.

Exit code 0, whatever the score; 1 when a token could not be looked at.`
	stealthExamples = `  sudo beesting stealth
  sudo beesting stealth --container 4f1c
  sudo beesting stealth --pid 4711 --path /root/.aws/credentials --content
  sudo beesting stealth --json | jq '.[] | {token, score}'`
)

// stealthFlags say what to look at.
type stealthFlags struct {
	container, path, proc string
	pid                   int
}

func (a *app) stealth() *cobra.Command {
	cmd := &cobra.Command{
		Use: "stealth", Short: "List what could betray a planted token to somebody in its container",
		Long: stealthHelp, Example: stealthExamples, Args: noArgs,
	}
	var f stealthFlags
	asJSON := jsonFlag(cmd)
	socket := a.socketFlags(cmd)
	cmd.Flags().StringVar(&f.container, "container", "", "look at tokens of the container whose `ID` begins so")
	cmd.Flags().IntVar(&f.pid, "pid", 0, "look at tokens of the container with this first process")
	cmd.Flags().StringVar(&f.path, "path", "", "look at this `FILE` as the process --pid sees it, and ask no agent")
	cmd.Flags().StringVar(&f.proc, "proc", "/proc", "where the host's procfs is mounted")
	content := cmd.Flags().Bool("content", false, "read tokens too, which is an access")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case f.path != "" && (f.pid <= 0 || f.container != ""):
			return usageError{errors.New("--path needs --pid, and excludes --container")}
		case cmd.Flags().Changed("pid") && f.pid <= 0:
			return usageError{errors.New("--pid: must be above 0")}
		}
		var s struct{ Placements []agent.PlacementStatus }
		if f.path != "" {
			s.Placements = []agent.PlacementStatus{{Path: f.path, PID: f.pid}}
		} else {
			path, err := socket()
			if err != nil {
				return err
			}
			if err := control.Status(cmd.Context(), path, &s); err != nil {
				return err
			}
		}
		looker := stealth.Looker{Proc: f.proc, Agent: "beesting", Content: *content}
		rows, err := f.look(looker, s.Placements)
		write := func() error { return writeStealth(a.stdout, rows) }
		if *asJSON {
			write = func() error { return printJSON(a.stdout, rows) }
		}
		return errors.Join(write(), err)
	}
	return cmd
}

// stealthRow is what was seen of one token.
type stealthRow struct {
	Token         string `json:"token,omitempty"`
	Strategy      string `json:"strategy,omitempty"`
	Namespace     string `json:"namespace,omitempty"`
	Pod           string `json:"pod,omitempty"`
	ContainerName string `json:"container_name,omitempty"`
	Container     string `json:"container,omitempty"`
	stealth.Report
}

// look leaves out tokens that can't be looked at; the error names them.
func (f stealthFlags) look(l stealth.Looker, placements []agent.PlacementStatus) ([]stealthRow, error) {
	rows := []stealthRow{}
	var errs []error
	for _, p := range placements {
		if !strings.HasPrefix(p.Container, f.container) || f.pid != 0 && p.PID != f.pid || p.PID == 0 {
			continue
		}
		r, err := l.Look(p.PID, p.Path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		rows = append(rows, stealthRow{
			Token: p.Token, Strategy: string(p.Strategy), Namespace: p.Namespace, Pod: p.Pod,
			ContainerName: p.ContainerName, Container: p.Container, Report: r,
		})
	}
	if len(rows) == 0 && len(errs) == 0 && (f.container != "" || f.pid != 0) {
		errs = append(errs, errors.New("no token is planted in such a container, or it doesn't run"))
	}
	return rows, errors.Join(errs...)
}

func writeStealth(w io.Writer, rows []stealthRow) error {
	t := &table{w: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	if len(rows) == 0 {
		t.row("no tokens in containers that run")
	} else {
		t.row("SCORE", "TOKEN", "PATH", "STRATEGY", "CONTAINER")
	}
	for _, r := range rows {
		where := fmt.Sprintf("process %d", r.PID)
		if r.Container != "" {
			where = fmt.Sprintf("%s/%s %s", r.Namespace, r.Pod, r.ContainerName)
		}
		t.row(strconv.Itoa(r.Score), dash(r.Token), r.Path, dash(r.Strategy), where)
	}
	for _, r := range rows {
		if len(r.Findings) == 0 {
			continue
		}
		t.section("WEIGHT", "TRAIT", "WHO", fmt.Sprintf("WHAT (%s, process %d)", r.Path, r.PID))
		for _, f := range r.Findings {
			what := f.What
			if f.Detail != "" {
				what += ": " + f.Detail
			}
			t.row(strconv.Itoa(f.Weight), f.Name, f.Who, what)
			t.row("", "", "", "  "+f.Advice)
		}
	}
	return t.w.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
