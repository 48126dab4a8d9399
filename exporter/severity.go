package exporter

import (
	"slices"
	"strings"

	"github.com/beesting-otel/beesting"
)

// severityRule is a line of the severity table; the first that matches counts.
// The severity text is never set: the log data model's rule for events.
type severityRule struct {
	number  int    // severity_number of the log data model
	short   string // the data model's short name, for people
	says    string // for docs/telemetry.md
	matches func(*beesting.Access) bool
}

// severityTable never gives FATAL (21 and up): it means that a program ended.
// Whether the access was denied makes no difference: what was tried counts.
var severityTable = []severityRule{
	{9, "INFO", "the actor is known and benign: `runtime`, `kubelet`, `agent` or `allowed`", byBenign},
	{19, "ERROR3", "the actor is outside of the token's own container; for a file of the host: in a container", byOutsider},
	{19, "ERROR3", "the token was changed: " + kindsWith(changing) + "; `open` for writing or truncation, `xattr` with the flag `write`", isTampering},
	{13, "WARN", "somebody looked around: " + kindsWith(looking), isReconnaissance},
	{17, "ERROR", "everything else, which is the content or a way to it: " + kindsWith(having), func(*beesting.Access) bool { return true }},
}

// gapSeverity is that of a gap: something was touched, and how isn't known.
func gapSeverity() severityRule { return severityRule{number: 13, short: "WARN"} }

// kindsWith lists the kinds of an effect, for the reference.
func kindsWith(e effect) string {
	var names []string
	for _, r := range kindTable {
		if r.effect == e {
			names = append(names, "`"+string(r.kind)+"`")
		}
	}
	return strings.Join(names, ", ")
}

func severityOf(a *beesting.Access) severityRule {
	i := slices.IndexFunc(severityTable, func(r severityRule) bool { return r.matches(a) })
	return severityTable[i] // the last rule matches everything
}

func byBenign(a *beesting.Access) bool { return benignName(a.Actor) != "" }

func byOutsider(a *beesting.Access) bool {
	if a.Placement.Container == nil {
		return a.Actor == beesting.ActorOtherContainer
	}
	return a.Actor == beesting.ActorOtherContainer || a.Actor == beesting.ActorHost
}

func isTampering(a *beesting.Access) bool { return effectOf(a) == changing }

func isReconnaissance(a *beesting.Access) bool { return effectOf(a) == looking }
