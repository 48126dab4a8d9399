package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/beesting-otel/beesting/test/conformance/internal/cases"
)

const head = `# What the sensor sees

Written by ` + "`make conformance`" + `; do not edit. Every line is a program that touches a
token in one way (test/conformance/touch), run on every kernel, in both planting
forms, on every rung of the sensor and in both tiers. A cell is good when exactly
the touches of the column "Tells" are told: once each, of that kind, with the
toucher's process, user and program, and with the kernel's own counters agreeing.
All of it comes from one tree: the run refuses to write this page while a cell is
wrong, or was run from other sources.

| Sign | |
|---|---|
| ● | told |
| ◐ | told in part: the rest is of a kind that this rung and tier don't see |
| ○ | not told, as documented here: by the rung's own words (below) or by the line's |
| · | nothing to tell, and nothing told |
| – | not run, see the kernels below |
| | blank: this kernel lacks the call, or the form or the rung |
| a/b | default tier / recon tier, where they differ |

"Tells" reads: kind, ` + "`!`" + ` the error of a refused touch, ` + "`@child`" + ` by a process that the
toucher forked, ` + "`×`" + ` how often, ` + "`^recon`" + ` in the recon tier only, ` + "`a/b`" + ` b where the rung
doesn't know a. User 1000 touches unless that can't be; a number behind the name
is the first kernel that has the call.
`

// Markdown is docs/conformance.md.
// names are the kernels of the whole matrix.
func Markdown(list []cases.Case, kernels []Kernel, names []string) string {
	kernels = slices.DeleteFunc(slices.Clone(kernels), func(k Kernel) bool { return k.Release == "" })
	t := newTable(kernels)
	var b strings.Builder
	b.WriteString(head)
	t.kernelsSection(&b, names)
	t.casesSection(&b, list)
	t.systemsSection(&b)
	t.coverageSection(&b)
	return b.String()
}

// spot is a cell's address.
type spot struct {
	kernel string
	cases.Place
	name string
}

type table struct {
	kernels []Kernel
	cells   map[spot]cases.Cell
	// rungs and forms in the order of the columns.
	rungs []string
	first string
}

func newTable(kernels []Kernel) *table {
	t := &table{kernels: kernels, cells: map[spot]cases.Cell{}, first: "tmpfs"}
	for _, k := range kernels {
		for _, c := range k.Cells {
			t.cells[spot{k.Name, c.Place, c.Case}] = c
			if !slices.Contains(t.rungs, c.Rung) {
				t.rungs = append(t.rungs, c.Rung)
			}
		}
	}
	order := []string{"lsm", "fentry", "kprobe", "fanotify"}
	slices.SortFunc(t.rungs, func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) })
	return t
}

func (t *table) kernelsSection(b *strings.Builder, names []string) {
	b.WriteString("\n## Kernels\n\n| Kernel | Release | Run on | Rung and tier | Told | In part | Can't | Silent | Ends told |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, k := range t.kernels {
		for _, s := range steps() {
			t.kernelRow(b, k, s)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(t.kernels, func(k Kernel) bool { return k.Name == name }) {
			fmt.Fprintf(b, "| %s | – | not run | all | | | | | |\n", name)
		}
	}
}

func (t *table) kernelRow(b *strings.Builder, k Kernel, s step) {
	run, ran := k.ran(s.rung, s.tier, t.first)
	i := slices.IndexFunc(k.Rungs, func(r cases.Rung) bool { return r.Rung == s.rung && r.Tier == s.tier })
	if !ran || i < 0 {
		fmt.Fprintf(b, "| %s | %s | not run | %s | | | | | |\n", k.Name, k.Release, s)
		return
	}
	r := k.Rungs[i]
	fmt.Fprintf(b, "| %s | %s | %s | %s |", k.Name, k.Release, run.Date, s)
	if r.Refused != "" {
		fmt.Fprintf(b, " refused: %s | | | | |\n", cell(r.Refused))
		return
	}
	n := map[cases.Verdict]int{}
	for _, c := range k.Cells {
		if c.Rung == s.rung && c.Tier == s.tier {
			n[c.Verdict]++
		}
	}
	fmt.Fprintf(b, " %d | %d | %d | %d | %d of %d |\n", n[cases.OK], n[cases.Part], n[cases.Cant], n[cases.None], r.Ends, r.Opens)
}

// cell makes text fit for a cell of a table.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(s)
}

