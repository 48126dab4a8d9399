package web

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// free is an address that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start serves until the test's end or until stop is called.
func start(t *testing.T, o Options) (stop func()) {
	t.Helper()
	if o.NotReady == nil {
		o.NotReady = func() []string { return nil }
	}
	if o.Metrics == nil {
		o.Metrics = http.NotFoundHandler()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		Serve(ctx, o)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

// get asks until somebody answers.
func get(t *testing.T, url string) (code int, body string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for begin := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			if time.Since(begin) > 5*time.Second {
				t.Fatal(err)
			}
			continue
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
}

func TestAnswers(t *testing.T) {
	var ready atomic.Bool
	o := Options{Address: free(t), NotReady: func() []string {
		if ready.Load() {
			return nil
		}
		return []string{"one thing", "another"}
	}, Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "all metrics") })}
	start(t, o)
	check := func(path string, code int, body string) {
		t.Helper()
		if c, b := get(t, "http://"+o.Address+path); c != code || b != body {
			t.Errorf("%s: %d %q, want %d %q", path, c, b, code, body)
		}
	}
	check("/healthz", http.StatusOK, "ok\n")
	check("/readyz", http.StatusServiceUnavailable, "one thing\nanother\n")
	ready.Store(true)
	check("/readyz", http.StatusOK, "ok\n")
	check("/metrics", http.StatusOK, "all metrics")
	check("/", http.StatusOK, "/healthz\n/readyz\n/metrics\n")
	check("/debug/pprof/", http.StatusNotFound, "404 page not found\n")
}

func TestProfiles(t *testing.T) {
	o := Options{Address: free(t), Profiles: true}
	start(t, o)
	if code, body := get(t, "http://"+o.Address+"/debug/pprof/goroutine?debug=1"); code != http.StatusOK || !strings.Contains(body, "goroutine profile") {
		t.Errorf("%d %.80q", code, body)
	}
}

// A busy address is not the agent's end, and Serve ends in time while a request
// is under way.
func TestServeEnds(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	start(t, Options{Address: l.Addr().String()})()

	release, asked := make(chan struct{}), make(chan struct{})
	o := Options{Address: free(t), Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-release
		text(w, http.StatusOK, "late")
	})}
	stop := start(t, o)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answered := make(chan struct{})
	get(t, "http://"+o.Address+"/healthz")
	go func() {
		defer close(answered)
		req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, "http://"+o.Address+"/metrics", nil)
		if err != nil {
			t.Error(err)
			return
		}
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	<-asked
	begin := time.Now()
	stop()
	if took := time.Since(begin); took > 10*endTime {
		t.Errorf("ended after %v", took)
	}
	close(release)
	<-answered
}
