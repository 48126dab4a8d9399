package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/beesting-otel/beesting/test/bench/internal/figure"
	"github.com/beesting-otel/beesting/test/vm"
)

// sample is a whole report in which the sensor adds n.
func sample(t *testing.T, n float64, change func(boot string, f []figure.Figure) []figure.Figure) report {
	t.Helper()
	const bare = 5000
	watchers := []figure.Figure{{Default: "lsm"}, {Way: figure.Bare, Instructions: bare}, {Way: figure.EmptyLSM, Instructions: bare + 180}}
	for _, count := range figure.Counts {
		for _, mode := range []string{"lsm", "fentry", "kprobe"} {
			watchers = append(watchers, figure.Figure{Way: figure.SensorPrefix + mode, Watched: count, Instructions: bare + n})
		}
		watchers = append(watchers, figure.Figure{Way: figure.ByNumber, Watched: count, Instructions: bare + 855.5})
	}
	watchers = append(watchers, figure.Figure{Way: figure.BareAgain, Instructions: bare},
		figure.Figure{Way: figure.Fanotify, Watched: 1, Instructions: bare + 166})
	audit := []figure.Figure{{Way: figure.Bare, Instructions: bare + 1}, {Way: figure.Audit, Watched: 1, Instructions: bare + 2001}}

	r := newReport(targetKernel)
	for boot, figures := range map[string][]figure.Figure{figure.BootWatchers: watchers, figure.BootAudit: audit} {
		if change != nil {
			figures = change(boot, figures)
		}
		var out strings.Builder
		for _, f := range figures {
			if err := json.NewEncoder(&out).Encode(f); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.add(boot, vm.Kernel{Release: "6.12.1-x", Version: "6.12.1-1"}, strings.NewReader(out.String())); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestVerdictIsTheTarget(t *testing.T) {
	for n, keeps := range map[float64]bool{target: true, target + 0.4: true, target + 0.6: false, target + 100: false} {
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

func TestCheckWantsEveryFigure(t *testing.T) {
	whole := 0
	sample(t, 1, func(_ string, f []figure.Figure) []figure.Figure { whole += len(f); return f })
	for drop := range whole {
		i := 0
		r := sample(t, 1, func(_ string, figures []figure.Figure) []figure.Figure {
			var kept []figure.Figure
			for _, f := range figures {
				// Boots come in any order, so count through both.
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

func TestCheckRefusesABareKernelThatMoves(t *testing.T) {
	for _, way := range []string{figure.Bare, figure.BareAgain} {
		r := sample(t, 1, func(boot string, figures []figure.Figure) []figure.Figure {
			for i := range figures {
				if figures[i].Way == way && (boot == figure.BootAudit || way == figure.BareAgain) {
					figures[i].Instructions += 2 * drift
				}
			}
			return figures
		})
		if err := r.check(); err == nil || !strings.Contains(err.Error(), "bare kernel") {
			t.Errorf("%s: %v", way, err)
		}
	}
}

func TestMarkdownIsPutBetweenTheMarks(t *testing.T) {
	text := markdownOf([]report{sample(t, 248.2, nil)})
	for _, want := range []string{
		"### Linux 6.12\n",
		"| **beesting, lsm (default)** | +248 | +248 | +248 |\n",
		"| empty BPF LSM program (the floor for BPF) | +180 |  |  |\n",
		"| auditctl -w on a sibling | +2000 |  |  |\n",
		"| the first PoC's kprobe, hash of inode and device | +856 | +856 | +856 |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no line %q in\n%s", want, text)
		}
	}
	path := filepath.Join(t.TempDir(), "doc.md")
	if err := os.WriteFile(path, []byte("# A\n"+beginMark+"old\n"+endMark+"tail\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it replaces what the first has put there
		if err := replaceIn(path, text); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != "# A\n"+beginMark+"\n"+text+endMark+"tail\n" {
		t.Errorf("%v: %s", err, got)
	}
	if err := os.WriteFile(path, []byte("no marks"), 0o644); err != nil {
		t.Fatal(err)
	}
	if replaceIn(path, text) == nil {
		t.Error("no marks: no error")
	}
}
