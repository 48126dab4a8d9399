package main

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/beesting-otel/beesting/test/bench/internal/figure"
	"github.com/beesting-otel/beesting/test/vm"
)

// cost is a figure in which every operation takes bare and n more, but an exec
// five times n: for its one open, two reads and one map, and for one program of
// its own.
func cost(way string, watched int, n float64) figure.Figure {
	const bare, bareExec = 5000, 400000
	f := figure.Figure{
		Way: way, Watched: watched, Instructions: map[string]float64{}, Spread: map[string]float64{figure.Mmap: n},
	}
	for _, op := range figure.Ops {
		f.Instructions[op] = bare + n
	}
	f.Instructions[figure.Exec] = bareExec + 5*n
	return f
}

func withRuns(f figure.Figure) figure.Figure {
	f.Runs = map[string]map[string]float64{
		figure.Open: {"file_open": 1}, figure.Stat: {"inode_getattr": 1},
		figure.Read: {"file_permission": 1}, figure.Mmap: {"mmap_file": 1},
		figure.Exec:    {"file_open": 1, "file_permission": 2, "mmap_file": 1, "bprm_check": 1},
		figure.Process: {"file_open": 1, "file_permission": 2, "mmap_file": 1, "bprm_check": 1},
	}
	return f
}

// sample is a whole report in which the sensor adds n.
func sample(t *testing.T, n float64, change func(boot string, f []figure.Figure) []figure.Figure) report {
	t.Helper()
	watchers := []figure.Figure{{Default: "lsm"}, cost(figure.Bare, 0, 0), withRuns(cost(figure.EmptyLSM, 0, 180))}
	for _, count := range figure.Counts {
		for _, way := range []string{"sensor lsm", "sensor fentry", "sensor kprobe", figure.Recon, figure.ByNumber, figure.ByPermission} {
			added := n
			if way == figure.ByNumber {
				added = 855.5
			}
			f := cost(way, count, added)
			if count == 1 {
				f = withRuns(f)
			}
			watchers = append(watchers, f)
		}
	}
	watchers = append(watchers, withRuns(cost(figure.TokenOpen, 1, n)),
		cost(figure.BareAgain, 0, 0), cost(figure.Fanotify, 1, 166))
	audit := []figure.Figure{cost(figure.Bare, 0, 0), cost(figure.Audit, 1, 2000)}
	memory := []figure.Figure{{Memory: &figure.Memory{Mode: "lsm", Watched: 10000, Maps: 5 << 20, Slab: 3 << 20, Descriptors: 10000}}}

	r := newReport(targetKernel)
	boots := map[string][]figure.Figure{figure.BootWatchers: watchers, figure.BootAudit: audit, figure.BootMemory: memory}
	for _, boot := range slices.Sorted(maps.Keys(boots)) {
		figures := boots[boot]
		if change != nil {
			figures = change(boot, figures)
		}
		r.add(boot, vm.Kernel{Release: "6.12.1-x", Version: "6.12.1-1"}, figures)
	}
	return r
}

func TestVerdictIsTheTarget(t *testing.T) {
	most, _ := limit(figure.Stat)
	least := float64(most)
	for n, keeps := range map[float64]bool{least: true, least + 0.4: true, least + 0.6: false, least + 100: false} {
		r := sample(t, n, nil)
		if err := r.check(); err != nil {
			t.Fatal(err)
		}
		if err := r.verdict(); (err == nil) != keeps || err != nil && !errors.Is(err, errTarget) {
			t.Errorf("+%v: %v", n, err)
		}
		if missed := strings.Contains(r.text(), "MISSED"); missed == keeps {
			t.Errorf("+%v: the table says missed: %v", n, missed)
		}
	}
	other := sample(t, 1000, nil)
	other.selector = "6.1"
	if err := other.verdict(); err != nil {
		t.Errorf("a kernel without a target: %v", err)
	}
}

