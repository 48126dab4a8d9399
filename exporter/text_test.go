package exporter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
)

// golden compares got with testdata/name, or writes it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test -update writes it anew)\ngot:\n%s\nwant:\n%s", file, got, want)
	}
}

func TestTextGolden(t *testing.T) {
	for name, a := range samples() {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			w := NewText(&b, sampleMapping(t), TextOptions{})
			if err := w.Deliver(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".txt", b.Bytes())
		})
	}
}

func TestJSONGolden(t *testing.T) {
	for name, a := range samples() {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			w := NewJSON(&b, sampleMapping(t))
			if err := w.Deliver(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			if bytes.Count(b.Bytes(), []byte("\n")) != 1 || !bytes.HasSuffix(b.Bytes(), []byte("\n")) {
				t.Errorf("not one line: %q", b.String())
			}
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, b.Bytes(), "", "  "); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".line.json", pretty.Bytes())
		})
	}
}

// The fields are a promise: exactly these, in the words of the data model.
func TestJSONFields(t *testing.T) {
	var b bytes.Buffer
	a := sampleAccess()
	if err := NewJSON(&b, sampleMapping(t)).Deliver(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	var line map[string]any
	if err := json.Unmarshal(b.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	want := []string{"attributes", "body", "event_name", "observed_timestamp", "resource", "severity_number", "span_id", "timestamp", "trace_id"}
	var got []string
	for k := range line {
		got = append(got, k)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("fields %v, want %v", got, want)
	}
	for field, want := range map[string]time.Time{"timestamp": a.Time, "observed_timestamp": a.ObservedTime} {
		if at, err := time.Parse(time.RFC3339Nano, line[field].(string)); err != nil || !at.Equal(want) {
			t.Errorf("%s %v: %v, want %v", field, line[field], err, want)
		}
	}
	if id := line["trace_id"]; id != fmt.Sprintf("%x", a.Incident[:]) {
		t.Errorf("trace_id %v", id)
	}
}

func TestColor(t *testing.T) {
	a := sampleAccess()
	var b bytes.Buffer
	if err := NewText(&b, sampleMapping(t), TextOptions{Color: true}).Deliver(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "\x1b[1;31mERROR \x1b[0m") {
		t.Errorf("no colour in %q", b.String())
	}
	tty := openTTY(t)
	for _, c := range []struct {
		w    io.Writer
		env  []string
		want bool
	}{
		{tty, nil, true},
		{tty, []string{"NO_COLOR", "1"}, false},
		{tty, []string{"TERM", "dumb"}, false},
		{&b, nil, false},
	} {
		if got := ColorWanted(c.w, envOf(c.env...)); got != c.want {
			t.Errorf("ColorWanted(%T, %v) = %v", c.w, c.env, got)
		}
	}
}

// openTTY opens a pseudo-terminal's master side, which is a terminal as far as
// its type tells.
func openTTY(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestWord(t *testing.T) {
	for in, want := range map[string]string{
		"/bin/cat":        "/bin/cat",
		"":                `""`,
		"two words":       `"two words"`,
		"a\nb":            `"a\nb"`,
		"\x1b[2J":         `"\x1b[2J"`,
		"\u009b31m":       `"\u009b31m"`,
		"\u202etxt.exe":   `"\u202etxt.exe"`,
		"zero\u200bwidth": `"zero\u200bwidth"`,
		"bad\xff":         `"bad\xff"`,
		`back\slash`:      `"back\\slash"`,
		"naïve-日本":        "naïve-日本",
	} {
		if got := word(in); got != want {
			t.Errorf("word(%q) = %s, want %s", in, got, want)
		}
	}
}

// FuzzWord: whatever the bytes, what is shown is printable and means exactly
// the bytes.
func FuzzWord(f *testing.F) {
	for _, s := range []string{"", "a b", "\x1b]0;x\a", "\u202e", "\xff\xfe", `\x1b`, "\u009b", "`"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := word(s)
		if !printable(got) {
			t.Fatalf("%q shows as %q", s, got)
		}
		if got == s {
			return
		}
		if back, err := strconv.Unquote(got); err != nil || back != s {
			t.Fatalf("%q shows as %s, which means %q (%v)", s, got, back, err)
		}
	})
}

// FuzzOutputs puts attacker-chosen bytes into everything that an attacker or a
// tenant can choose.
func FuzzOutputs(f *testing.F) {
	f.Add("\x1b[31m", "x\ny", "\u202e\xff")
	f.Add("\u009b2J", strings.Repeat("a", 5000), "\u2028")
	labels := regexp.MustCompile(`(?m)^(  (who|under|from|known|where|token|lacks|   ) |\d{4}-)`)
	f.Fuzz(func(t *testing.T, s1, s2, s3 string) {
		a := outsiderAccess()
		a.Process.Executable, a.Process.Comm, a.Process.Args = s1, s2, []string{s3, s1, s2}
		a.Placement.Token.Path = "/" + s2
		a.Placement.Container.Pod.Labels = map[string]string{beesting.LabelName: s3}
		a.ActorContainer.Name = s1
		a.Detail, a.ErrorType, a.Process.WorkingDirectory = s1, s2, s3
		a.Process.Ancestors = []beesting.Ancestor{{PID: 1, Comm: s1}, {PID: 2, Comm: s3}}
		g := beesting.Gap{Placement: a.Placement, Kind: beesting.AccessKind(s1), Cause: s2, From: at}
		var text, line bytes.Buffer
		asText, asJSON := NewText(&text, sampleMapping(t), TextOptions{}), NewJSON(&line, sampleMapping(t))
		if err := errors.Join(
			asText.Deliver(t.Context(), a), asText.End(t.Context(), a), asText.Gap(t.Context(), g),
			asJSON.Gap(t.Context(), g), asJSON.Deliver(t.Context(), a), asJSON.End(t.Context(), a),
		); err != nil {
			t.Fatal(err)
		}
		for _, out := range []string{text.String(), line.String()} {
			if !printable(strings.ReplaceAll(out, "\n", "")) {
				t.Fatalf("unprintable: %q", out)
			}
		}
		lines := strings.SplitAfter(line.String(), "\n")
		if len(lines) != 3 || lines[2] != "" || !json.Valid([]byte(lines[0])) || !json.Valid([]byte(lines[1])) {
			t.Fatalf("not two lines of JSON: %q", line.String())
		}
		if all, ours := strings.Count(text.String(), "\n"), len(labels.FindAllString(text.String(), -1)); all != ours {
			t.Fatalf("%d lines, %d of them ours:\n%s", all, ours, text.String())
		}
	})
}

// brokenWriter fails as told, call by call.
type brokenWriter struct {
	bytes.Buffer
	take []int // bytes to accept; -1 for all
}

var errDisk = errors.New("no space left on device")

func (w *brokenWriter) Write(p []byte) (int, error) {
	n := w.take[0]
	w.take = w.take[1:]
	if n < 0 {
		return w.Buffer.Write(p)
	}
	_, _ = w.Buffer.Write(p[:n])
	return n, errDisk
}

func TestWriteErrors(t *testing.T) {
	w := &brokenWriter{take: []int{10, 0, -1, -1}}
	out := NewJSON(w, sampleMapping(t))
	for i, want := range []error{errDisk, errDisk, nil, nil} {
		if err := out.Deliver(t.Context(), sampleAccess()); !errors.Is(err, want) {
			t.Errorf("delivery %d: %v, want %v", i, err, want)
		}
	}
	if got := out.Stats(); got != (WriterStats{Written: 2, Failed: 2}) {
		t.Errorf("stats %+v", got)
	}
	lines := strings.Split(strings.TrimSuffix(w.String(), "\n"), "\n")
	if len(lines) != 3 || json.Valid([]byte(lines[0])) || !json.Valid([]byte(lines[1])) || !json.Valid([]byte(lines[2])) {
		t.Errorf("lines after a torn one: %q", lines)
	}
	if err := out.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := out.Deliver(t.Context(), sampleAccess()); !errors.Is(err, ErrShutdown) {
		t.Errorf("after Shutdown: %v", err)
	}
}

func TestWriterConcurrent(t *testing.T) {
	const writers, each = 8, 50
	var b bytes.Buffer
	out := NewJSON(&b, sampleMapping(t))
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				if err := out.Deliver(context.Background(), sampleAccess()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != writers*each || out.Stats().Written != writers*each {
		t.Errorf("%d lines, stats %+v", len(lines), out.Stats())
	}
	for _, l := range lines {
		if !json.Valid([]byte(l)) {
			t.Fatalf("torn line %q", l)
		}
	}
}

// Nobody's text output may need what only some accesses have.
func TestTextOfAlmostNothing(t *testing.T) {
	var b bytes.Buffer
	if err := NewText(&b, mustMapping(t, MappingOptions{}), TextOptions{}).Deliver(t.Context(), beesting.Access{}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "%!") {
		t.Errorf("broken format: %s", b.String())
	}
}
