package exporter

import (
	"slices"

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
var severityTable = []severityRule{
	{9, "INFO", "the actor is known and benign: `runtime`, `kubelet`, `agent` or `allowed` (no such class is reported yet)", byBenign},
	{19, "ERROR3", "the actor is outside of the token's own container; for a file of the host: in a container", byOutsider},
	{19, "ERROR3", "the token was opened for writing or truncation", isTampering},
	{17, "ERROR", "everything else: the token was opened for reading or execution", func(*beesting.Access) bool { return true }},
}

func severityOf(a *beesting.Access) severityRule {
	i := slices.IndexFunc(severityTable, func(r severityRule) bool { return r.matches(a) })
	return severityTable[i] // the last rule matches everything
}

func byBenign(a *beesting.Access) bool {
	switch a.Actor {
	case "runtime", "kubelet", "agent", "allowed":
		return true
	}
	return false
}

func byOutsider(a *beesting.Access) bool {
	if a.Placement.Container == nil {
		return a.Actor == beesting.ActorOtherContainer
	}
	return a.Actor == beesting.ActorOtherContainer || a.Actor == beesting.ActorHost
}

func isTampering(a *beesting.Access) bool {
	return a.Kind == beesting.AccessOpen && changes(a.File.Flags)
}