func TestVerdictNamesTheOperation(t *testing.T) {
	for _, op := range figure.Ops {
		r := sample(t, 10, nil)
		r.cost["sensor lsm"][1000][op] += 400
		err := r.verdict()
		if _, ok := limit(op); !ok {
			if err != nil {
				t.Errorf("%s has no target: %v", op, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), ": "+op+" with 1000 watched") {
			t.Errorf("%s: %v", op, err)
		}
	}
}

func TestShareIsWhatAnExecHasOfItsOwn(t *testing.T) {
	r := sample(t, 200, nil)
	ops, own := r.contained("sensor lsm")
	if want := map[string]float64{figure.Open: 1, figure.Read: 2, figure.Mmap: 1}; !maps.Equal(ops, want) {
		t.Errorf("an exec contains %v, want %v", ops, want)
	}
	if own["bprm_check"] != 1 || own["file_open"] != 0 {
		t.Errorf("of its own it has %v", own)
	}
	if n, ok := r.share("sensor lsm", 1000); !ok || n != 200 {
		t.Errorf("share %d, %v; want 200", n, ok)
	}
	if _, ok := r.share(figure.Audit, 1); ok {
		t.Error("audit has no programs, and yet a share")
	}
}

func TestCheckWantsEveryFigure(t *testing.T) {
	whole := 0
	sample(t, 1, func(_ string, f []figure.Figure) []figure.Figure { whole += len(f); return f })
	for drop := range whole {
		i := 0
		r := sample(t, 1, func(_ string, figures []figure.Figure) []figure.Figure {
			var kept []figure.Figure
			for _, f := range figures {
				if i != drop {
					kept = append(kept, f)
				}
				i++
			}
			return kept
		})
		if r.check() == nil {
			t.Errorf("figure %d of %d is missing and nobody noticed", drop, whole)
		}
	}
}

func TestCheckWantsProgramsThatRun(t *testing.T) {
	for _, way := range []string{"sensor lsm", figure.ByPermission, figure.EmptyLSM} {
		r := sample(t, 1, nil)
		delete(r.runs, way)
		if err := r.check(); err == nil || !strings.Contains(err.Error(), "program") {
			t.Errorf("%s: %v", way, err)
		}
	}
}

func TestCheckRefusesABareKernelThatMoves(t *testing.T) {
	for _, way := range []string{figure.Bare, figure.BareAgain} {
		r := sample(t, 1, func(boot string, figures []figure.Figure) []figure.Figure {
			for i := range figures {
				if figures[i].Way == way && (boot == figure.BootAudit || way == figure.BareAgain) {
					figures[i].Instructions[figure.Read] += 2 * drift(figure.Read, way == figure.BareAgain)
				}
			}
			return figures
		})
		if err := r.check(); err == nil || !strings.Contains(err.Error(), "bare kernel") {
			t.Errorf("%s: %v", way, err)
		}
	}
}

func TestCheckRefusesAShareThatIsNoneOfItsPrograms(t *testing.T) {
	for by, good := range map[float64]bool{miscalibrated - 1: true, 1 - miscalibrated: true, miscalibrated + 1: false, -miscalibrated - 1: false} {
		r := sample(t, 1, nil)
		r.cost[figure.EmptyLSM][0][figure.Exec] += by
		err := r.check()
		if (err == nil) != good || err != nil && !strings.Contains(err.Error(), "proves nothing") {
			t.Errorf("%+v: %v", by, err)
		}
	}
}

func TestDecodeReadsWhatTheGuestWrites(t *testing.T) {
	want := withRuns(cost(figure.Recon, 1, 3))
	var out strings.Builder
	if err := json.NewEncoder(&out).Encode(want); err != nil {
		t.Fatal(err)
	}
	got, err := decode(strings.NewReader(out.String() + out.String()))
	if err != nil || len(got) != 2 || got[1].Runs[figure.Exec]["file_permission"] != 2 {
		t.Errorf("%v: %+v", err, got)
	}
	if _, err := decode(strings.NewReader("panic: x")); err == nil {
		t.Error("no JSON: no error")
	}
}
