//go:build e2e

package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// probesAddress is where the suite's agent serves health and metrics.
const probesAddress = "127.0.0.1:9464"

// probes: what a kubelet and a Prometheus ask the agent over HTTP.
func (s *suite) probes(t *testing.T) {
	if code, text := get(t, "/readyz"); code != http.StatusOK || text != "ok\n" {
		t.Errorf("/readyz: %d %q", code, text)
	}
	if code, text := get(t, "/healthz"); code != http.StatusOK || text != "ok\n" {
		t.Errorf("/healthz: %d %q", code, text)
	}
	code, text := get(t, "/metrics")
	if code != http.StatusOK {
		t.Fatalf("/metrics: %d %q", code, text)
	}
	for _, want := range []string{
		"honeytoken_nri_connected 1\n", `honeytoken_accesses_total{`, "honeytoken_container_lacking 0\n", "process_open_fds ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %s", want, text)
		}
	}
}

func get(t *testing.T, path string) (code int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+probesAddress+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}
