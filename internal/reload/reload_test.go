package reload

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/beesting-otel/beesting/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// soon is the interval of the tests.
const soon = 10 * time.Millisecond

func text(name string) string {
	return "tokens: [{name: " + name + ", path: /a, content: x}]\nmatch: {}\nnodeName: n\n"
}

// desk is a configuration's file and what was made of it.
type desk struct {
	*Reloader
	t      *testing.T
	path   string
	hangup chan os.Signal

	mu      sync.Mutex
	applied []config.Config
	log     bytes.Buffer
}

func (d *desk) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.Write(p)
}

// newDesk starts with a file of the token "first". It looks when it is told to,
// or by itself after run.
func newDesk(t *testing.T, path string) *desk {
	t.Helper()
	d := &desk{t: t, path: path, hangup: make(chan os.Signal, 1)}
	if _, err := os.Lstat(path); err != nil {
		d.write(text("first"))
	}
	load := func() (config.Config, config.Source, error) {
		return config.LoadSource(path, config.Environment{
			LookupEnv: func(string) (string, bool) { return "", false },
			Hostname:  func() (string, error) { return "h", nil },
		})
	}
	c, source, err := load()
	if err != nil {
		t.Fatal(err)
	}
	clock := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	d.Reloader, err = New(Options{
		Load: load, Config: c, Source: source, File: path, Interval: soon,
		Log: slog.New(slog.NewTextHandler(d, nil)),
		Now: func() time.Time { clock = clock.Add(time.Second); return clock },
		Apply: func(c config.Config) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.applied = append(d.applied, c)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) run() {
	ctx, cancel := context.WithCancel(d.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { d.Run(ctx, d.hangup) })
	d.t.Cleanup(func() { cancel(); wg.Wait() })
}

func (d *desk) write(text string) {
	d.t.Helper()
	if err := os.WriteFile(d.path, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// replace is what most editors do.
func (d *desk) replace(text string) {
	d.t.Helper()
	name := d.path + "~"
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Rename(name, d.path); err != nil {
		d.t.Fatal(err)
	}
}

// tokens are the names of the first tokens that were applied, in their order.
func (d *desk) tokens() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for _, c := range d.applied {
		names = append(names, c.Tokens[0].Name)
	}
	return strings.Join(names, " ")
}

func (d *desk) until(what string, ok func() bool) {
	d.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatalf("never: %s; applied %q, status %+v", what, d.tokens(), d.Status())
		}
	}
}

func (d *desk) logged(want string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Count(d.log.String(), want)
}

func TestChangesAreApplied(t *testing.T) {
	d := newDesk(t, filepath.Join(t.TempDir(), "f"))
	d.run()
	d.replace(text("renamed"))
	d.until("renamed over", func() bool { return d.tokens() == "renamed" })
	d.write(text("written"))
	d.until("written into", func() bool { return d.tokens() == "renamed written" })
	if s := d.Status(); s.Reloads[Applied] != 2 || s.LastError != "" || s.File != d.path || s.Hash != d.latestHash() {
		t.Errorf("status %+v", s)
	}
}

func (d *desk) latestHash() string {
	d.op.Lock()
	defer d.op.Unlock()
	return d.latest.Hash()
}

func TestInvalidThenValid(t *testing.T) {
	d := newDesk(t, filepath.Join(t.TempDir(), "f"))
	before := d.Status()
	d.run()
	d.replace("tokens: [{name: A, path: a, content: x}]\nlog: {level: debug}\n")
	d.until("refused", func() bool { return d.Status().Reloads[Refused] == 1 })
	s := d.Status()
	want := d.path + `:1: the configuration: key "match" is missing` + "\n" +
		d.path + `:1: token name "A": may hold only a-z, 0-9 and "-"` + "\n" + d.path + `:1: token path "a": must be absolute`
	if sorted(s.LastError) != sorted(want) || s.LastErrorAt.IsZero() || s.Hash != before.Hash || !s.LoadedAt.Equal(before.LoadedAt) {
		t.Errorf("status %+v\nwant error %s", s, want)
	}
	if d.tokens() != "" || d.logged("configuration mistake") != 3 || d.logged("the old one stays") != 1 {
		t.Errorf("applied %q, log:\n%s", d.tokens(), &d.log)
	}
	// It is refused once, not at every look.
	time.Sleep(10 * soon)
	if n := d.Status().Reloads[Refused]; n != 1 {
		t.Errorf("refused %d times", n)
	}
	d.replace(text("second"))
	d.until("applied", func() bool { return d.tokens() == "second" && d.Status().LastError == "" }) // the status comes after
	if s := d.Status(); !s.LastErrorAt.IsZero() || s.Hash == before.Hash || !s.LoadedAt.After(before.LoadedAt) {
		t.Errorf("status %+v", s)
	}
}

func sorted(s string) string {
	l := Lines(s)
	// The order of mistakes of one line is the parser's.
	for i := range l {
		for j := range i {
			if l[i] < l[j] {
				l[i], l[j] = l[j], l[i]
			}
		}
	}
	return strings.Join(l, "\n")
}

// A file that was there before comes back: that is no mistake any more.
func TestBackToTheOld(t *testing.T) {
	d := newDesk(t, filepath.Join(t.TempDir(), "f"))
	d.replace("{")
	if r := d.Reload(); r.Outcome != Refused || r.Tokens != 1 || r.Hash != d.Status().Hash || len(r.Mistakes) != 1 {
		t.Errorf("%+v", r)
	}
	if r := d.Reload(); r.Outcome != Refused { // asked again, told again
		t.Errorf("%+v", r)
	}
	d.replace(text("first"))
	if r := d.Reload(); r.Outcome != Applied || len(r.Mistakes) != 0 || d.Status().LastError != "" {
		t.Errorf("%+v", r)
	}
	if err := os.Remove(d.path); err != nil {
		t.Fatal(err)
	}
	if r := d.Reload(); r.Outcome != Refused || !strings.Contains(r.Mistakes[0], "no such file") || d.tokens() != "first" {
		t.Errorf("%+v", r)
	}
}

// What the kubelet does: a new directory, and a link renamed over the old one.
func TestConfigMap(t *testing.T) {
	dir := t.TempDir()
	version := func(n int, tokens, secret string) {
		t.Helper()
		sub := fmt.Sprintf("..v%d", n)
		for name, text := range map[string]string{"f": tokens, "secret": secret} {
			if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, sub, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(sub, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(dir, fmt.Sprintf("..v%d", n-1))); err != nil {
			t.Fatal(err)
		}
	}
	const file = "tokens: [{name: t, path: /a, contentFile: secret}]\nmatch: {}\nnodeName: n\n"
	version(1, file, "one")
	for _, name := range []string{"f", "secret"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	d := newDesk(t, filepath.Join(dir, "f"))
	d.run()
	for n := 2; n < 6; n++ {
		// The configuration stays the same; what it names is another.
		version(n, file, fmt.Sprint("content ", n))
		d.until("applied", func() bool { return int(d.Status().Reloads[Applied]) == n-1 })
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if got := string(d.applied[3].Tokens[0].Content); got != "content 5" {
		t.Errorf("content %q", got)
	}
}

// A file that is still being written is left alone, also when what is there
// already would be valid.
func TestHalfWritten(t *testing.T) {
	d := newDesk(t, filepath.Join(t.TempDir(), "f"))
	whole := "match: {}\nnodeName: n\ntokens:\n" + strings.Repeat("- {name: t%d, path: /%d, content: x}\n", 6)
	for i := range 6 {
		whole = strings.Replace(whole, "%d", fmt.Sprint(i), 2)
	}
	for at := len("match: {}\nnodeName: n\ntokens:\n") + 38; at < len(whole); at += 20 {
		d.write(whole[:at])
		d.look()
	}
	d.write(whole)
	d.look()
	if d.tokens() != "" || d.Status().Reloads[Refused] != 0 {
		t.Errorf("applied %q: %+v", d.tokens(), d.Status())
	}
	d.look()
	d.look()
	if d.tokens() != "t0" || len(d.applied[0].Tokens) != 6 {
		t.Errorf("applied %q", d.tokens())
	}
}

func TestHangup(t *testing.T) {
	d := newDesk(t, filepath.Join(t.TempDir(), "f"))
	d.o.Interval = time.Hour
	d.run()
	d.write(text("second"))
	d.hangup <- syscall.SIGHUP
	d.until("applied", func() bool { return d.tokens() == "second" })
	d.hangup <- syscall.SIGHUP
	d.until("read again", func() bool { return d.Status().Reloads[Unchanged] == 1 })
	if d.tokens() != "second" || d.logged("nothing has changed") != 1 {
		t.Errorf("applied %q, log:\n%s", d.tokens(), &d.log)
	}
}

func TestPending(t *testing.T) {
	d := newDesk(t, filepath.Join(t.TempDir(), "f"))
	d.write(text("second") + "stateDir: /other\nfilesDir: /files\nsensor: {mode: kprobe}\nlog: {level: debug}\n")
	r := d.Reload()
	if fmt.Sprint(r.Pending) != "[stateDir filesDir sensor.mode]" || fmt.Sprint(d.Status().Pending) != fmt.Sprint(r.Pending) || d.tokens() != "second" {
		t.Errorf("%+v, status %+v", r, d.Status())
	}
	if d.logged("wait for a restart") != 1 || d.logged("[stateDir filesDir sensor.mode]") != 1 {
		t.Errorf("log:\n%s", &d.log)
	}
	// It is what the agent was started with that counts.
	d.write(text("third"))
	if r := d.Reload(); len(r.Pending) != 0 || len(d.Status().Pending) != 0 {
		t.Errorf("%+v", r)
	}
}

func TestConcurrentUse(t *testing.T) {
	d := newDesk(t, filepath.Join(t.TempDir(), "f"))
	d.run()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 20 {
				if i == 0 {
					d.replace(text(fmt.Sprintf("t%d", n)))
				}
				d.Reload()
				d.Status().Reloads["x"] = 1
			}
		})
	}
	wg.Wait()
	s := d.Status()
	if n := s.Reloads[Applied] + s.Reloads[Unchanged] + s.Reloads[Refused]; n < 80 || s.Reloads[Refused] != 0 {
		t.Errorf("status %+v", s)
	}
	if !strings.HasSuffix(d.tokens(), "t19") {
		t.Errorf("applied %q", d.tokens())
	}
}
