package report

import (
	"strings"
	"testing"

	"github.com/beesting-otel/beesting/test/conformance/internal/cases"
)

func kernel(name, release string, rung string, verdicts ...cases.Verdict) Kernel {
	k := Kernel{Name: name, Release: release, Date: "2026-01-02", Rungs: []cases.Rung{{Rung: rung, Tier: "default"}}}
	for _, v := range verdicts {
		place := cases.Place{FS: "tmpfs", Form: cases.FormBind, Rung: rung, Tier: "default"}
		k.Cells = append(k.Cells, cases.Cell{Place: place, Case: "open", Verdict: v})
	}
	return k
}

func TestFailures(t *testing.T) {
	good := kernel("6.12", "6.12.1", "lsm", cases.OK, cases.Part, cases.Cant, cases.None, cases.Lacks)
	refused := Kernel{Name: "5.10", Release: "5.10.1", Rungs: []cases.Rung{{Refused: "too old", Expected: true}, {Refused: "load"}}}
	if n := Failures([]Kernel{good}); n != 0 {
		t.Errorf("%d failures of a good kernel", n)
	}
	if n := Failures([]Kernel{good, refused, {Name: "died"}, kernel("6.1", "6.1.0", "lsm", cases.Wrong, cases.Outcome)}); n != 4 {
		t.Errorf("%d failures, want a refused rung, a kernel that died, two cells", n)
	}
}

func TestAddKeepsWhatDidNotRun(t *testing.T) {
	now := kernel("6.12", "6.12.1", "kprobe", cases.OK)
	old := kernel("6.12", "6.12.1", "kprobe", cases.Wrong)
	old.Add(kernel("6.12", "6.12.1", "lsm", cases.OK))
	now.Add(old)
	if len(now.Cells) != 2 || Failures([]Kernel{now}) != 0 || len(now.Rungs) != 2 || now.Rungs[0].Rung != "lsm" {
		t.Errorf("got %+v", now)
	}
	now.Add(kernel("6.12", "6.12.2", "fentry", cases.Wrong))
	if len(now.Cells) != 2 {
		t.Error("took over another release's cells")
	}
}

func TestMarkdownNamesTheKernelThatDiffers(t *testing.T) {
	kernels := []Kernel{kernel("6.1", "6.1.0", "lsm", cases.OK), kernel("6.12", "6.12.1", "lsm", cases.OK), kernel("5.10", "5.10.1", "lsm", cases.Wrong)}
	text := Markdown([]cases.Case{{Name: "open", Group: "open", What: "open(2)", Kinds: "open", Overlay: "open"}}, kernels)
	for _, want := range []string{"| open | open(2) | `open` | ● |  | 5.10 lsm bind ✗ |", "| 6.12 | 6.12.1 | 2026-01-02 | lsm default | 1 |"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}
