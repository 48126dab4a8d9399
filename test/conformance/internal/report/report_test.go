package report

import (
	"strings"
	"testing"

	"github.com/beesting-otel/beesting/test/conformance/internal/cases"
)

func kernel(name, release string, rung string, verdicts ...cases.Verdict) Kernel {
	k := Kernel{Name: name, Release: release, Rungs: []cases.Rung{{Rung: rung, Tier: "default"}}}
	k.Ran(rung, "default", "tmpfs", Run{Date: "2026-01-02", Tree: "now"})
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
	text := Markdown([]cases.Case{{Name: "open", Group: "open", What: "open(2)", Kinds: "open", Overlay: "open"}}, kernels, nil)
	for _, want := range []string{"| open | open(2) | `open` | ●/– |", " 5.10 lsm bind ✗/–", "| 6.12 | 6.12.1 | 2026-01-02 | lsm default | 1 |"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

// whole adds the recon tier to a kernel.
func whole(k Kernel, v cases.Verdict) Kernel {
	k.Rungs = append(k.Rungs, cases.Rung{Rung: "lsm", Tier: "recon"})
	k.Ran("lsm", "recon", "tmpfs", Run{Date: "2026-01-02", Tree: "now"})
	for _, form := range cases.Forms() {
		k.Cells = append(k.Cells, cases.Cell{Place: cases.Place{FS: "tmpfs", Form: form, Rung: "lsm", Tier: "recon"}, Case: "open", Verdict: v})
	}
	return k
}

func TestWhatWasNotRunIsNotTakenForCant(t *testing.T) {
	kernels := []Kernel{
		whole(kernel("6.1", "6.1.0", "lsm", cases.Cant), cases.OK), whole(kernel("6.12", "6.12.1", "lsm", cases.Cant), cases.OK),
		kernel("arm64/6.12", "6.12.1", "lsm", cases.Cant), kernel("6.18", "6.18.1", "lsm", cases.OK),
	}
	text := Markdown([]cases.Case{{Name: "open", Group: "open", What: "open(2)", Kinds: "open", Overlay: "open"}}, kernels, []string{"6.1", "6.12", "5.10"})
	for _, want := range []string{
		"| open | open(2) | `open` | ○/● |", "6.18 lsm bind ●/–", "| arm64/6.12 | 6.12.1 | not run | lsm recon |", "| arm64/6.12 | 6.12.1 | not run | fanotify default |",
		"| 5.10 | – | not run | all |", "| 6.12 | xfs | not run | – | – |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "arm64/6.12 lsm bind") {
		t.Errorf("a tier that did not run is taken for a difference:\n%s", text)
	}
	unrun := strings.Join(Unrun(kernels, []string{"6.1", "5.10"}), ", ")
	if want := "6.1: fentry default, 6.1: fentry recon, 6.1: kprobe default, 6.1: kprobe recon, 6.1: fanotify default, 6.1: ext4, 6.1: xfs, 6.1: btrfs, 5.10: everything"; unrun != want {
		t.Errorf("not run: %s\nwant: %s", unrun, want)
	}
}

func TestStale(t *testing.T) {
	good, old := kernel("6.12", "6.12.1", "lsm", cases.OK), kernel("6.1", "6.1.0", "kprobe", cases.OK)
	old.Ran("kprobe", "recon", "tmpfs", Run{Date: "2026-01-01", Tree: "then"})
	tree := func(string) (string, error) { return "now", nil }
	if got, err := Stale([]Kernel{good, old}, tree); err != nil || len(got) != 1 || got[0] != "6.1: kprobe recon tmpfs, of 2026-01-01" {
		t.Errorf("%q, %v", got, err)
	}
	// A new run of one rung leaves the others as old as they are.
	now := kernel("6.1", "6.1.0", "lsm", cases.OK)
	now.Add(old)
	if got, err := Stale([]Kernel{now}, tree); err != nil || len(got) != 1 {
		t.Errorf("after another rung's run: %q, %v", got, err)
	}
}
