// Package report turns the cells of a conformance run into lines and into the
// table of docs/conformance.md.
package report

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/beesting-otel/beesting/test/conformance/internal/cases"
)

// Kernel is everything that ran on one kernel.
type Kernel struct {
	// Name is what was asked for: "6.12", "newest", "arm64/6.12".
	Name string
	// Release is what it was; empty when the harness did not come to its end.
	Release string
	// Runs tell when and from what sources the cells come, by rung, tier and file
	// system; a refused rung has one on the first file system.
	Runs  map[string]Run
	Rungs []cases.Rung
	Cells []cases.Cell
}

// Add takes over from an earlier run of the same kernel what this one has not.
func (k *Kernel) Add(old Kernel) {
	if old.Release != k.Release {
		return
	}
	place := func(c cases.Cell) cases.Place {
		p := c.Place
		p.Form = ""
		return p
	}
	have := map[cases.Place]bool{}
	for _, c := range k.Cells {
		have[place(c)] = true
	}
	for key, run := range old.Runs {
		if _, ok := k.Runs[key]; !ok {
			if k.Runs == nil {
				k.Runs = map[string]Run{}
			}
			k.Runs[key] = run
		}
	}
	for _, r := range old.Rungs {
		same := func(o cases.Rung) bool { return o.Rung == r.Rung && o.Tier == r.Tier }
		if !slices.ContainsFunc(k.Rungs, same) {
			k.Rungs = append(k.Rungs, r)
		}
	}
	for _, c := range old.Cells {
		if !have[place(c)] {
			k.Cells = append(k.Cells, c)
		}
	}
	order := func(rung, tier string) int {
		return slices.Index([]string{"lsm", "fentry", "kprobe", "fanotify"}, rung)*2 + strings.Index("default recon", tier)/8
	}
	slices.SortStableFunc(k.Rungs, func(a, b cases.Rung) int { return order(a.Rung, a.Tier) - order(b.Rung, b.Tier) })
}

// numbers finds the numbers of a release.
var numbers = regexp.MustCompile(`[0-9]+`)

// Compare orders kernels by architecture and release.
func Compare(a, b Kernel) int {
	if c := cmp.Compare(arch(a), arch(b)); c != 0 {
		return c
	}
	return slices.Compare(release(a), release(b))
}

func arch(k Kernel) string {
	if m := regexp.MustCompile(`-(\w+)$`).FindStringSubmatch(k.Release); m != nil {
		return m[1]
	}
	return ""
}

func release(k Kernel) []int {
	var out []int
	for _, n := range numbers.FindAllString(k.Release, 3) {
		// The pattern gives digits only; too many of them sort as 0.
		v, err := strconv.Atoi(n)
		if err != nil {
			v = 0
		}
		out = append(out, v)
	}
	return out
}

// Failures counts what must not be: wrong cells, refused rungs, and a harness
// that did not come to its end.
func Failures(kernels []Kernel) int {
	n := 0
	for _, k := range kernels {
		if k.Release == "" {
			n++
		}
		for _, r := range k.Rungs {
			if r.Refused != "" && !r.Expected {
				n++
			}
		}
		for _, c := range k.Cells {
			if c.Verdict.Failed() {
				n++
			}
		}
	}
	return n
}

// Line is one cell as a line.
func Line(c cases.Cell) string {
	s := fmt.Sprintf("%-8s %-40s %-28s", c.Verdict, c.Place, c.Case)
	if c.Verdict.Failed() {
		s += fmt.Sprintf(" want [%s]", c.Want)
	}
	s += fmt.Sprintf(" got [%s]", c.Got)
	if c.Problem != "" {
		s += " " + c.Problem
	}
	return s
}

// RungLine is one rung as a line.
func RungLine(r cases.Rung) string {
	if r.Refused != "" {
		word := "REFUSED"
		if r.Expected {
			word = "refused as documented"
		}
		return fmt.Sprintf("%s %s: %s: %s", r.Rung, r.Tier, word, r.Refused)
	}
	line := fmt.Sprintf("%s %s: %d of %d opens ended, counts of %d of %d ends right", r.Rung, r.Tier, r.Ends, r.Opens, r.Right, r.Counted)
	if r.Late > 0 {
		line += fmt.Sprintf("; %d times a case was run again, as the machine left no time to look at who touched", r.Late)
	}
	return line
}

// Summary counts a kernel's cells by verdict.
func Summary(k Kernel) string {
	n := map[cases.Verdict]int{}
	for _, c := range k.Cells {
		n[c.Verdict]++
	}
	return fmt.Sprintf("%s: %d cells: %d right, %d in part, %d can't, %d silent, %d lacking, %d without outcome, %d wrong",
		k.Release, len(k.Cells), n[cases.OK], n[cases.Part], n[cases.Cant], n[cases.None], n[cases.Lacks], n[cases.Outcome], n[cases.Wrong])
}
