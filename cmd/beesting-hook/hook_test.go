//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/internal/hook/wire"
)

// state is what runc 1.3 writes to a hook.
const state = `{"ociVersion":"1.2.1","id":"c1","status":"creating","pid":1,"bundle":"/run/containerd/x",` +
	`"annotations":{"id":"inner","a\"b":"}{\\"}}`

func TestContainerID(t *testing.T) {
	for in, want := range map[string]string{
		state:                                       "c1",
		"{\n \"id\" : \"c2\" }":                     "c2",
		`{"annotations":{"id":"x"},"id":"c3"}`:      "c3",
		`{"status":"id","x":"y","id":"c4"}`:         "c4",
		`{"l":["id","x"],"id":"c5"`:                 "c5", // cut off behind it
		`{"annotations":{"id":"x"}}`:                "",
		`{"id":7,"x":"y"}`:                          "",
		`{"id":"`:                                   "",
		`{"id":""}`:                                 "",
		`{"id":"` + strings.Repeat("a", 257) + `"}`: "",
		"": "", "]]]": "", `"id":"x"`: "",
	} {
		if got, err := containerID([]byte(in)); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v, want %q", in, got, err, want)
		}
	}
}

// FuzzContainerID: of what is JSON the id is the one that encoding/json finds.
func FuzzContainerID(f *testing.F) {
	f.Add([]byte(state))
	f.Add([]byte(`{"x":{"id":"a"},"id":"b","id":"c"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := containerID(b)
		var all map[string]json.RawMessage
		if json.Unmarshal(b, &all) != nil {
			return
		}
		var want string
		if json.Unmarshal(all["id"], &want) != nil || want == "" || len(want) > 256 {
			return
		}
		// Named twice, or spelled with escapes: a runtime does neither.
		if strings.Count(string(b), `"id"`) != 1 || strings.ContainsAny(string(b), `\`) || strings.ContainsRune(want, 0xfffd) {
			return
		}
		if got != want || err != nil {
			t.Errorf("%q: %q, %v, want %q", b, got, err, want)
		}
	})
}

func TestEnvironment(t *testing.T) {
	good := map[string]string{
		"HOOK_SOCKET": "/run/x/s", "HOOK_TICKET": strings.Repeat("0a", wire.TicketLen), "HOOK_SECRET": strings.Repeat("ff", wire.SecretLen),
	}
	from := func(change, to string) (task, error) {
		return fromEnvironment(func(name string) (string, bool) {
			if name == change {
				return to, to != ""
			}
			v, ok := good[name]
			return v, ok
		})
	}
	task, err := from("", "")
	if err != nil || task.socket != "/run/x/s" || task.ticket[15] != 10 || task.secret[31] != 255 {
		t.Errorf("%+v, %v", task, err)
	}
	for _, c := range [][2]string{
		{"HOOK_SOCKET", ""}, {"HOOK_TICKET", ""}, {"HOOK_SECRET", ""},
		{"HOOK_SECRET", strings.Repeat("f", 63)}, {"HOOK_SECRET", strings.Repeat("g", 64)}, {"HOOK_TICKET", strings.Repeat("A", 32)},
	} {
		if _, err := from(c[0], c[1]); err == nil {
			t.Errorf("%s=%s is accepted", c[0], c[1])
		}
	}
}

func TestPanicIsAProblem(t *testing.T) {
	for want, f := range map[string]func() error{
		"": func() error { return nil }, "x": func() error { return errors.New("x") },
		"panic":                       func() error { panic("x") },
		"panic: runtime error: slice": func() error { return errors.New(string(state[len(state)+len(os.Args):][0])) },
	} {
		if got := guarded(f); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestWorkingDirectoryMustBeAMount(t *testing.T) {
	t.Chdir(t.TempDir())
	if fd, problem := openRoot(); fd != -1 || !strings.Contains(problem, "not the root of a mount") {
		t.Errorf("a directory: %d, %q", fd, problem)
	}
	t.Chdir("/")
	if fd, problem := openRoot(); fd != -1 || !strings.Contains(problem, "host's root") {
		t.Errorf("the root: %d, %q", fd, problem)
	}
	t.Chdir("/proc")
	fd, problem := openRoot()
	if fd < 0 || problem != "" {
		t.Errorf("another mount: %d, %q", fd, problem)
	}
	_ = unix.Close(fd)
}

// listen makes a socket as the agent does; nobody accepts.
func listen(t *testing.T) (path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "hook") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path = filepath.Join(dir, "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), os.Chmod(path, 0o600), unix.Listen(fd, 1)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSocketOfOthersIsRefused(t *testing.T) {
	path := listen(t)
	fd, err := dial(path)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(fd)
	refused := func(what string, path string) {
		t.Helper()
		if fd, err := dial(path); err == nil {
			t.Errorf("%s: connected", what)
			_ = unix.Close(fd)
		}
	}
	change := func(name string, mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	change(path, 0o666)
	refused("socket open to others", path)
	change(path, 0o600)
	change(filepath.Dir(path), 0o711)
	refused("directory open to others", path)
	change(filepath.Dir(path), 0o700)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	refused("link", link)
	refused("nothing", path+"2")
	refused("relative", "s")
	refused("long", "/"+strings.Repeat("a/", 100)+"s")
}

// pair is a conversation and its other end.
func pair(t *testing.T) (c *conversation, root string, agent int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	root = t.TempDir()
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _, _ = unix.Close(fds[0]), unix.Close(fds[1]), unix.Close(fd) })
	timeout := unix.Timeval{Sec: 10}
	if err := unix.SetsockoptTimeval(fds[1], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		t.Fatal(err)
	}
	return &conversation{socket: fds[0], root: fd}, root, fds[1]
}

func send(t *testing.T, fd int, packets ...[]byte) {
	t.Helper()
	for _, p := range packets {
		if err := unix.Send(fd, p, unix.MSG_NOSIGNAL); err != nil {
			t.Fatal(err)
		}
	}
}

func receive(t *testing.T, fd int) []byte {
	t.Helper()
	b := make([]byte, wire.MaxPacket)
	n, err := unix.Read(fd, b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

func file(path string, size int) []byte {
	f := wire.File{Path: path, Mode: 0o600, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Size: uint32(size)}
	return f.AppendTo(nil)
}

func TestHold(t *testing.T) {
	c, root, agent := pair(t)
	done := make(chan error, 1)
	go func() { done <- c.hold(task{}, "c1", "") }()
	if h, err := wire.DecodeHello(receive(t, agent)); err != nil || h.Container != "c1" || h.Problem != "" {
		t.Fatalf("hello %+v, %v", h, err)
	}
	for _, want := range []struct {
		path    string
		outcome wire.Outcome
	}{{"/a/b", wire.Placed}, {"/a/b", wire.Exists}, {"/proc/x", wire.Refused}, {"/a/b/c", wire.Failed}, {"/c", wire.Placed}} {
		send(t, agent, file(want.path, 6), wire.AppendChunk(nil, []byte("sec")), wire.AppendChunk(nil, []byte("ret")))
		if r, err := wire.DecodeResult(receive(t, agent)); err != nil || r.Outcome != want.outcome {
			t.Errorf("%s: %+v, %v", want.path, r, err)
		}
	}
	send(t, agent, wire.AppendEnd(nil))
	if err := <-done; err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(root + "/c"); string(data) != "secret" {
		t.Errorf("content %q, %v", data, err)
	}
}

// An agent that makes no sense, or goes away, leaves nothing behind.
func TestBadAgent(t *testing.T) {
	for name, packets := range map[string][][]byte{
		"nonsense":         {[]byte("x")},
		"chunk at first":   {wire.AppendChunk(nil, []byte("x"))},
		"too much content": {file("/d/a", 1), wire.AppendChunk(nil, []byte("xy"))},
		"no content":       {file("/d/a", 1), wire.AppendEnd(nil)},
		"half a file":      {file("/d/a", 2), wire.AppendChunk(nil, []byte("x"))},
	} {
		t.Run(name, func(t *testing.T) {
			c, root, agent := pair(t)
			done := make(chan error, 1)
			go func() { done <- c.hold(task{}, "c1", "") }()
			receive(t, agent)
			send(t, agent, packets...)
			_ = unix.Shutdown(agent, unix.SHUT_RDWR)
			select {
			case err := <-done:
				if err == nil {
					t.Error("no error")
				}
			case <-time.After(10 * time.Second):
				t.Fatal("goes on")
			}
			if entries, err := os.ReadDir(root); len(entries) != 0 {
				t.Errorf("left behind: %v, %v", entries, err)
			}
		})
	}
}

// A hook without a root takes no file, whatever the agent sends.
func TestNoRoot(t *testing.T) {
	c, root, agent := pair(t)
	c.root = -1
	done := make(chan error, 1)
	go func() { done <- c.hold(task{}, "", "no root") }()
	if h, err := wire.DecodeHello(receive(t, agent)); err != nil || h.Problem != "no root" {
		t.Errorf("hello %+v, %v", h, err)
	}
	send(t, agent, file("/a", 0))
	if err := <-done; err == nil {
		t.Error("took a file")
	}
	if entries, err := os.ReadDir(root); len(entries) != 0 {
		t.Errorf("made: %v, %v", entries, err)
	}
}
