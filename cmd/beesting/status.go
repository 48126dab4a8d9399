package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/beesting-otel/beesting/exporter"
	"github.com/beesting-otel/beesting/internal/agent"
	"github.com/beesting-otel/beesting/internal/control"
)

func (a *app) status() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Ask the running agent how it fares",
		Long: `Ask the running agent how it fares: attach mode, connection to the container
runtime, placements, what could not be planted and why, accesses, losses.

Only root may ask.`,
		Example: `  sudo beesting status
  sudo beesting status --json | jq .placements
  sudo beesting status --socket /run/other/control.sock`,
		Args: noArgs,
	}
	asJSON := jsonFlag(cmd)
	file := cmd.Flags().String("config", "", "take the socket's path from this configuration `FILE`")
	socket := cmd.Flags().String("socket", "", "`PATH` of the agent's control socket (default: the configuration's)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *socket != "" && *file != "" {
			return usageError{errors.New("--config and --socket exclude each other")}
		}
		path := *socket
		if path == "" {
			c, err := a.loadOrDefault(*file)
			if err != nil {
				return err
			}
			path = c.ControlSocket
		}
		var raw json.RawMessage
		if err := control.Status(cmd.Context(), path, &raw); err != nil {
			return err
		}
		if *asJSON {
			return printJSON(a.stdout, raw)
		}
		var s nodeStatus
		if err := json.Unmarshal(raw, &s); err != nil {
			return fmt.Errorf("status: %w", err)
		}
		return s.write(a.stdout, time.Now())
	}
	return cmd
}

// nodeStatus is the answer to `beesting status`.
type nodeStatus struct {
	Version string `json:"version"`
	Node    string `json:"node"`
	PID     int    `json:"pid"`
	agent.Status
	Outputs outputStats `json:"outputs"`
}

// outputStats has what is configured.
type outputStats struct {
	OTLP *exporter.OTLPStats   `json:"otlp,omitempty"`
	JSON *exporter.WriterStats `json:"json,omitempty"`
	Text *exporter.WriterStats `json:"text,omitempty"`
}

// write is for people: what is well in few lines, what isn't in as many as it
// takes.
func (s nodeStatus) write(w io.Writer, now time.Time) error {
	t := &table{w: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row("agent", fmt.Sprintf("%s on %s, pid %d, up %s, attached as %s", s.Version, s.Node, s.PID, since(now, s.Since), s.Mode))
	t.row("runtime", s.runtime(now))
	t.row("containers", fmt.Sprintf("%d, %d with tokens, %d lack some", s.Containers, s.Planted, s.Lacking))
	t.row("tokens", s.tokens())
	t.row("accesses", fmt.Sprintf("%d reported, %d incomplete, %d refused by an output", s.Events.Delivered, s.Events.Partial, s.Events.SinkErrors))
	t.row("events lost", lossText(s.Events))
	s.Outputs.rows(t)
	if s.Error != "" {
		t.row("not known", s.Error)
	}
	if len(s.Placements) > 0 {
		t.section("POD", "CONTAINER", "TOKEN", "PATH", "TOUCHES", "LOST")
		for _, p := range s.Placements {
			t.row(p.Namespace+"/"+p.Pod, p.ContainerName, p.Token, p.Path, strconv.FormatUint(p.Seen, 10), strconv.FormatUint(p.Lost, 10))
		}
	}
	if len(s.Unplanted) > 0 {
		t.section("POD", "CONTAINER", "TOKENS", "WHY NOT ALL")
		for _, u := range s.Unplanted {
			t.row(u.Namespace+"/"+u.Pod, u.ContainerName, fmt.Sprintf("%d of %d", u.Planted, u.Wanted), u.Why)
		}
	}
	if len(s.Failures) > 0 {
		t.section("FAILED", "POD", "CONTAINER", "TOKEN", "REASON", "ERROR")
		for _, f := range s.Failures[max(0, len(s.Failures)-shownFailures):] {
			t.row(since(now, f.Time)+" ago", f.Namespace+"/"+f.Pod, f.ContainerName, f.Token, string(f.Reason), f.Error)
		}
	}
	return t.w.Flush()
}

func (s nodeStatus) tokens() string {
	text := fmt.Sprintf("%d watched, state in %s", s.Armed, s.StateDir)
	if s.UnwatchedSeconds > 0 {
		text += fmt.Sprintf(", unwatched for %.1f s before this start", s.UnwatchedSeconds)
	}
	return text
}

// shownFailures are the latest ones; JSON has more.
const shownFailures = 10

func (s nodeStatus) runtime(now time.Time) string {
	n := s.NRI
	state := "connected to " + strings.TrimSpace(n.Runtime+" "+n.RuntimeVer)
	switch {
	case !n.Connected && n.LastError != "":
		state = "NOT CONNECTED, new containers get no tokens: " + n.LastError
	case !n.Connected:
		state = "connecting to " + n.Socket
	case !s.Ready:
		state += ", looking at its containers"
	default:
		state += " for " + since(now, n.RegisteredAt)
	}
	if n.Reconnects > 0 || n.BlindSeconds > 0 {
		state += fmt.Sprintf(", %d reconnects, %.1f s without", n.Reconnects, n.BlindSeconds)
	}
	return state
}

func lossText(e agent.CoreStats) string {
	var parts []string
	for _, cause := range slices.Sorted(maps.Keys(e.Lost)) {
		if n := e.Lost[cause]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, cause))
		}
	}
	if e.DecodeErrors > 0 {
		parts = append(parts, fmt.Sprintf("%d not understood", e.DecodeErrors))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func (o outputStats) rows(t *table) {
	for _, w := range []struct {
		name  string
		stats *exporter.WriterStats
	}{{"json", o.JSON}, {"text", o.Text}} {
		if w.stats != nil {
			t.row("output", fmt.Sprintf("%s: %d written, %d failed", w.name, w.stats.Written, w.stats.Failed))
		}
	}
	if o.OTLP == nil {
		return
	}
	for _, g := range []struct {
		name  string
		stats exporter.SignalStats
	}{{"logs", o.OTLP.Logs}, {"spans", o.OTLP.Spans}} {
		s := g.stats
		dropped := uint64(0)
		for _, n := range s.Dropped {
			dropped += n
		}
		text := fmt.Sprintf("%s to %s: %d delivered, %d waiting, %d dropped", g.name, cmp.Or(s.Endpoint, "nowhere"), s.Delivered, s.Queued, dropped)
		if s.Queued > 0 && s.LastError != "" {
			text += ", last error: " + s.LastError
		}
		t.row("output", text)
	}
	if m := o.OTLP.Metrics; m != nil {
		text := fmt.Sprintf("metrics to %s: %d exported, %d failed", cmp.Or(m.Endpoint, "nowhere"), m.Exported, m.Failed)
		if m.LastError != "" {
			text += ", last error: " + m.LastError
		}
		t.row("output", text)
	}
}

// table writes aligned columns. What containers are called can't act on the
// terminal.
type table struct{ w *tabwriter.Writer }

func (t *table) row(cells ...string) {
	for i, c := range cells {
		cells[i] = printable(c)
	}
	_, _ = fmt.Fprintln(t.w, strings.Join(cells, "\t")) // Flush tells
}

// section starts a table with columns of its own.
func (t *table) section(titles ...string) {
	_ = t.w.Flush()
	_, _ = fmt.Fprintln(t.w)
	t.row(titles...)
}

func since(now, then time.Time) string {
	d := max(now.Sub(then), 0)
	if d < time.Minute {
		return d.Round(time.Second).String()
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}