func (t *table) casesSection(b *strings.Builder, list []cases.Case) {
	all := append(slices.Clone(list),
		cases.Case{Name: "siblings", Group: "silence", What: "all of the above done to other files"},
		cases.Case{Name: "forks", Group: "silence", What: "1,000 processes that start, execute and end"})
	b.WriteString("\n## Every way to touch\n\nOn tmpfs; the columns are rung and planting form (bind-mounted, overlay).\n")
	group := ""
	for _, c := range all {
		if c.Group != group {
			group = c.Group
			fmt.Fprintf(b, "\n### %s\n\n| Case | | Tells |", strings.ReplaceAll(group, "_", " "))
			for _, r := range t.rungs {
				fmt.Fprintf(b, " %s bind | %s overlay |", r, r)
			}
			b.WriteString(" Kernels that differ |\n|---|---|---|" + strings.Repeat("---|", 2*len(t.rungs)) + "---|\n")
		}
		t.row(b, c)
	}
}

func (t *table) row(b *strings.Builder, c cases.Case) {
	what := c.What
	if c.Cant != "" {
		what += " (" + c.Cant + ")"
	}
	fmt.Fprintf(b, "| %s%s | %s | %s |", c.Name, since(c), cell(what), tells(c))
	var differ []string
	for _, rung := range t.rungs {
		for _, form := range cases.Forms() {
			by := map[signs][]string{}
			for _, k := range t.kernels {
				if s := t.sign(k, rung, form, c); s != (signs{}) {
					by[s] = append(by[s], k.Name)
				}
			}
			usual := mostly(by)
			fmt.Fprintf(b, " %s |", usual)
			for _, s := range sorted(by) {
				if !s.agrees(usual) {
					differ = append(differ, fmt.Sprintf("%s %s %s %s", strings.Join(by[s], ", "), rung, form, s))
				}
			}
		}
	}
	fmt.Fprintf(b, " %s |\n", strings.Join(differ, "; "))
}

func since(c cases.Case) string {
	if c.Since == "" {
		return ""
	}
	return " " + c.Since
}

func tells(c cases.Case) string {
	text := func(s string) string {
		if s == "" {
			return "nothing"
		}
		return "`" + strings.ReplaceAll(s, " x", "×") + "`"
	}
	if c.Overlay != c.Kinds {
		return text(c.Kinds) + ", overlay: " + text(c.Overlay)
	}
	return text(c.Kinds)
}

// notRun stands where a rung and tier did not run on a kernel.
const notRun = "–"

// signs are what a cell shows: of the default tier and of recon, each empty
// where there is no such cell.
type signs [2]string

func (s signs) String() string {
	if s[0] == s[1] || s[1] == "" {
		return s[0]
	}
	if s[0] == "" {
		return s[1]
	}
	return s[0] + "/" + s[1]
}

// agrees tells whether two cells show the same, as far as both were run. That a
// tier did not run is said of the kernel, not of each case.
func (s signs) agrees(other signs) bool {
	for i := range s {
		if s[i] != other[i] && s[i] != notRun && other[i] != notRun {
			return false
		}
	}
	return true
}

// complete tells whether all of it was run.
func (s signs) complete() bool { return s[0] != notRun && s[1] != notRun }

// sign is what one kernel's cell shows.
func (t *table) sign(k Kernel, rung, form string, c cases.Case) signs {
	var s signs
	for i, tier := range []string{"default", "recon"} {
		if !slices.Contains(steps(), step{rung, tier}) {
			continue
		}
		if _, ok := k.ran(rung, tier, t.first); !ok {
			s[i] = notRun
			continue
		}
		cell, ok := t.cells[spot{k.Name, cases.Place{FS: t.first, Form: form, Rung: rung, Tier: tier}, c.Name}]
		if ok && cell.Verdict != cases.Lacks {
			s[i] = sign(cell.Verdict)
		}
	}
	return s
}

