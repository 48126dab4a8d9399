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
	if name := benignName(a.Actor); name != "" {
		b.WriteString(", " + name)
	}
	return bounded(b.String(), maxValue-len(ending(a))) + ending(a)
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

// deed is what was done, and what stands behind the token's name: "opened",
// " for reading".
func deed(a *beesting.Access) (verb, aim string) {
	rule := ruleOf(a.Kind)
	verb, aim = rule.done, rule.aim
	if a.Outcome == beesting.OutcomeDenied {
		verb = "tried to " + rule.todo
	}
	switch {
	case a.Kind == beesting.AccessOpen && hasFlags(a):
		aim = " for " + purpose(a.File.Flags)
	case a.Kind == beesting.AccessXattr && changes(a.File.Flags):
		verb = strings.Replace(verb, "ask for", "change", 1)
		verb = strings.Replace(verb, "asked for", "changed", 1)
	}
	switch {
	case a.Detail == "":
	case a.Kind == beesting.AccessRename:
		aim += " to " + word(bounded(a.Detail, maxDetail))
	default:
		aim += " (" + word(bounded(a.Detail, maxDetail)) + ")"
	}
	return verb, aim
}

// maxDetail bounds the detail within a sentence, in bytes.
const maxDetail = 300

// ending is how it came out and how often it was: " and was refused (EACCES)",
// " (3 times)".
func ending(a *beesting.Access) string {
	var b strings.Builder
	if a.Outcome == beesting.OutcomeDenied {
		b.WriteString(" and was refused")
		if a.ErrorType != "" {
			b.WriteString(" (" + word(bounded(a.ErrorType, maxDetail)) + ")")
		}
	}
	if a.Count > 1 {
		fmt.Fprintf(&b, " (%d times)", a.Count)
	}
	return b.String()
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

// benignName says why an actor is no reason to worry; empty for the others.
func benignName(class beesting.ActorClass) string {
	switch class {
	case beesting.ActorRuntime:
		return "by the container runtime"
	case beesting.ActorKubelet:
		return "by the kubelet"
	case beesting.ActorAgent:
		return "by the agent itself"
	case beesting.ActorAllowed:
		return "exempted by the configuration"
	}
	return ""
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

// gapSentence is the body of a gap, and its line of text.
func gapSentence(g *beesting.Gap) string {
	a := beesting.Access{Placement: g.Placement}
	var b strings.Builder
	touches := "touches"
	if g.Count == 1 {
		touches = "touch"
	}
	fmt.Fprintf(&b, "%d %s (%s) of %s", g.Count, touches, word(string(g.Kind)), tokenName(&a))
	if p := filePath(&a); p != "" {
		fmt.Fprintf(&b, " at %s", word(p))
	}
	if place := placeName(g.Placement.Container); place != "" {
		fmt.Fprintf(&b, " in %s", place)
	}
	fmt.Fprintf(&b, ", counted by the kernel and not reported: %s", word(g.Cause))
	return bounded(b.String(), maxValue)
}
