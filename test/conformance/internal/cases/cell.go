package cases

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Verdict is the outcome of one case.
type Verdict string

// The verdicts. Wrong and Outcome are failures.
const (
	// OK: what was expected, once, by the right actor.
	OK Verdict = "ok"
	// Part: what this rung and tier see of it came, the rest is documented.
	Part Verdict = "part"
	// Cant: nothing came, as documented.
	Cant Verdict = "cant"
	// None: nothing came, and nothing should.
	None Verdict = "none"
	// Lacks: this kernel has no such call.
	Lacks Verdict = "lacks"
	// Outcome: right but for the refusal, which was not told.
	Outcome Verdict = "outcome"
	// Wrong: anything else.
	Wrong Verdict = "wrong"
)

// Failed tells whether a verdict fails the run.
func (v Verdict) Failed() bool { return v == Wrong || v == Outcome }

// Place is what a cell stands for beside its case and kernel.
type Place struct {
	FS, Form, Rung, Tier string
}

func (p Place) String() string { return p.Rung + " " + p.Tier + " " + p.FS + " " + p.Form }

// Cell is one case at one place.
type Cell struct {
	Place
	Case    string
	Verdict Verdict
	// Want and Got are the touches, as in the case's line; Problem says what is
	// wrong beside them.
	Want, Got string `json:",omitempty"`
	Problem   string `json:",omitempty"`
}

// Support is what a rung and tier say of themselves.
type Support struct {
	Kind string
	Seen bool
	Note string `json:",omitempty"`
}

// Rung is one rung and tier on one kernel.
type Rung struct {
	Rung, Tier string
	// Refused is why it doesn't work here; Expected says that the documentation
	// says so.
	Refused  string `json:",omitempty"`
	Expected bool   `json:",omitempty"`
	Coverage []Support
	// Opens counts opens whose end could be told, Ends those whose end was;
	// Counted and Right are the ends whose reads and writes were judged, and
	// were right.
	Opens, Ends, Counted, Right int
	// Late counts cases that were run again, as who touched could not be looked at
	// in time.
	Late int
}

// Line is one line of the guest's output: one of the fields is set.
type Line struct {
	Cell *Cell  `json:",omitempty"`
	Rung *Rung  `json:",omitempty"`
	Done string `json:",omitempty"`
}

// Tally counts touches.
type Tally map[Touch]uint64

// String lists them, sorted.
func (t Tally) String() string {
	var words []string
	for _, touch := range slices.SortedFunc(maps.Keys(t), func(a, b Touch) int { return cmp.Compare(a.String(), b.String()) }) {
		word := touch.String()
		if n := t[touch]; n != 1 {
			word = fmt.Sprintf("%s×%d", word, n)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// WithoutOutcome is the tally with refusals taken for what was let through.
func (t Tally) WithoutOutcome() Tally {
	out := Tally{}
	for touch, n := range t {
		touch.Errno = ""
		out[touch] += n
	}
	return out
}

// Want is what a rung and tier have to tell of terms: seen says which kinds they
// know. Dropped counts the terms that they can't see.
func Want(terms []Term, seen func(kind string) bool, recon bool) (want Tally, dropped int) {
	want = Tally{}
	for _, term := range terms {
		i := slices.IndexFunc(term.Any, func(t Touch) bool { return seen(t.Kind) })
		if i < 0 || term.Recon && !recon {
			dropped++
			continue
		}
		want[term.Any[i]] += term.N
	}
	return want, dropped
}

// Judge compares. documented says that the case itself says why nothing is told.
func Judge(want, got Tally, dropped int, documented bool) Verdict {
	switch {
	case !maps.Equal(want, got):
		if maps.Equal(want.WithoutOutcome(), got.WithoutOutcome()) {
			return Outcome
		}
		return Wrong
	case len(want) == 0 && (dropped > 0 || documented):
		return Cant
	case len(want) == 0:
		return None
	case dropped > 0:
		return Part
	default:
		return OK
	}
}
