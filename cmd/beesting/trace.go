package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/beesting-otel/beesting/internal/agent"
	"github.com/beesting-otel/beesting/internal/content"
	"github.com/beesting-otel/beesting/internal/control"
)

func (a *app) traceToken() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trace-token FILE|-",
		Short: "Tell which container a stolen token was planted in",
		Long: `Tell which container a stolen token was planted in.

FILE, or standard input, is a token as it was found: the whole file, a secret of
it, or a log, JSON or Kubernetes secret that holds one. The canary ids in it are
read, and the running agent is asked whether they are this node's. Of a text of
more than 8 MiB the beginning is read.

Where no agent of the right node can be asked, the ids lead there all the same:
each access is reported with the attribute honeytoken.id.

Exit codes: 0 the token is this node's, 1 it isn't, or the agent can't be asked,
2 the command line is wrong. Only root may ask the agent.`,
		Example: `  sudo beesting trace-token credentials
  grep -r AKIA leak/ | sudo beesting trace-token -
  sudo beesting trace-token --json leak.txt | jq -r '.found[] | .namespace + "/" + .pod'`,
		Args: exactly(1, "one FILE, or - for standard input"),
	}
	asJSON := jsonFlag(cmd)
	socket := a.socketFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		path, err := socket()
		if err != nil {
			return err
		}
		data, err := a.readTrace(args[0])
		if err != nil {
			return err
		}
		t := trace{Found: []agent.TraceResult{}, Candidates: candidates(content.Trace(data))}
		if len(t.Candidates) > 0 {
			err = control.Trace(cmd.Context(), path, t.ids(), &t.Found)
		}
		if err != nil {
			t.Error = err.Error()
		}
		write := t.write
		if *asJSON {
			write = func(w io.Writer) error { return printJSON(w, t) }
		}
		if err := errors.Join(write(a.stdout), err); err != nil {
			return err
		}
		if len(t.Found) == 0 {
			return codeError(exitFailure)
		}
		return nil
	}
	return cmd
}

// readTrace reads as much of a file, or of standard input, as is looked at.
func (a *app) readTrace(name string) ([]byte, error) {
	in := a.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, content.MaxTrace))
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	return data, nil
}

// trace is the answer of the command.
type trace struct {
	Found []agent.TraceResult `json:"found"`
	// Candidates are what could be an id, whosever.
	Candidates []candidate `json:"candidates"`
	// Error says why the agent could not be asked.
	Error string `json:"error,omitempty"`
}

type candidate struct {
	// ID is a token id, or the beginning of one if Whole is false.
	ID    string `json:"id"`
	Whole bool   `json:"whole"`
	Form  string `json:"form"`
}

func candidates(found []content.Found) []candidate {
	out := []candidate{}
	for _, f := range found {
		out = append(out, candidate{ID: f.ID, Whole: f.Whole(), Form: f.Form})
	}
	return out
}

func (t trace) ids() []string {
	var ids []string
	for _, c := range t.Candidates {
		ids = append(ids, c.ID)
	}
	return ids
}

// shownCandidates are the first ones; JSON has all.
const shownCandidates = 10

func (t trace) write(w io.Writer) error {
	out := &table{w: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	for _, f := range t.Found {
		there := "no longer there"
		if f.Present {
			there = "still there"
		}
		out.row("token", fmt.Sprintf("%s (%s)", f.Token, f.Kind))
		out.row("pod", f.Namespace+"/"+f.Pod)
		out.row("container", fmt.Sprintf("%s, %s", f.ContainerName, f.Container))
		out.row("path", f.Path)
		out.row("planted", f.PlantedAt.Format(time.RFC3339)+", "+there)
		out.row("honeytoken.id", f.TokenID)
	}
	if len(t.Found) > 0 {
		return out.w.Flush()
	}
	if len(t.Candidates) == 0 {
		_, err := io.WriteString(w, "no canary id was found\n")
		return err
	}
	var b strings.Builder
	if t.Error == "" {
		b.WriteString("no token of this node. ")
	}
	b.WriteString("If it is another one's, its accesses have one of these as honeytoken.id:\n")
	for _, c := range t.Candidates[:min(len(t.Candidates), shownCandidates)] {
		id := c.ID
		if !c.Whole {
			id += "*"
		}
		fmt.Fprintf(&b, "  %-*s  read from: %s\n", content.IDLength, id, c.Form)
	}
	if more := len(t.Candidates) - shownCandidates; more > 0 {
		fmt.Fprintf(&b, "  and %d more\n", more)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
