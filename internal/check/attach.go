package check

import (
	"fmt"
	"slices"
	"strings"
)

// ModeAuto is the mode that takes the first of the others that works;
// ModeFanotify the one that needs no eBPF.
const (
	ModeAuto     = "auto"
	ModeFanotify = "fanotify"
)

// Attempt is the outcome of trying to attach in one mode.
type Attempt struct {
	Mode string
	Err  error  // nil where it works
	Note string // what a mode that works falls short of
	// Kinds are what a mode that works sees.
	Kinds Kinds
}

// Kind says of one access kind whether it is seen, and if not, why. One that is
// seen can have a note too.
type Kind struct {
	Kind string `json:"kind"`
	Seen bool   `json:"seen"`
	Note string `json:"note,omitempty"`
}

// Kinds are what an attach mode can see.
type Kinds []Kind

// Seen lists the kinds that are seen.
func (k Kinds) Seen() string {
	var out []string
	for _, kind := range k {
		if kind.Seen {
			out = append(out, kind.Kind)
		}
	}
	return strings.Join(out, ", ")
}

// Limits says what is not seen of kinds that are; empty if there is no such.
func (k Kinds) Limits() string { return strings.Join(k.grouped(true), "; ") }

// Unseen lists the kinds that are not seen, with the reason; empty if there are
// none.
func (k Kinds) Unseen() string { return strings.Join(k.grouped(false), "; ") }

// grouped puts kinds with the same note together: "a, b (note)".
func (k Kinds) grouped(seen bool) []string {
	var notes []string
	kinds := map[string][]string{}
	for _, kind := range k {
		if kind.Seen != seen || seen && kind.Note == "" {
			continue
		}
		if !slices.Contains(notes, kind.Note) {
			notes = append(notes, kind.Note)
		}
		kinds[kind.Note] = append(kinds[kind.Note], kind.Kind)
	}
	for i, note := range notes {
		notes[i] = strings.Join(kinds[note], ", ")
		if note != "" {
			notes[i] += " (" + note + ")"
		}
	}
	return notes
}

// Lines are the kinds for people: what is seen, what of it isn't, and what isn't
// at all.
func (k Kinds) Lines() []string {
	var out []string
	if seen := k.Seen(); seen != "" {
		out = append(out, "seen:     "+seen)
	}
	for _, limit := range k.grouped(true) {
		out = append(out, "in part:  "+limit)
	}
	for _, unseen := range k.grouped(false) {
		out = append(out, "not seen: "+unseen)
	}
	return out
}

// auto reports whether any mode will do.
func (m Machine) auto() bool { return m.Mode == "" || m.Mode == ModeAuto }

func (m Machine) attach() []Row {
	if m.Probe == nil {
		return nil
	}
	attempts := m.Probe()
	taken := "" // the mode that will be used
	for _, a := range attempts {
		if a.Err == nil && taken == "" && (m.auto() || m.Mode == a.Mode) {
			taken = a.Mode
		}
	}
	rows := make([]Row, 0, len(attempts))
	for _, a := range attempts {
		rows = append(rows, m.attachRow(a, taken))
	}
	return rows
}

func (m Machine) attachRow(a Attempt, taken string) Row {
	r := Row{Name: "attach " + a.Mode}
	switch {
	case a.Err == nil:
		r.Status, r.Detail, r.Kinds = OK, "works", a.Kinds
		if a.Note != "" {
			r.Detail += "; " + a.Note
		}
		if a.Mode != taken {
			return r
		}
		if !m.auto() {
			r.Detail += ", and is what was asked for"
			return r
		}
		r.Detail += ", and is what auto takes"
		if a.Mode == ModeFanotify {
			r.Status = Warn
			r.Advice = "it sees less than any of the others: make one of them work if you can"
		}
	case taken != "":
		r.Status, r.Detail = Warn, a.Err.Error()
		r.Advice = fmt.Sprintf("nothing has to be done: %s works", taken)
		if taken == ModeFanotify && m.auto() {
			r.Advice = "fanotify works, which sees less"
		}
	case m.auto():
		r.Status, r.Detail = Fail, a.Err.Error()
		r.Advice = "at least one mode has to work; some hosts and sandboxes refuse all of them even to root"
	case m.Mode == a.Mode:
		r.Status, r.Detail = Fail, a.Err.Error()
		r.Advice = "it is what was asked for: take one that works, or auto"
	default:
		r.Status, r.Detail = Warn, a.Err.Error()
	}
	return r
}
