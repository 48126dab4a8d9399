package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/beesting-otel/beesting/test/bench/internal/figure"
	"github.com/beesting-otel/beesting/test/vm"
)

// targetKernel is where the default tier has targets, in mode lsm.
const targetKernel = "6.12"

// limit is what the default tier may add to an operation, with any number of
// watched inodes; false where there is no target.
func limit(op string) (n int, ok bool) {
	switch op {
	case figure.Open:
		return 250, true
	case figure.Exec: // its share, see report.share
		return 300, true
	case figure.Process: // has an exec in it
		return 0, false
	default:
		return 220, true
	}
}

// drift is how far the bare kernel may be from itself at another time in the
// same boot, or in another boot: there directories and files lie elsewhere in
// the hash of the directory cache, and share their buckets with others.
func drift(op string, sameBoot bool) float64 {
	switch {
	case op == figure.Process:
		return 2000 // a hundredth: one that comes and goes, twice switched
	case op == figure.Exec:
		return 150
	case sameBoot:
		return 5
	default:
		return 50
	}
}

// report is everything measured on one kernel.
type report struct {
	selector string
	kernel   vm.Kernel
	// mode is the sensor's default here.
	mode string
	// bare is the cost of each operation with nothing watching, by boot; cost is
	// by way, number of watched inodes and operation, runs by way, operation and
	// program.
	bare   map[string]map[string]float64
	cost   map[string]map[int]map[string]float64
	runs   map[string]map[string]map[string]float64
	memory []figure.Memory
	// spread is the widest by which children differed, by operation.
	spread map[string]float64
	date   string
}

func newReport(selector string) report {
	return report{
		selector: selector, date: time.Now().UTC().Format(time.DateOnly),
		bare: map[string]map[string]float64{}, cost: map[string]map[int]map[string]float64{},
		runs: map[string]map[string]map[string]float64{}, spread: map[string]float64{},
	}
}

// add takes the figures of one boot.
func (r *report) add(boot string, kernel vm.Kernel, figures []figure.Figure) {
	r.kernel = kernel
	for _, f := range figures {
		for op, n := range f.Spread {
			r.spread[op] = max(r.spread[op], n)
		}
		switch {
		case f.Default != "":
			r.mode = f.Default
		case f.Memory != nil:
			r.memory = append(r.memory, *f.Memory)
		case f.Way == figure.Bare:
			r.bare[boot] = f.Instructions
		default:
			if r.cost[f.Way] == nil {
				r.cost[f.Way] = map[int]map[string]float64{}
			}
			r.cost[f.Way][f.Watched] = f.Instructions
			if f.Runs != nil {
				r.runs[f.Way] = f.Runs
			}
		}
	}
}

// check refuses a report in which a figure is missing or that contradicts
// itself.
func (r report) check() error {
	for _, row := range append(rowsOf(r.mode), row{way: figure.BareAgain, counts: []int{0}}) {
		for _, n := range row.counts {
			for _, op := range figure.Ops {
				if r.cost[row.way][n][op] <= 0 {
					return fmt.Errorf("%s: no figure for %s of %s with %d watched", r.selector, op, row.way, n)
				}
			}
		}
		if row.programs && len(r.runs[row.way]) == 0 {
			return fmt.Errorf("%s: no program of %s runs in any operation", r.selector, row.way)
		}
	}
	if r.cost[figure.SensorPrefix+r.mode] == nil {
		return fmt.Errorf("%s: no figure for the default mode %q", r.selector, r.mode)
	}
	for _, op := range figure.Ops {
		if len(r.runs[figure.EmptyLSM][op]) == 0 {
			return fmt.Errorf("%s: no empty program runs in %s, so the floor is none", r.selector, op)
		}
	}
	if len(r.memory) == 0 {
		return fmt.Errorf("%s: no figures of memory", r.selector)
	}
	if err := r.steady(); err != nil {
		return err
	}
	return r.calibrated()
}

// miscalibrated is by how much the share of an exec may be off. On 6.12 the five
// programs that do nothing take 620 instructions of an exec, time and again, and
// 925 elsewhere; where these 300 go is not known.
const miscalibrated = 400

