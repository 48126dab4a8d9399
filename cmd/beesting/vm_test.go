//go:build vmtest && linux

package main

// These tests need root and a kernel that lets programs attach. `make test-vm`
// runs them in a VM for each kernel.

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/internal/check"
)

// patience is what a command has from start to end. On 5.10 the kprobes alone
// take 20 s to come and as long to go in an emulator, those of two commands twice
// that.
const patience = 3 * time.Minute

// command is a running `beesting`, which is this test binary under that name.
type command struct {
	*exec.Cmd
	out    io.Closer // standard output
	stdout *bufio.Reader
	stderr *bufio.Reader
}

func start(t *testing.T, args ...string) *command {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "beesting", args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() { kill.Stop(); _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return &command{Cmd: cmd, out: out, stdout: bufio.NewReader(out), stderr: bufio.NewReader(errs)}
}

// line reads one line; what is written before the process ends is enough.
func line(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	s, err := r.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return s
}

// finish sends the signal and wants the exit code 0. It returns what was left
// to read of standard output and standard error.
func (c *command) finish(t *testing.T, sig os.Signal) (stdout, stderr string) {
	t.Helper()
	if sig != nil {
		if err := c.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	out, err1 := io.ReadAll(c.stdout)
	errs, err2 := io.ReadAll(c.stderr)
	if err := errors.Join(err1, err2, c.Wait()); err != nil {
		t.Errorf("after %v: %v", sig, err)
	}
	return string(out), string(errs)
}

func token(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// read opens the file in another process, which is gone at once.
func read(t *testing.T, path string) {
	t.Helper()
	if out, err := exec.Command("cat", path).CombinedOutput(); err != nil {
		t.Fatalf("cat %s: %v: %s", path, err, out)
	}
}

// modes are those that this kernel has to support; the others have to be
// refused.
func modes(t *testing.T) (works, refused []string) {
	t.Helper()
	if major, minor := kernel(t); major < 5 || major == 5 && minor < 11 {
		return []string{"kprobe", "fanotify"}, []string{"lsm", "fentry"}
	}
	return []string{"lsm", "fentry", "kprobe", "fanotify"}, nil
}

// kernel is the version that runs.
func kernel(t *testing.T) (major, minor int) {
	t.Helper()
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err == nil {
		_, err = fmt.Sscanf(string(release), "%d.%d", &major, &minor)
	}
	if err != nil {
		t.Fatal(err)
	}
	return major, minor
}

// kindLines takes off what is said at start of the kinds of access.
func kindLines(t *testing.T, stderr string) (rest string) {
	t.Helper()
	n := 0
	for rest = stderr; strings.HasPrefix(rest, "  "); n++ {
		_, rest, _ = strings.Cut(rest, "\n")
	}
	if n == 0 || !strings.HasPrefix(stderr, "  seen:     open, ") {
		t.Errorf("nothing is said of the kinds of access: %q", stderr)
	}
	return rest
}

func TestModeIsRefused(t *testing.T) {
	_, refused := modes(t)
	for _, mode := range refused {
		fails(t, exec.Command("beesting", "watch", "--mode", mode, token(t, "t")), "no attach mode works: "+mode+": needs Linux")
	}
}

func TestWatchJSON(t *testing.T) {
	works, _ := modes(t)
	for _, mode := range works {
		t.Run(mode, func(t *testing.T) {
			first, second := token(t, "id_rsa"), token(t, "other")
			hard := filepath.Join(filepath.Dir(first), "hard")
			if err := os.Link(first, hard); err != nil {
				t.Fatal(err)
			}
			c := start(t, "watch", "--output", "json", "--mode", mode, first, hard, second, first)
			if got, want := line(t, c.stderr), "watching 2 files ("+mode+")\n"; got != want {
				t.Fatalf("standard error %q, want %q", got, want)
			}
			read(t, hard)
			var record struct {
				Timestamp      time.Time `json:"timestamp"`
				EventName      string    `json:"event_name"`
				SeverityNumber int       `json:"severity_number"`
				TraceID        string    `json:"trace_id"`
				SpanID         string    `json:"span_id"`
				Resource       map[string]any
				Attributes     map[string]any
			}
			text := line(t, c.stdout)
			if err := json.Unmarshal([]byte(text), &record); err != nil {
				t.Fatalf("%v in %q", err, text)
			}
			if record.EventName != "honeytoken.access" || record.SeverityNumber != 17 ||
				len(record.TraceID) != 32 || len(record.SpanID) != 16 || time.Since(record.Timestamp).Abs() > time.Minute {
				t.Errorf("record %s", text)
			}
			a := record.Attributes
			if a["honeytoken.name"] != "id-rsa" || a["file.path"] != first || a["process.parent_pid"] != float64(os.Getpid()) ||
				a["honeytoken.actor.class"] != "host" || fmt.Sprint(a["process.command_args"]) != fmt.Sprint([]string{"cat", hard}) {
				t.Errorf("attributes %v", a)
			}
			out, errs := c.finish(t, syscall.SIGTERM)
			if errs = kindLines(t, errs); out != "" || errs != "" {
				t.Errorf("more output: %q, %q", out, errs)
			}
		})
	}
}

// What happens just before the signal is delivered.
func TestWatchDrains(t *testing.T) {
	const touches = 50
	path := token(t, "t")
	c := start(t, "watch", "--output", "json", path)
	if !strings.HasPrefix(line(t, c.stderr), "watching 1 files (") {
		t.Fatal("not armed")
	}
	for range touches {
		read(t, path)
	}
	out, _ := c.finish(t, syscall.SIGINT)
	if n := strings.Count(out, "\n"); n != touches {
		t.Errorf("%d accesses, want %d", n, touches)
	}
}

func TestWatchText(t *testing.T) {
	path := token(t, "t")
	c := start(t, "watch", path)
	line(t, c.stderr)
	read(t, path)
	if got := line(t, c.stdout); !strings.Contains(got, "opened honeytoken t for reading") {
		t.Errorf("text %q", got)
	}
	if _, errs := c.finish(t, syscall.SIGINT); kindLines(t, errs) != "1 accesses reported, 0 lost\n" {
		t.Errorf("summary %q", errs)
	}
}

// As with `beesting watch FILE | head -1`: the end comes without an access.
func TestWatchEndsWithItsReader(t *testing.T) {
	c := start(t, "watch", token(t, "t"))
	line(t, c.stderr)
	if err := c.out.Close(); err != nil {
		t.Fatal(err)
	}
	errs, err := io.ReadAll(c.stderr)
	if err := errors.Join(err, c.Wait()); err != nil || kindLines(t, string(errs)) != "" {
		t.Errorf("end: %v, %q", err, errs)
	}
}

func TestCheck(t *testing.T) {
	config, dir := agentConfig(t)
	listener, err := net.Listen("unix", filepath.Join(dir, "nri.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	out, err := exec.Command("beesting", "check", "--json", "--config", config).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var report check.Report
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatal(err)
	}
	works, _ := modes(t)
	for _, row := range report.Rows {
		mode, attach := strings.CutPrefix(row.Name, "attach ")
		// The state directory is on a tmpfs here.
		if row.Status == check.Fail || attach && (row.Status == check.OK) != slices.Contains(works, mode) {
			t.Errorf("%+v", row)
		}
	}
	nothingStarted(t, dir)
}

func fails(t *testing.T, cmd *exec.Cmd, want string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitFailure {
		t.Errorf("%v: %v, want exit code %d", cmd.Args, err, exitFailure)
	}
	text := errs.String()
	if !strings.HasPrefix(text, "beesting: ") || strings.Count(text, "\n") != 1 || !strings.Contains(text, want) || out.Len() > 0 {
		t.Errorf("%v wrote %q and %q, want one line with %q", cmd.Args, out.String(), text, want)
	}
}