func sign(v cases.Verdict) string {
	switch v {
	case cases.OK:
		return "●"
	case cases.Part:
		return "◐"
	case cases.Cant:
		return "○"
	case cases.None:
		return "·"
	case cases.Lacks:
		return ""
	default: // not in a table, see Failures
		return "✗"
	}
}

func sorted(by map[signs][]string) []signs {
	return slices.SortedFunc(maps.Keys(by), func(a, b signs) int { return slices.Compare(a[:], b[:]) })
}

// mostly is the sign of most kernels, of those that ran all of it if there are
// any.
func mostly(by map[signs][]string) signs {
	var best signs
	for _, s := range sorted(by) {
		switch {
		case best == signs{}, s.complete() && !best.complete(),
			s.complete() == best.complete() && len(by[s]) > len(by[best]):
			best = s
		}
	}
	return best
}

// systemsSection lists what differs on the other file systems.
func (t *table) systemsSection(b *strings.Builder) {
	b.WriteString("\n## Other file systems\n\nThe first rung and tier, on the file system itself (bind) and in an overlay on it.\n\n| Kernel | File system | Run on | Cells | Differ from tmpfs |\n|---|---|---|---|---|\n")
	for _, k := range t.kernels {
		for _, fs := range systems()[1:] {
			t.systemRow(b, k, fs)
		}
	}
}

func (t *table) systemRow(b *strings.Builder, k Kernel, fs string) {
	n, date := 0, ""
	var differ []string
	for _, c := range k.Cells {
		if c.FS != fs {
			continue
		}
		n++
		run, _ := k.ran(c.Rung, c.Tier, fs)
		date = max(date, run.Date)
		usual := c.Place
		usual.FS = t.first
		if u := t.cells[spot{k.Name, usual, c.Case}]; u.Verdict != c.Verdict {
			differ = append(differ, fmt.Sprintf("%s %s %s %s: %s", c.Case, c.Rung, c.Tier, c.Form, sign(c.Verdict)))
		}
	}
	switch {
	case n == 0:
		fmt.Fprintf(b, "| %s | %s | not run | – | – |\n", k.Name, fs)
	case len(differ) == 0:
		fmt.Fprintf(b, "| %s | %s | %s | %d | none |\n", k.Name, fs, date, n)
	default:
		fmt.Fprintf(b, "| %s | %s | %s | %d | %s |\n", k.Name, fs, date, n, strings.Join(differ, "; "))
	}
}

// coverageSection is what the rungs say of themselves.
func (t *table) coverageSection(b *strings.Builder) {
	b.WriteString("\n## What a rung says that it can't see\n\nKinds, and what of a kind, by Sensor.Coverage.\n\n| Rung and tier | Kinds | |\n|---|---|---|\n")
	said := map[string]bool{}
	for _, k := range t.kernels {
		for _, r := range k.Rungs {
			for _, line := range coverage(r) {
				if !said[line] {
					b.WriteString(line)
				}
				said[line] = true
			}
		}
	}
}

// coverage is a rung's notes, one line for all kinds with the same one.
func coverage(r cases.Rung) []string {
	type note struct {
		seen bool
		text string
	}
	var notes []note
	kinds := map[note][]string{}
	for _, s := range r.Coverage {
		n := note{s.Seen, s.Note}
		if s.Seen && s.Note == "" {
			continue
		}
		if kinds[n] == nil {
			notes = append(notes, n)
		}
		kinds[n] = append(kinds[n], s.Kind)
	}
	var lines []string
	for _, n := range notes {
		word := "not seen"
		if n.seen {
			word = "seen, but"
		}
		lines = append(lines, fmt.Sprintf("| %s %s | %s | %s: %s |\n", r.Rung, r.Tier, strings.Join(kinds[n], ", "), word, cell(n.text)))
	}
	return lines
}
