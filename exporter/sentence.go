package exporter

import (
	"fmt"
	"strings"

	"github.com/beesting-otel/beesting"
)

// sentence is the record's body: what happened, for a person. All names in it
// are made safe to show, since the process that is being watched chose some.
func sentence(a *beesting.Access) string {
	var b strings.Builder
	verb, aim := deed(a)
	fmt.Fprintf(&b, "%s %s %s", actorName(a), verb, tokenName(a))
	if p := filePath(a); p != "" {
		fmt.Fprintf(&b, " at %s", word(p))
	}
	b.WriteString(aim)
	if place := placeName(a.Placement.Container); place != "" {
		fmt.Fprintf(&b, " in %s", place)
	}
	if byOutsider(a) {
		b.WriteString(", from " + outsiderName(a))
	}
	if a.Count > 1 {
		fmt.Fprintf(&b, " (%d times)", a.Count)
	}
	return bounded(b.String(), maxValue)
}

// actorName is "cat (pid 4711, user 0)".
func actorName(a *beesting.Access) string {
	if a.Process.PID == 0 {
		return "an unknown process"
	}
	return fmt.Sprintf("%s (pid %d, user %d)", actorWord(a), a.Process.PID, a.Process.EUID)
}

// actorWord is the executable's name, and the thread's where it says something
// else ("busybox as cat"): the first can't be forged, the second tells more of
// a program with many faces.
func actorWord(a *beesting.Access) string {
	exe, comm := executableName(&a.Process), a.Process.Comm
	switch {
	case exe == "" && comm == "":
		return "a process"
	case exe == "":
		return word(comm)
	case comm == "" || strings.HasPrefix(exe, comm):
		return word(exe)
	default:
		return word(exe) + " as " + word(comm)
	}
}

// deed is what was done, and what for: "opened", " for reading".
func deed(a *beesting.Access) (verb, aim string) {
	if a.Kind != beesting.AccessOpen {
		return "touched", ""
	}
	aim = " for " + purpose(a.File.Flags)
	if a.Outcome == beesting.OutcomeDenied {
		return "was denied to open", aim
	}
	return "opened", aim
}

func tokenName(a *beesting.Access) string {
	if a.Placement.Token.Name == "" {
		return "a honeytoken"
	}
	return "honeytoken " + word(a.Placement.Token.Name)
}

// placeName is "container shop of pod web/shop-6d4cf56db6-x7k2p"; empty for
// the host.
func placeName(c *beesting.Container) string {
	switch {
	case c == nil:
		return ""
	case c.Pod.Name != "":
		return fmt.Sprintf("container %s of pod %s", word(c.Name), word(c.Pod.Namespace+"/"+c.Pod.Name))
	case c.Name != "":
		return "container " + word(c.Name)
	default:
		return "container " + word(c.ID)
	}
}

func outsiderName(a *beesting.Access) string {
	if place := placeName(a.ActorContainer); place != "" {
		return place
	}
	if a.Actor == beesting.ActorHost {
		return "the host"
	}
	return "another container"
}
