package exporter

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/beesting-otel/beesting"
)

// TextOptions configures [NewText]. The zero value is plain text in UTC.
type TextOptions struct {
	// Color puts the severity in colour; see [ColorWanted].
	Color bool
	// Location is the time zone of the times; nil is UTC.
	Location *time.Location
}

// ColorWanted reports whether w is a terminal whose user hasn't asked for
// plain text: NO_COLOR set to anything (no-color.org) or TERM=dumb.
func ColorWanted(w io.Writer, getenv func(string) string) bool {
	f, ok := w.(*os.File)
	if !ok || getenv("NO_COLOR") != "" || getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// NewText writes each access as a few aligned lines for a person, and each gap
// as one. Every name
// in them is made safe to show: none can move the cursor, start a line or
// change a colour.
func NewText(w io.Writer, m *Mapping, o TextOptions) *Writer {
	if o.Location == nil {
		o.Location = time.UTC
	}
	return &Writer{w: w, format: func(it item) ([]byte, error) {
		if it.gap != nil {
			return formatGap(it.gap, o), nil
		}
		return formatText(it.access, m, o), nil
	}}
}

// textTime is how a time is written at the beginning of a line.
const textTime = "2006-01-02 15:04:05.000 -0700"

// labelWidth aligns the second column.
const labelWidth = 7

func formatText(a *beesting.Access, m *Mapping, o TextOptions) []byte {
	severity := severityOf(a)
	verb, aim := deed(a)
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s  %s  %s %s %s%s%s\n", a.Time.In(o.Location).Format(textTime),
		colored(severity, o.Color), actorWord(a), verb, tokenName(a), aim, ending(a))
	line := func(label, value string) {
		if value != "" {
			fmt.Fprintf(&b, "  %-*s%s\n", labelWidth, label, value)
		}
	}
	line("who", commandLine(a, m))
	line("", processLine(&a.Process, o.Location))
	line("", directoryLine(&a.Process))
	line("under", ancestorLine(a.Process.Ancestors))
	line("from", actorPlace(a))
	line("known", benignName(a.Actor))
	line("where", tokenPlace(a, m))
	line("token", tokenLine(a))
	if len(a.Partial) > 0 {
		line("lacks", words(a.Partial))
	}
	return b.Bytes()
}

// formatGap says when as well: its line stands where it was found out.
func formatGap(g *beesting.Gap, o TextOptions) []byte {
	bounds := ""
	if !g.From.IsZero() {
		bounds = ", since " + g.From.In(o.Location).Format(textTime)
	}
	return fmt.Appendf(nil, "%s  %s  %s%s\n", g.To.In(o.Location).Format(textTime), colored(gapSeverity(), o.Color), gapSentence(g), bounds)
}

// colored is the severity's short name: white on red for tampering and
// outsiders, red for the content, yellow for a look around, plain for what is
// benign.
func colored(s severityRule, color bool) string {
	name := fmt.Sprintf("%-6s", s.short)
	switch {
	case !color || s.number < 13:
		return name
	case s.number >= 19:
		return "\x1b[1;97;41m" + name + "\x1b[0m"
	case s.number < 17:
		return "\x1b[33m" + name + "\x1b[0m"
	default:
		return "\x1b[1;31m" + name + "\x1b[0m"
	}
}

// commandLine is the executable and, where they may be told, the arguments.
func commandLine(a *beesting.Access, m *Mapping) string {
	exe := "executable unknown"
	if a.Process.Executable != "" {
		exe = word(bounded(a.Process.Executable, maxValue))
	}
	if a.Process.ExecutableTruncated {
		exe = cut + exe
	}
	args := sanitiseArgs(a.Process.Args, m.args, a.Process.ArgsTruncated)
	if len(args.args) == 0 {
		return exe
	}
	line := exe + "  as  " + words(args.args)
	if args.truncated {
		line += " " + cut
	}
	return line
}

func processLine(p *beesting.Process, zone *time.Location) string {
	if p.PID == 0 {
		return ""
	}
	parts := []string{fmt.Sprintf("pid %d", p.PID), fmt.Sprintf("user %d", p.EUID)}
	if p.UID != p.EUID {
		parts = append(parts, fmt.Sprintf("real user %d", p.UID))
	}
	if p.LoginUID != beesting.LoginUIDUnset {
		parts = append(parts, fmt.Sprintf("logged in as %d", p.LoginUID))
	}
	if p.ParentPID != 0 {
		parts = append(parts, fmt.Sprintf("parent %d", p.ParentPID))
	}
	if p.EntryPID != 0 {
		parts = append(parts, fmt.Sprintf("entry %d", p.EntryPID))
	}
	if !p.StartTime.IsZero() {
		parts = append(parts, "started "+p.StartTime.In(zone).Format("2006-01-02 15:04:05"))
	}
	return strings.Join(parts, ", ")
}

func directoryLine(p *beesting.Process) string {
	if p.WorkingDirectory == "" {
		return ""
	}
	return "in directory " + word(bounded(p.WorkingDirectory, maxValue))
}

// ancestorLine begins with the parent.
func ancestorLine(all []beesting.Ancestor) string {
	var parts []string
	for _, p := range all[:min(len(all), beesting.MaxAncestors)] {
		parts = append(parts, fmt.Sprintf("%s (%d)", word(bounded(p.Comm, maxAncestor)), p.PID))
	}
	return strings.Join(parts, ", ")
}

// actorPlace is told only when it isn't the token's own container.
func actorPlace(a *beesting.Access) string {
	if byOutsider(a) {
		return outsiderName(a)
	}
	return placeName(a.ActorContainer)
}

func tokenPlace(a *beesting.Access, m *Mapping) string {
	place := placeName(a.Placement.Container)
	node := m.node.Name
	if node == "" {
		node = m.node.HostName
	}
	switch {
	case place == "" && node == "":
		return "this host"
	case place == "":
		return "host " + word(node)
	case node == "":
		return place
	default:
		return place + " on " + word(node)
	}
}

func tokenLine(a *beesting.Access) string {
	parts := []string{word(filePath(a))}
	if a.Placement.Token.Kind != "" {
		parts = append(parts, word(a.Placement.Token.Kind))
	}
	if a.Placement.TokenID != "" {
		parts = append(parts, "id "+word(a.Placement.TokenID))
	}
	return strings.Join(parts, ", ")
}
