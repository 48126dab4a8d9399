package place

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRunOnThisMachine(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	text := "#!/bin/sh\necho \"$0 $1 $2 $WORD\"\necho complaint >&2\nexit $1\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code, err := Place{}.Run(t.Context(), nil, Job{
		Bundle:   "/the/bundle",
		Programs: map[string]string{"prog": script},
		Commands: func(bin, bundle string) [][]string {
			return [][]string{{"prog", "0", bundle}, {"prog", "7", bin}, {"prog", "3", "x"}}
		},
		Env:     []string{"WORD=w"},
		Timeout: time.Minute,
		Stdout:  &stdout,
		Stderr:  &stderr,
	})
	if err != nil || code != 7 {
		t.Errorf("exit code %d, %v, want that of the first command that failed, 7", code, err)
	}
	if n := strings.Count(stdout.String(), "/prog "); n != 3 || !strings.Contains(stdout.String(), "0 /the/bundle w\n") {
		t.Errorf("standard output %q", &stdout)
	}
	if n := strings.Count(stderr.String(), "complaint"); n != 3 {
		t.Errorf("standard error %q", &stderr)
	}
}

func TestRunReportsAMissingProgram(t *testing.T) {
	code, err := Place{}.Run(t.Context(), nil, Job{
		Commands: func(string, string) [][]string { return [][]string{{"absent"}} },
		Timeout:  time.Minute,
	})
	if code == 0 || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("exit code %d, %v", code, err)
	}
}

func TestChooseRefusesOtherWords(t *testing.T) {
	if p, _, err := Choose("cloud", "6.12"); err == nil {
		t.Errorf("%+v and no error", p)
	}
	if p, why, err := Choose(VM, "6.1"); err != nil || !p.VM || p.Kernel != "6.1" || why == "" {
		t.Errorf("%+v, %q, %v", p, why, err)
	}
}

func TestChooseGoesByWhatWorks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: only that this is a reason for a VM is tested")
		if p, why, err := Choose(Auto, "6.1"); err != nil || !p.VM || !strings.Contains(why, "root") {
			t.Errorf("%+v, %q, %v", p, why, err)
		}
		return
	}
	works := func() (string, string) { return "it works", "" }
	refused := func() (string, string) { return "", "it is refused" }
	if p, why, err := choose(Auto, "6.1", works); err != nil || p.VM || !strings.Contains(why, "it works") {
		t.Errorf("works: %+v, %q, %v", p, why, err)
	}
	if p, why, err := choose(Auto, "6.1", refused); err != nil || !p.VM || !strings.Contains(why, "it is refused") {
		t.Errorf("refused: %+v, %q, %v", p, why, err)
	}
	if _, _, err := choose(Host, "6.1", refused); err == nil || !strings.Contains(err.Error(), "it is refused") {
		t.Errorf("refused where it has to be: %v", err)
	}
}

func TestBriefIsOneShortLine(t *testing.T) {
	tests := map[string]string{
		"load: operation not permitted (needs root)": "load: operation not permitted",
		"a\nb  c":                "a b c",
		strings.Repeat("x", 100): strings.Repeat("x", 70) + "…",
	}
	for in, want := range tests {
		if got := brief(errors.New(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
