package report

import (
	"fmt"
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

| Sign | |
|---|---|
| ● | told |
| ◐ | told in part: the rest is of a kind that this rung and tier don't see |
| ○ | not told, as documented here: by the rung's own words (below) or by the line's |
| · | nothing to tell, and nothing told |
| ◌ | told, but not that it was refused |
| ✗ | wrong |
| a/b | default tier / recon tier, where they differ |

"Tells" reads: kind, ` + "`!`" + ` the error of a refused touch, ` + "`@child`" + ` by a process that the
toucher forked, ` + "`×`" + ` how often, ` + "`^recon`" + ` in the recon tier only, ` + "`a/b`" + ` b where the rung
doesn't know a. User 1000 touches unless that can't be; a number behind the name
is the first kernel that has the call.
`

// Markdown is docs/conformance.md.
func Markdown(list []cases.Case, kernels []Kernel) string {
	kernels = slices.DeleteFunc(slices.Clone(kernels), func(k Kernel) bool { return k.Release == "" })
	t := newTable(kernels)
	var b strings.Builder
	b.WriteString(head)
	t.kernelsSection(&b)
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

func (t *table) kernelsSection(b *strings.Builder) {
	b.WriteString("\n## Kernels\n\n| Kernel | Release | Run on | Rung and tier | Told | In part | Can't | Silent | Outcome missing | Wrong | Ends told |\n|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, k := range t.kernels {
		for _, r := range k.Rungs {
			fmt.Fprintf(b, "| %s | %s | %s | %s %s |", k.Name, k.Release, k.Date, r.Rung, r.Tier)
			if r.Refused != "" {
				fmt.Fprintf(b, " refused: %s | | | | | | |\n", cell(r.Refused))
				continue
			}
			n := map[cases.Verdict]int{}
			for _, c := range k.Cells {
				if c.Rung == r.Rung && c.Tier == r.Tier {
					n[c.Verdict]++
				}
			}
			fmt.Fprintf(b, " %d | %d | %d | %d | %d | %d | %d of %d |\n", n[cases.OK], n[cases.Part], n[cases.Cant], n[cases.None], n[cases.Outcome], n[cases.Wrong], r.Ends, r.Opens)
		}
	}
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
			signs := map[string][]string{}
			for _, k := range t.kernels {
				if s := t.sign(k, rung, form, c); s != "" {
					signs[s] = append(signs[s], k.Name)
				}
			}
			usual := mostly(signs)
			fmt.Fprintf(b, " %s |", usual)
			for _, s := range sorted(signs) {
				if s != usual {
					differ = append(differ, fmt.Sprintf("%s %s %s %s", strings.Join(signs[s], ", "), rung, form, s))
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

// sign is what one kernel's cell shows, empty where it has none.
func (t *table) sign(k Kernel, rung, form string, c cases.Case) string {
	var signs []string
	for _, tier := range []string{"default", "recon"} {
		cell, ok := t.cells[spot{k.Name, cases.Place{FS: t.first, Form: form, Rung: rung, Tier: tier}, c.Name}]
		if ok && cell.Verdict != cases.Lacks {
			signs = append(signs, sign(cell.Verdict))
		}
	}
	return strings.Join(slices.Compact(signs), "/")
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
	case cases.Outcome:
		return "◌"
	default:
		return "✗"
	}
}

func sorted(signs map[string][]string) []string {
	var all []string
	for s := range signs {
		all = append(all, s)
	}
	slices.Sort(all)
	return all
}

// mostly is the sign of most kernels.
func mostly(signs map[string][]string) string {
	best := ""
	for _, s := range sorted(signs) {
		if best == "" || len(signs[s]) > len(signs[best]) {
			best = s
		}
	}
	return best
}

// systemsSection lists what differs on the other file systems.
func (t *table) systemsSection(b *strings.Builder) {
	b.WriteString("\n## Other file systems\n\nThe first rung and tier, on the file system itself (bind) and in an overlay on it.\n\n| Kernel | File system | Cells | Differ from tmpfs |\n|---|---|---|---|\n")
	for _, k := range t.kernels {
		type seen struct {
			n      int
			differ []string
		}
		by := map[string]*seen{}
		var order []string
		for _, c := range k.Cells {
			if c.FS == t.first {
				continue
			}
			if by[c.FS] == nil {
				by[c.FS], order = &seen{}, append(order, c.FS)
			}
			by[c.FS].n++
			usual := c.Place
			usual.FS = t.first
			if u := t.cells[spot{k.Name, usual, c.Case}]; u.Verdict != c.Verdict {
				by[c.FS].differ = append(by[c.FS].differ, fmt.Sprintf("%s %s %s %s: %s", c.Case, c.Rung, c.Tier, c.Form, sign(c.Verdict)))
			}
		}
		for _, fs := range order {
			differ := strings.Join(by[fs].differ, "; ")
			if differ == "" {
				differ = "none"
			}
			fmt.Fprintf(b, "| %s | %s | %d | %s |\n", k.Name, fs, by[fs].n, differ)
		}
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
