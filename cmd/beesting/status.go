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
	"github.com/beesting-otel/beesting/internal/journal"
	"github.com/beesting-otel/beesting/internal/kube"
	"github.com/beesting-otel/beesting/internal/reload"
)

func (a *app) status() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Ask the running agent how it fares",
		Long: `Ask the running agent how it fares: attach mode, tier and the kinds of access that
they see, the configuration in use, connection to the container runtime and to the
API server, placements, what could not be planted and why, accesses, losses.

TOUCHES are the kernel's counts. Each touch is REPORTED as an access, COALESCED
into one (counted in a report of the same process touching on), or LOST, which is
reported as a gap. EXEMPT touches are by those that the configuration exempts.

With --check it says whether the agent does its work, for probes: the exit code is
1, with a line for each reason, if there is no agent, it is not registered with the
container runtime or not ready, records or the journal can't be written, or the configuration file
is refused. Containers that lack tokens count with --max-lacking only, since some
can never have them.

Only root may ask.`,
		Example: `  sudo beesting status
  sudo beesting status --check
  sudo beesting status --json | jq .placements
  sudo beesting status --json | jq '.coverage[] | select(.seen | not)'
  sudo beesting status --socket /run/other/control.sock`,
		Args: noArgs,
	}
	asJSON := jsonFlag(cmd)
	check := cmd.Flags().Bool("check", false, "say only whether all is well; exit code 1 if not")
	lacking := cmd.Flags().Duration("max-lacking", 0, "with --check: `TIME` that a container may lack tokens; 0 for ever")
	socket := a.socketFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *lacking < 0 || *lacking > 0 && !*check {
			return usageError{errors.New("--max-lacking TIME must not be negative, and goes with --check")}
		}
		path, err := socket()
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if err := control.Status(cmd.Context(), path, &raw); err != nil {
			return err
		}
		if *asJSON && !*check {
			return printJSON(a.stdout, raw)
		}
		var s nodeStatus
		if err := json.Unmarshal(raw, &s); err != nil {
			return fmt.Errorf("status: %w", err)
		}
		if *check {
			return s.health(time.Now(), *lacking).write(a.stdout, *asJSON)
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
	// Pin is where the sensor stays when the agent ends; empty for nowhere.
	Pin string `json:"pin"`
	// Config says which configuration is in use.
	Config reload.Status `json:"config"`
	agent.Status
	// Kubernetes says how the agent fares with the API server; left out where it
	// isn't asked.
	Kubernetes *kube.Status `json:"kubernetes,omitempty"`
	Outputs    outputStats  `json:"outputs"`
	// Journal is what the node keeps; left out without one.
	Journal *journal.Stats `json:"journal,omitempty"`
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
	t.row("agent", fmt.Sprintf("%s on %s, pid %d, up %s, attached as %s, tier %s", s.Version, s.Node, s.PID, since(now, s.Since), s.Mode, s.Tier))
	configRows(t, s.Config, now)
	kinds := kindsOf(s.Coverage)
	t.row("seen", kinds.Seen())
	for _, text := range [][2]string{{"in part", kinds.Limits()}, {"not seen", kinds.Unseen()}} {
		if text[1] != "" {
			t.row(text[0], text[1])
		}
	}
	t.row("pinned", s.pinned())
	t.row("runtime", s.runtime(now))
	t.row("API server", apiServerText(s.Kubernetes, now))
	if text := s.answers(); text != "" {
		t.row("answers", text)
	}
	if w := s.Sweep; w.Found+w.Unknown > 0 || w.LastError != "" {
		t.row("untold", s.untold())
	}
	t.row("containers", fmt.Sprintf("%d, %d with tokens, %d lack some", s.Containers, s.Planted, s.Lacking))
	t.row("tokens", s.tokens())
	if text := s.records(now); text != "" {
		t.row("records", text)
	}
	e := s.Events
	t.row("accesses", fmt.Sprintf("%d reported for %d touches, %d incomplete, %d put off by an output without room",
		e.Delivered, e.Delivered+e.Coalesced, e.Partial, e.Deferred))
	if len(e.Unresolved) > 0 || e.Waited > 0 {
		t.row("workloads", fmt.Sprintf("missing or in part: %s; %d accesses waited for them", countsText(e.Unresolved), e.Waited))
	}
	t.row("opens", fmt.Sprintf("%d not closed yet, %d closed, %d given up", e.OpenFiles, e.Ends, e.EndsUnseen))
	t.row("touches lost", countsText(e.Gaps))
	t.row("events lost", lossText(e))
	s.Outputs.rows(t)
	if s.Journal != nil {
		t.row("journal", journalText(*s.Journal))
	}
	if s.Error != "" {
		t.row("not known", s.Error)
	}
	s.kinds(t)
	s.placements(t)
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

func (s nodeStatus) pinned() string {
	if s.Pin == "" {
		return "nowhere: tokens are not watched while no agent runs"
	}
	text := "at " + s.Pin + ": tokens stay watched while no agent runs"
	if s.Resumed {
		text += fmt.Sprintf(", as they did for %.1f s before this start", s.AwaySeconds)
	}
	return text
}

func (s nodeStatus) tokens() string {
	text := fmt.Sprintf("%d watched, state in %s", s.Armed, s.StateDir)
	if s.UnwatchedSeconds > 0 {
		text += fmt.Sprintf(", unwatched for %.1f s before this start", s.UnwatchedSeconds)
	}
	return text
}

// records says what is wrong with what is written of containers, if anything is.
func (s nodeStatus) records(now time.Time) string {
	r := s.Records
	var parts []string
	if r.Error != "" {
		parts = append(parts, fmt.Sprintf("NOT WRITTEN: %s; %d containers wait", r.Error, r.Pending))
		if !r.PendingSince.IsZero() {
			parts[0] += " for " + since(now, r.PendingSince)
		}
	}
	if r.Dropped > 0 {
		parts = append(parts, fmt.Sprintf("%d removed containers forgotten", r.Dropped))
	}
	if r.SetAside != "" {
		parts = append(parts, "a database that could not be used is kept as "+r.SetAside)
	}
	return strings.Join(parts, "; ")
}

// kinds sums up the touches of the listed placements by kind. In each row the
// touches are the sum of the rest, but for those that are being dealt with.
func (s nodeStatus) kinds(t *table) {
	sums := map[string]agent.KindCount{}
	for _, p := range s.Placements {
		for kind, n := range p.Kinds {
			sums[kind] = sum(sums[kind], n)
		}
	}
	if len(sums) == 0 {
		return
	}
	t.section("KIND", "TOUCHES", "REPORTED", "COALESCED", "LOST")
	for _, kind := range slices.Sorted(maps.Keys(sums)) {
		t.row(append([]string{kind}, counts(sums[kind])...)...)
	}
}

func (s nodeStatus) placements(t *table) {
	if len(s.Placements) == 0 {
		return
	}
	t.section("POD", "CONTAINER", "TOKEN", "PATH", "TOUCHES", "REPORTED", "COALESCED", "LOST", "EXEMPT")
	for _, p := range s.Placements {
		var all agent.KindCount
		for _, n := range p.Kinds {
			all = sum(all, n)
		}
		cells := append([]string{p.Namespace + "/" + p.Pod, p.ContainerName, p.Token, p.Path}, counts(all)...)
		t.row(append(cells, strconv.FormatUint(p.Exempt, 10))...)
	}
}

func sum(a, b agent.KindCount) agent.KindCount {
	return agent.KindCount{Seen: a.Seen + b.Seen, Delivered: a.Delivered + b.Delivered, Coalesced: a.Coalesced + b.Coalesced, Lost: a.Lost + b.Lost}
}

func counts(n agent.KindCount) []string {
	var cells []string
	for _, v := range []uint64{n.Seen, n.Delivered, n.Coalesced, n.Lost} {
		cells = append(cells, strconv.FormatUint(v, 10))
	}
	return cells
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

// answers says how long the runtime waited.
func (s nodeStatus) answers() string {
	var parts []string
	for _, request := range slices.Sorted(maps.Keys(s.NRI.Durations)) {
		h := s.NRI.Durations[request]
		parts = append(parts, fmt.Sprintf("%s %d, p50 %v, p99 %v", request, h.Count(),
			h.Quantile(0.5).Round(time.Microsecond), h.Quantile(0.99).Round(time.Microsecond)))
	}
	return strings.Join(parts, "; ")
}

// untold is about containers that the runtime has not told of.
func (s nodeStatus) untold() string {
	w := s.Sweep
	text := fmt.Sprintf("%d containers found by their cgroups, %d cgroups are nobody's, %d registrations for it", w.Found, w.Unknown, w.Resyncs)
	if w.LastError != "" {
		text += ", last look: " + w.LastError
	}
	return text
}

func lossText(e agent.CoreStats) string {
	text := countsText(e.Lost)
	if e.DecodeErrors == 0 {
		return text
	}
	unread := fmt.Sprintf("%d not understood", e.DecodeErrors)
	if text == none {
		return unread
	}
	return text + ", " + unread
}

const none = "none"

// countsText lists the counts that aren't zero.
func countsText(counts map[string]uint64) string {
	var parts []string
	for _, cause := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[cause]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, cause))
		}
	}
	if len(parts) == 0 {
		return none
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
