//go:build vmtest && linux

package main

// Whatever is wrong with machine or configuration, it is said in one line, and
// nothing is half-started.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/internal/control"
)

// agentConfig gives a configuration whose places are all in a new directory.
func agentConfig(t *testing.T) (path, dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path = filepath.Join(dir, "beesting.yaml")
	text := fmt.Sprintf(`tokens: [{name: a, path: /a, content: x}]
match: {}
stateDir: %[1]s/state
controlSocket: %[1]s/run/control.sock
nri: {socket: %[1]s/nri.sock}
`, dir)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path, dir
}

func nothingStarted(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"state", "run"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s was made: %v", name, err)
		}
	}
}

func TestNoNRISocket(t *testing.T) {
	path, dir := agentConfig(t)
	fails(t, exec.Command("beesting", "agent", "--config", path), "NRI socket: "+dir+"/nri.sock does not exist: start containerd")
	nothingStarted(t, dir)
}

func TestNoPermission(t *testing.T) {
	path, dir := agentConfig(t)
	file := token(t, "t")
	if err := errors.Join(os.Chmod(dir, 0o755), openParents(file)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"agent", "--config", path}, {"watch", file}} {
		cmd := asNobody(t, args...)
		fails(t, cmd, "privileges: missing CAP_BPF (to load programs), CAP_PERFMON (to attach them)")
	}
	nothingStarted(t, dir)
	secret := filepath.Join(t.TempDir(), "closed", "t")
	if err := errors.Join(os.MkdirAll(filepath.Dir(secret), 0o700), os.WriteFile(secret, nil, 0o600), openParents(filepath.Dir(secret))); err != nil {
		t.Fatal(err)
	}
	fails(t, asNobody(t, "watch", secret), secret+": permission denied")
}

// asNobody runs beesting as a user without any right, from a place that such a
// user can reach. A link, as a VM's memory has no room for copies.
func asNobody(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	dir, err := os.MkdirTemp(os.TempDir(), "nobody") // open to all, and where the binary is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary, err := exec.LookPath("beesting")
	if err == nil {
		binary, err = filepath.EvalSymlinks(binary)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	reachable := filepath.Join(dir, "beesting")
	if err := os.Link(binary, reachable); err != nil { // on another file system
		data, err := os.ReadFile(binary)
		if err := errors.Join(err, os.WriteFile(reachable, data, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(reachable, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	return cmd
}

// openParents lets everyone pass through the test's temporary directories.
func openParents(path string) error {
	for dir := filepath.Dir(path); dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func TestNoBTF(t *testing.T) {
	empty := t.TempDir()
	if err := unix.Mount(empty, "/sys/kernel/btf", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount("/sys/kernel/btf", 0); err != nil {
			t.Error(err)
		}
	}()
	path, dir := agentConfig(t)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString("sensor: {mode: lsm}\n")
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	fails(t, exec.Command("beesting", "watch", "--mode", "kprobe", token(t, "t")), "BTF: no type information")
	fails(t, exec.Command("beesting", "agent", "--config", path), "BTF: no type information")
	nothingStarted(t, dir)

	// Any mode will do, and one needs no BTF.
	file := token(t, "t")
	c := start(t, "watch", "--output", "json", file)
	if warning := line(t, c.stderr); !strings.Contains(warning, "level=WARN") || !strings.Contains(warning, "fanotify watches, which sees less") {
		t.Errorf("warning %q", warning)
	}
	if got := line(t, c.stderr); got != "watching 1 files (fanotify)\n" {
		t.Fatalf("standard error %q", got)
	}
	read(t, file)
	if got := line(t, c.stdout); !strings.Contains(got, `"honeytoken.access.kind":"open"`) {
		t.Errorf("access %q", got)
	}
	c.finish(t, syscall.SIGTERM)
}

// listening makes a socket that says nothing, in place of a runtime's.
func listening(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}

func TestWrongTelemetryVariable(t *testing.T) {
	path, dir := agentConfig(t)
	listening(t, filepath.Join(dir, "nri.sock"))
	for _, args := range [][]string{{"agent", "--config", path}, {"watch", "--output", "otlp", token(t, "t")}} {
		cmd := exec.Command("beesting", args...)
		cmd.Env = append(os.Environ(), "OTEL_EXPORTER_OTLP_ENDPOINT=collector")
		fails(t, cmd, `OTEL_EXPORTER_OTLP_ENDPOINT="collector"`)
	}
	nothingStarted(t, dir)
}

func TestSecondAgent(t *testing.T) {
	path, dir := agentConfig(t)
	listening(t, filepath.Join(dir, "nri.sock"))
	socket := filepath.Join(dir, "run", "control.sock")
	first, err := control.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	fails(t, exec.Command("beesting", "agent", "--config", path), "control socket "+socket+": another agent is running")
	if _, err := os.Lstat(filepath.Join(dir, "state")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the state directory was made: %v", err)
	}
}

// The kernel vouches for the peer even where the socket's mode lets him in.
func TestStatusIsForRoot(t *testing.T) {
	_, dir := agentConfig(t)
	socket := filepath.Join(dir, "run", "control.sock")
	s, err := control.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- s.Serve(ctx, rootUID, control.Answers{Status: func() any { return nodeStatus{Node: "n1"} }}, slog.New(slog.DiscardHandler))
	}()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	if out, err := exec.Command("beesting", "status", "--socket", socket).CombinedOutput(); err != nil {
		t.Errorf("root: %v: %s", err, out)
	}
	fails(t, asNobody(t, "status", "--socket", socket), "no permission: only root may ask")
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(socket), 0o755), os.Chmod(socket, 0o666)); err != nil {
		t.Fatal(err)
	}
	fails(t, asNobody(t, "status", "--socket", socket), "refused with 403: uid 65534 may not ask")
}
