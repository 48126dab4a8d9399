package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/beesting-otel/beesting/test/bench/internal/figure"
)

func TestMarkdownTable(t *testing.T) {
	r := sample(t, 248.2, nil)
	r.date = "2026-01-02"
	text := markdownOf([]report{r})
	for _, want := range []string{
		"### Linux 6.12\n\nDebian `6.12.1-x` (6.12.1-1), measured on 2026-01-02.\n",
		"| nothing watches: all of it | 5000 | 5000 | 5000 | 5000 | 400000 | – | 5000 |\n",
		"| beesting, lsm (default) | +248 | +248 | +248 | +248 | +1241 | +249 | +248 |\n",
		"| target for the default tier | ≤ 250: kept | ≤ 220: MISSED | ≤ 220: MISSED | ≤ 220: MISSED |  | ≤ 300: kept |  |\n",
		"| auditctl -w on a sibling | +2000 | +2000 | +2000 | +2000 | +10000 | – | +2000 |\n",
		"| spread of the children, at most | 0 | 0 | 0 | 2000 | 0 |  | 0 |\n",
		"1 × mmap, 1 × open, 2 × read, and of its own: 1 × bprm_check.",
		"| lsm | 0.0 MiB | 5.0 MiB | +3.0 MiB | +0.0 MiB | +0.0 MiB | +10000 |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestCellShowsWhatGrows(t *testing.T) {
	values := map[int]int{1: 5, 1000: 6, 100000: 9}
	value := func(n int) (int, bool) { return values[n], true }
	if got := cell(figure.Counts[:], value); got != "+5 / +6 / +9" {
		t.Errorf("got %q", got)
	}
	if got := cell(figure.Counts[:2], value); got != "+6" {
		t.Errorf("got %q", got)
	}
}

func TestShareOfAWayWithoutAProgramForIt(t *testing.T) {
	r := sample(t, 10, nil)
	delete(r.runs["sensor lsm"][figure.Exec], "bprm_check")
	line := r.cells(row{"sensor lsm", "x", figure.Counts[:], true})
	if want := "0 by construction (measured +10)"; !slices.Contains(line, want) {
		t.Errorf("no %q in %q", want, line)
	}
	r.cost["sensor lsm"][1000][figure.Exec] += 1000 // noise, as no program ran
	if err := r.verdict(); err != nil {
		t.Error(err)
	}
}

func TestSizesMarkdown(t *testing.T) {
	programs := []figure.Program{{Name: "file_open", Type: "lsm", Hook: "bpf_lsm_file_open", Translated: 100, Jited: 60, Verified: 900}}
	more := append(programs, figure.Program{Name: "looked_up", Type: "kprobe", Translated: 8, Jited: 9, Verified: 1})
	kernel := sized{release: "6.12.1-x"}
	for _, mode := range []string{"lsm", "fentry", "kprobe"} {
		kernel.sizes = append(kernel.sizes,
			figure.Sizes{Mode: mode, Tier: "default", Programs: programs, LoadMilliseconds: 12},
			figure.Sizes{Mode: mode, Tier: "recon", Programs: more})
	}
	old := sized{release: "5.10.0-y", sizes: []figure.Sizes{{Mode: "lsm", Tier: "default", Unavailable: "too old"}}}
	text, err := sizesMarkdown([]sized{old, kernel})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| lsm, default | – | 12 |\n", "| program | hook | tier | 5.10 | 6.12 |\n",
		"| file_open | file_open | default | – | 100 / 60 / 900 |\n",
		"| looked_up | kprobe | recon | – | 8 / 9 / 1 |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if _, err := sizesMarkdown([]sized{old}); err == nil {
		t.Error("no program anywhere: no error")
	}
}

func TestEachKernelKeepsItsSection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.md")
	if err := os.WriteFile(path, []byte("# A\n"+beginMark+"\nstray\n\n### Linux 6.1\n\nold\n\n### Linux 6.12\n\nold\n\n"+endMark+"tail\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := mergeInto(path, "### Linux 6.12\n\nnew\n\n### Linux 7.3\n\nnew\n\n"); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	want := "# A\n" + beginMark + "\n### Linux 6.1\n\nold\n\n### Linux 6.12\n\nnew\n\n### Linux 7.3\n\nnew\n\n" + endMark + "tail\n"
	if err != nil || string(got) != want {
		t.Errorf("%v: %s", err, got)
	}
}

func TestMarkdownIsPutBetweenTheMarks(t *testing.T) {
	const text = "new\n"
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
