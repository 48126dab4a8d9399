package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/beesting-otel/beesting/test/bench/internal/figure"
	"github.com/beesting-otel/beesting/test/vm"
)

const (
	// target is what the default mode may add on targetKernel, with any number
	// of watched inodes.
	target       = 250
	targetKernel = "6.12"
	// drift is how far the bare kernel may be from itself, at another time or in
	// another boot.
	drift = 5
)

// report is everything measured on one kernel.
type report struct {
	selector string
	kernel   vm.Kernel
	// mode is the sensor's default here.
	mode string
	// bare is the cost with nothing watching, by boot; cost is by boot's way and
	// number of watched inodes.
	bare map[string]float64
	cost map[string]map[int]float64
}

func newReport(selector string) report {
	return report{selector: selector, bare: map[string]float64{}, cost: map[string]map[int]float64{}}
}

// row is a line of the table.
type row struct {
	way, label string
	// counts are the numbers of watched inodes; one zero where the way knows no
	// number.
	counts []int
}

func rowsOf(mode string) []row {
	all := figure.Counts[:]
	rows := []row{{figure.EmptyLSM, "empty BPF LSM program (the floor for BPF)", []int{0}}}
	for _, m := range []string{"lsm", "fentry", "kprobe"} {
		label := "beesting, " + m
		if m == mode {
			label += " (default)"
		}
		rows = append(rows, row{figure.SensorPrefix + m, label, all})
	}
	return append(rows,
		row{figure.ByNumber, "the first PoC's kprobe, hash of inode and device", all},
		row{figure.Audit, "auditctl -w on a sibling", []int{1}},
		row{figure.Fanotify, "fanotify mark on a sibling", []int{1}},
	)
}

// add reads the guest's output of one boot.
func (r *report) add(boot string, kernel vm.Kernel, out io.Reader) error {
	r.kernel = kernel
	for dec := json.NewDecoder(out); ; {
		var f figure.Figure
		if err := dec.Decode(&f); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("figures of boot %s: %w", boot, err)
		}
		switch {
		case f.Default != "":
			r.mode = f.Default
		case f.Way == figure.Bare:
			r.bare[boot] = f.Instructions
		default:
			if r.cost[f.Way] == nil {
				r.cost[f.Way] = map[int]float64{}
			}
			r.cost[f.Way][f.Watched] = f.Instructions
		}
	}
}

// check refuses a report in which a figure is missing or that contradicts
// itself.
func (r report) check() error {
	for _, row := range append(rowsOf(r.mode), row{way: figure.BareAgain, counts: []int{0}}) {
		for _, n := range row.counts {
			if r.cost[row.way][n] <= 0 {
				return fmt.Errorf("%s: no figure for %s with %d watched", r.selector, row.way, n)
			}
		}
	}
	if r.cost[figure.SensorPrefix+r.mode] == nil {
		return fmt.Errorf("%s: no figure for the default mode %q", r.selector, r.mode)
	}
	first := r.bare[figure.BootWatchers]
	for _, again := range []float64{r.cost[figure.BareAgain][0], r.bare[figure.BootAudit]} {
		if d := math.Abs(first - again); d > drift {
			return fmt.Errorf("%s: the bare kernel took %.0f instructions and then %.0f, so the figures prove nothing", r.selector, first, again)
		}
	}
	return nil
}

// added is what a way adds to one open and close.
func (r report) added(way string, watched int) int {
	return int(math.Round(r.cost[way][watched] - r.bare[bootOf(way)]))
}

func bootOf(way string) string {
	if way == figure.Audit {
		return figure.BootAudit
	}
	return figure.BootWatchers
}

// verdict is nil when the default mode keeps its target, or has none here.
func (r report) verdict() error {
	if r.selector != targetKernel {
		return nil
	}
	for _, n := range figure.Counts {
		if got := r.added(figure.SensorPrefix+r.mode, n); got > target {
			return fmt.Errorf("%w: %s, mode %s, %d watched: %d instructions added, want at most %d",
				errTarget, r.kernel.Release, r.mode, n, got, target)
		}
	}
	return nil
}

// cells are the row's figures under the columns of figure.Counts.
func (r report) cells(row row) []string {
	var out []string
	for _, n := range figure.Counts {
		cell := ""
		for _, have := range row.counts {
			if have == n || have == 0 && n == figure.Counts[0] {
				cell = fmt.Sprintf("%+d", r.added(row.way, have))
			}
		}
		out = append(out, cell)
	}
	return out
}

// text is the report for a terminal.
func (r report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s: instructions added to an open and close (%.0f bare) of a file that is not watched\n\n",
		r.kernel.Release, r.bare[figure.BootWatchers])
	fmt.Fprintf(&b, "%-50s %9s %9s %9s\n", "inodes watched", "1", "1,000", "100,000")
	for _, row := range rowsOf(r.mode) {
		c := r.cells(row)
		fmt.Fprintf(&b, "%-50s %9s %9s %9s\n", row.label, c[0], c[1], c[2])
	}
	if r.selector == targetKernel {
		state := "kept"
		if r.verdict() != nil {
			state = "MISSED"
		}
		fmt.Fprintf(&b, "\ntarget for the default mode: at most +%d: %s\n", target, state)
	}
	return b.String()
}

// series is the first two numbers of a kernel release.
func series(release string) string {
	parts := strings.SplitN(release, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// markdownOf is the reports as sections of a document.
func markdownOf(reports []report) string {
	var b strings.Builder
	for _, r := range reports {
		fmt.Fprintf(&b, "### Linux %s\n\nDebian `%s` (%s). An open and close takes %.0f instructions when nothing watches.\n\n",
			series(r.kernel.Release), r.kernel.Release, r.kernel.Version, r.bare[figure.BootWatchers])
		b.WriteString("| watched inodes | 1 | 1,000 | 100,000 |\n|---|--:|--:|--:|\n")
		for _, row := range rowsOf(r.mode) {
			label := row.label
			if row.way == figure.SensorPrefix+r.mode {
				label = "**" + label + "**"
			}
			fmt.Fprintf(&b, "| %s | %s |\n", label, strings.Join(r.cells(row), " | "))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// The marks around the figures in a document.
const (
	beginMark = "<!-- bench: begin -->\n"
	endMark   = "<!-- bench: end -->\n"
)

// replaceIn puts new figures between the marks of a document.
func replaceIn(path, figures string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(raw), beginMark)
	_, after, ok2 := strings.Cut(rest, endMark)
	if !ok || !ok2 {
		return fmt.Errorf("%s: no lines %q and %q", path, strings.TrimSpace(beginMark), strings.TrimSpace(endMark))
	}
	return os.WriteFile(path, []byte(before+beginMark+"\n"+figures+endMark+after), 0o644)
}
