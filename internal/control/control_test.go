package control

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type answerBody struct {
	Node string `json:"node"`
}

// serve starts a server for the test, and stops it at its end.
func serve(t *testing.T, path string, uid uint32) {
	t.Helper()
	s, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- s.Serve(ctx, uid, Answers{
			Status: func() any { return answerBody{Node: "n1"} },
			Trace:  func(ids []string) any { return ids },
			Reload: func() any { return answerBody{Node: "n2"} },
			Web: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "web "+r.URL.Path)
			}),
		}, slog.New(slog.DiscardHandler))
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("socket after the end: %v", err)
		}
	})
}

func socketPath(t *testing.T) string {
	t.Helper()
	// A test's own directory is often too long for sun_path, and others can
	// look into it.
	dir, err := os.MkdirTemp("", "control")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "run", "control.sock")
}

func TestStatus(t *testing.T) {
	path := socketPath(t)
	serve(t, path, uint32(os.Geteuid()))
	var got answerBody
	if err := Status(t.Context(), path, &got); err != nil {
		t.Fatal(err)
	}
	if got.Node != "n1" {
		t.Errorf("status = %+v", got)
	}
	for name, want := range map[string]fs.FileMode{path: fs.ModeSocket | 0o600, filepath.Dir(path): fs.ModeDir | 0o700} {
		st, err := os.Lstat(name)
		if err != nil || st.Mode() != want {
			t.Errorf("%s has mode %v (%v), want %v", name, st.Mode(), err, want)
		}
	}
}

func TestTrace(t *testing.T) {
	path := socketPath(t)
	serve(t, path, uint32(os.Geteuid()))
	var got []string
	if err := Trace(t.Context(), path, []string{"a", "b"}, &got); err != nil || len(got) != 2 || got[1] != "b" {
		t.Errorf("trace = %v, %v", got, err)
	}
	err := Trace(t.Context(), path, []string{strings.Repeat("x", maxRequest)}, &got)
	if err == nil || !strings.Contains(err.Error(), "refused with 400: request: http: request body too large") {
		t.Errorf("large request: %v", err)
	}
}

func TestReload(t *testing.T) {
	path := socketPath(t)
	serve(t, path, uint32(os.Geteuid()))
	var got answerBody
	if err := Reload(t.Context(), path, &got); err != nil || got.Node != "n2" {
		t.Errorf("reload = %+v, %v", got, err)
	}
	// Looking must not change anything.
	if err := ask(t.Context(), path, http.MethodGet, ReloadPath, http.NoBody, &got); err == nil || !strings.Contains(err.Error(), "is not served") {
		t.Errorf("GET %s = %v", ReloadPath, err)
	}
}

// Other paths are another's, who needs not check who asks.
func TestWeb(t *testing.T) {
	path := socketPath(t)
	ask := func() (code int, body string) {
		t.Helper()
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://agent/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	t.Run("root", func(t *testing.T) {
		serve(t, path, uint32(os.Getuid()))
		if code, body := ask(); code != http.StatusOK || body != "web /metrics" {
			t.Errorf("%d %q", code, body)
		}
	})
	t.Run("another", func(t *testing.T) {
		serve(t, path, uint32(os.Getuid())+1)
		if code, body := ask(); code != http.StatusForbidden || strings.Contains(body, "web") {
			t.Errorf("%d %q", code, body)
		}
	})
}

func TestOtherUserIsRefused(t *testing.T) {
	path := socketPath(t)
	serve(t, path, uint32(os.Geteuid())+1)
	for name, ask := range map[string]func(context.Context, string, any) error{"Status": Status, "Reload": Reload} {
		if err := ask(t.Context(), path, new(answerBody)); err == nil || !strings.Contains(err.Error(), "refused with 403: uid") {
			t.Errorf("%s = %v, want a refusal", name, err)
		}
	}
}

func TestOneAgentOnly(t *testing.T) {
	path := socketPath(t)
	serve(t, path, uint32(os.Geteuid()))
	if s, err := Listen(path); !errors.Is(err, ErrInUse) {
		t.Errorf("second Listen = %v, %v, want ErrInUse", s, err)
	}
	if err := Status(t.Context(), path, new(answerBody)); err != nil {
		t.Errorf("the first agent's socket is gone: %v", err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := socketPath(t)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var none *NoAgentError
	if err := Status(t.Context(), path, new(answerBody)); !errors.As(err, &none) {
		t.Errorf("Status on a stale socket = %v, want NoAgentError", err)
	}
	serve(t, path, uint32(os.Geteuid()))
	if err := Status(t.Context(), path, new(answerBody)); err != nil {
		t.Error(err)
	}
}

func TestListenRefuses(t *testing.T) {
	path := socketPath(t)
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Listen(path); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("Listen on a file = %v, %v", s, err)
	}
	if data, err := os.ReadFile(path); string(data) != "mine" {
		t.Errorf("the file holds %q (%v)", data, err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if s, err := Listen(filepath.Join(dir, "other")); err == nil || !strings.Contains(err.Error(), "others can write") {
		t.Errorf("Listen in an open directory = %v, %v", s, err)
	}
}

func TestNoAgent(t *testing.T) {
	err := Status(t.Context(), "/nowhere/control.sock", new(answerBody))
	want := "no agent is listening at /nowhere/control.sock: is `beesting agent` running?"
	if err == nil || err.Error() != want {
		t.Errorf("Status = %v, want %q", err, want)
	}
}

func TestSilentAgent(t *testing.T) {
	path := socketPath(t)
	s, err := Listen(path) // and nobody serves
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := Status(ctx, path, new(answerBody)); err == nil || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("Status = %v", err)
	}
}