// calibrated refuses figures in which the exec's share of programs that do
// nothing isn't what as many of them cost elsewhere.
func (r report) calibrated() error {
	floor := float64(r.added(figure.EmptyLSM, 0, figure.Stat))
	_, own := r.contained(figure.EmptyLSM)
	want := 0.0
	for _, n := range own {
		want += n * floor
	}
	if got, _ := r.share(figure.EmptyLSM, 0); math.Abs(float64(got)-want) > miscalibrated {
		return fmt.Errorf("%s: the exec's share of programs that do nothing is %d instructions and not about %.0f, so it proves nothing",
			r.selector, got, want)
	}
	return nil
}

// steady refuses figures of a bare kernel that is not always the same.
func (r report) steady() error {
	for _, op := range figure.Ops {
		first := r.bare[figure.BootWatchers][op]
		for i, again := range []float64{r.cost[figure.BareAgain][0][op], r.bare[figure.BootAudit][op]} {
			if d := math.Abs(first - again); d > drift(op, i == 0) {
				return fmt.Errorf("%s: %s took the bare kernel %.0f instructions and then %.0f, so the figures prove nothing",
					r.selector, op, first, again)
			}
		}
	}
	return nil
}

// added is what a way adds to one operation.
func (r report) added(way string, watched int, op string) int {
	return int(math.Round(r.cost[way][watched][op] - r.bare[bootOf(way)][op]))
}

func bootOf(way string) string {
	if way == figure.Audit {
		return figure.BootAudit
	}
	return figure.BootWatchers
}

// contained tells how many of the other operations an exec has in it, by what
// programs run: its own open, reads and maps of the program's file. own are the
// runs that are left: of programs that belong to an exec.
func (r report) contained(way string) (ops map[string]float64, own map[string]float64) {
	own = map[string]float64{}
	for program, n := range r.runs[way][figure.Exec] {
		own[program] = n
	}
	ops = map[string]float64{}
	for _, op := range figure.Ops {
		runs := r.runs[way][op]
		if op == figure.Exec || op == figure.Process || len(runs) == 0 {
			continue
		}
		times := math.Inf(1)
		for program, n := range runs {
			times = min(times, math.Floor(own[program]/n))
		}
		if times <= 0 {
			continue
		}
		ops[op] = times
		for program, n := range runs {
			if own[program] -= times * n; own[program] < 0.05 { // runs are known to a tenth
				delete(own, program)
			}
		}
	}
	return ops, own
}

// share is what a way adds to an exec beyond what it adds to the opens, reads
// and maps in it. It says nothing of ways without programs of their own.
func (r report) share(way string, watched int) (n int, ok bool) {
	if r.runs[way] == nil {
		return 0, false
	}
	n = r.added(way, watched, figure.Exec)
	ops, _ := r.contained(way)
	for op, times := range ops {
		n -= int(times) * r.added(way, watched, op)
	}
	return n, true
}

// judged is what the target of an operation is about. The kernel's run counts are
// exact, and what an exec takes is not: where no program belongs to an exec its
// share is none, whatever was measured.
func (r report) judged(op string, watched int) int {
	way := figure.SensorPrefix + r.mode
	if op != figure.Exec {
		return r.added(way, watched, op)
	}
	if r.noneOwn(way) {
		return 0
	}
	n, _ := r.share(way, watched)
	return n
}

// noneOwn tells whether it was seen that no program belongs to an exec.
func (r report) noneOwn(way string) bool {
	_, own := r.contained(way)
	return r.runs[way] != nil && len(own) == 0
}

// missed are the operations whose target the default mode misses.
func (r report) missed() []string {
	var missed []string
	if r.selector != targetKernel {
		return nil
	}
	for _, op := range figure.Ops {
		most, ok := limit(op)
		if !ok {
			continue
		}
		for _, n := range figure.Counts {
			if got := r.judged(op, n); got > most {
				missed = append(missed, fmt.Sprintf("%s with %d watched: %d instructions added, want at most %d", op, n, got, most))
				break
			}
		}
	}
	return missed
}

// verdict is nil when the default mode keeps its targets, or has none here.
func (r report) verdict() error {
	if missed := r.missed(); len(missed) > 0 {
		return fmt.Errorf("%w: %s, mode %s: %s", errTarget, r.kernel.Release, r.mode, strings.Join(missed, "; "))
	}
	return nil
}
