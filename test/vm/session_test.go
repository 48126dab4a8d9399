package vm

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/beesting-otel/beesting/test/vm/internal/wire"
)

// record is a stream as a guest sends it.
type record struct {
	t    *testing.T
	data bytes.Buffer
	w    *wire.Writer
}

func newRecord(t *testing.T) *record {
	r := &record{t: t}
	r.w = wire.NewWriter(&r.data)
	r.json(wire.TypeReady, wire.Ready{Release: "6.1.0-x", Uptime: 2.5})
	return r
}

func (r *record) json(typ wire.Type, v any) {
	p, err := json.Marshal(v)
	must(r.t, err)
	must(r.t, r.w.Frame(typ, p))
}

func (r *record) play(jobs int) (*session, string, error) {
	var out strings.Builder
	s := &session{cfg: Config{Stdout: &out, Stderr: io.Discard}, jobs: jobs}
	s.boot.Kernel.Release = "6.1.0-x"
	err := s.listen(&r.data)
	return s, out.String(), err
}

func TestSessionReportsEachJob(t *testing.T) {
	r := newRecord(t)
	must(t, r.w.Frame(wire.TypeStdout, []byte("hello")))
	r.json(wire.TypeExit, wire.Exit{Job: 0, Code: 3})
	r.json(wire.TypeExit, wire.Exit{Job: 1, Code: 127, Error: "start of x: no such file"})
	must(t, r.w.Frame(wire.TypeDone, nil))
	s, out, err := r.play(2)
	must(t, err)
	if out != "hello" || len(s.results) != 2 || s.results[0].ExitCode != 3 || s.results[0].Err != nil || s.results[1].Err == nil {
		t.Errorf("output %q, results %+v", out, s.results)
	}
}

func TestSessionWithoutVerdictIsAnError(t *testing.T) {
	r := newRecord(t)
	must(t, r.w.Frame(wire.TypeStdout, []byte("PASS\n")))
	if _, _, err := r.play(1); !errors.Is(err, io.EOF) {
		t.Errorf("a guest that just ends: %v", err)
	}
	r = newRecord(t)
	must(t, r.w.Frame(wire.TypeDone, nil))
	if _, _, err := r.play(1); !errors.Is(err, errGuest) {
		t.Errorf("done without an exit: %v", err)
	}
	r = newRecord(t)
	must(t, r.w.Frame(wire.TypeFatal, []byte("no disk")))
	if _, _, err := r.play(1); !errors.Is(err, errGuest) || !strings.Contains(err.Error(), "no disk") {
		t.Errorf("fatal: %v", err)
	}
}

func TestSessionRefusesTheWrongKernel(t *testing.T) {
	r := &record{t: t}
	r.w = wire.NewWriter(&r.data)
	r.json(wire.TypeReady, wire.Ready{Release: "5.10.0-y"})
	if _, _, err := r.play(1); !errors.Is(err, errGuest) {
		t.Errorf("got %v", err)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	c := &tail{w: io.Discard}
	for range 3000 {
		_, _ = io.WriteString(c, "line\n")
	}
	_, _ = io.WriteString(c, "Kernel panic - not syncing\r\n")
	if len(c.end) > tailSize || !c.contains("Kernel panic") || !strings.HasSuffix(c.last(2), "not syncing") {
		t.Errorf("%d bytes kept, last %q", len(c.end), c.last(2))
	}
}

func TestCountTests(t *testing.T) {
	passed, skipped := countTests(strings.Join([]string{
		"=== RUN   TestA", "    --- PASS: TestA/sub (0.00s)", "--- PASS: TestA (0.00s)",
		"--- SKIP: TestB (0.00s)", "--- FAIL: TestC (0.00s)", "a_test.go:1: --- PASS: text", "PASS", "",
	}, "\n"))
	if passed != 2 || strings.Join(skipped, " ") != "TestB" {
		t.Errorf("%d passed, skipped %v", passed, skipped)
	}
}

func TestMirrorsFrom(t *testing.T) {
	main, security := mirrorsFrom(strings.Join([]string{
		"http://apt.example.org/tools/ bookworm",
		"http://deb.example.org/debian/ bookworm",
		"http://deb.example.org/debian/ bookworm-updates",
		"http://deb.example.org/debian-security/ bookworm-security",
	}, "\n"))
	if main != "http://deb.example.org/debian/" || security != "http://deb.example.org/debian-security/" {
		t.Errorf("got %q and %q", main, security)
	}
	if main, security := mirrorsFrom("http://archive.example.org/ubuntu noble\n"); main != "" || security != "" {
		t.Errorf("no Debian: got %q and %q", main, security)
	}
}

func TestImpossibleFlags(t *testing.T) {
	tests := map[string]bool{
		"[   29.02] RSP: 0018:ff6709c1406fbbd0 EFLAGS: 9c578202": true, // as seen
		"[   29.02] RSP: 002b:0000288ec0e73240 EFLAGS: 00000206": false,
		"EFLAGS: 00250202\nEFLAGS: 00010246":                     false, // id, virtual interrupts, alignment, resume
		"EFLAGS: 00400202":                                       true,
		"EFLAGS: zzzzzzzz EFLAGS: 1":                             false,
		"Kernel panic - not syncing":                             false,
	}
	for console, want := range tests {
		if impossibleFlags(console) != want {
			t.Errorf("%q: not %v", console, want)
		}
	}
}
