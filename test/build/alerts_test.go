//go:build integration

package build

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// endpoint is the one that alerts are posted to.
type endpoint struct {
	mu     sync.Mutex
	away   bool
	bodies []string
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.away:
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.URL.Path != "/alerts" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("X-Team") != "security":
		w.WriteHeader(http.StatusBadRequest)
	default:
		e.bodies = append(e.bodies, string(body))
	}
}

func (e *endpoint) set(away bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.away = away
}

type alert struct {
	SeverityNumber int
	uid            string
	names          []string // of attributes
}

// alerts are those that arrived.
func (e *endpoint) alerts(t *testing.T) (resources [][]string, found []alert) {
	t.Helper()
	type attribute struct {
		Key   string
		Value struct{ StringValue string }
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, body := range e.bodies {
		var request struct {
			ResourceLogs []struct {
				Resource  struct{ Attributes []attribute }
				ScopeLogs []struct {
					LogRecords []struct {
						SeverityNumber int
						Attributes     []attribute
					}
				}
			}
		}
		if err := json.Unmarshal([]byte(body), &request); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		for _, r := range request.ResourceLogs {
			var names []string
			for _, a := range r.Resource.Attributes {
				names = append(names, a.Key)
			}
			resources = append(resources, slices.Sorted(slices.Values(names)))
			for _, l := range r.ScopeLogs[0].LogRecords {
				one := alert{SeverityNumber: l.SeverityNumber}
				for _, a := range l.Attributes {
					one.names = append(one.names, a.Key)
					if a.Key == "log.record.uid" {
						one.uid = a.Value.StringValue
					}
				}
				slices.Sort(one.names)
				found = append(found, one)
			}
		}
	}
	return resources, found
}

func (e *endpoint) wait(t *testing.T, n int) []alert {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, found := e.alerts(t); len(found) >= n {
			return found
		} else if time.Now().After(end) {
			t.Fatalf("%d alerts, want %d", len(found), n)
		}
	}
}

func startAlerts(t *testing.T, more string) (*node, *endpoint) {
	e := &endpoint{}
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	const same = "    logs/alerts: {receivers: [otlp]}\n"
	n := startNode(t, []string{"alerts"}, same+more, "ALERT_URL="+server.URL+"/alerts", "ALERT_HEADERS={X-Team: security}")
	return n, e
}

// Everything goes to the back end, whole; what matters is posted as well,
// without what is nobody's business outside.
func TestAlerts(t *testing.T) {
	n, e := startAlerts(t, "")
	for i, body := range [][]byte{
		access(t, "workload-read", 0, 1),  // ERROR
		access(t, "outsider-write", 1, 1), // ERROR3
		[]byte(strings.ReplaceAll(string(access(t, "workload-read", 2, 1)), `"aws-prod"`, `"vault-token"`)),
	} {
		if code := n.post(t, body); code != http.StatusOK {
			t.Fatalf("record %d: %d", i, code)
		}
	}
	logs := n.arrived(t, 3)
	e.wait(t, 2)
	if err := n.Stop(); err != nil { // sends whatever there is
		t.Error(err)
	}
	resources, found := e.alerts(t)
	got := map[string]int{}
	for _, a := range found {
		got[a.uid] = a.SeverityNumber
	}
	if want := map[string]int{uid(1): 19, uid(2): 17}; !maps.Equal(got, want) || len(found) != 2 {
		t.Errorf("alerts by uid and severity: %v (%d of them), want %v", got, len(found), want)
	}
	allowed := []string{"honeytoken.", "file.path", "process.pid", "process.executable.path", "log.record.uid"}
	for _, a := range found {
		for _, name := range a.names {
			if !slices.ContainsFunc(allowed, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
				t.Errorf("alert %s has %s", a.uid, name)
			}
		}
		for _, name := range []string{"honeytoken.id", "honeytoken.name", "honeytoken.access.kind", "file.path", "process.pid", "process.executable.path"} {
			if !slices.Contains(a.names, name) {
				t.Errorf("alert %s lacks %s, it has %q", a.uid, name, a.names)
			}
		}
	}
	want := []string{"host.name", "k8s.cluster.name", "k8s.container.name", "k8s.namespace.name", "k8s.node.name", "k8s.pod.name", "service.name"}
	for _, names := range resources {
		if !slices.Equal(names, want) {
			t.Errorf("an alert's resource has %q, want %q", names, want)
		}
	}
	for _, l := range logs {
		if l.Attributes["process.command_args"] == nil || l.Resource["container.id"] == nil {
			t.Errorf("record %v lost attributes on its way to the back end", l.Attributes["log.record.uid"])
		}
	}
}

// An end point that is away delays its alerts and nothing else.
func TestAlertsEndpointAway(t *testing.T) {
	n, e := startAlerts(t, "")
	e.set(true)
	if code := n.post(t, access(t, "outsider-write", 0, 1)); code != http.StatusOK {
		t.Fatalf("%d", code)
	}
	n.arrived(t, 1)
	e.set(false)
	if found := e.wait(t, 1); found[0].uid != uid(0) {
		t.Errorf("%+v", found)
	}
}

// What docs/collector.md says of a fan-out without queues: the sender is told of
// the refusal of one pipeline, and trying again repeats what the other one took.
func TestFanOutRefusesWhole(t *testing.T) {
	n, e := startAlerts(t, `
exporters:
  otlp_http/alerts: {sending_queue: {enabled: false}, retry_on_failure: {enabled: false}}
`)
	e.set(true)
	body := access(t, "outsider-write", 0, 1)
	if code := n.post(t, body); code != http.StatusServiceUnavailable {
		t.Errorf("%d while one pipeline refuses, want 503", code)
	}
	n.arrived(t, 1)
	e.set(false)
	if code := n.post(t, body); code != http.StatusOK {
		t.Errorf("%d when both accept", code)
	}
	if logs := n.arrived(t, 2); logs[0].Attributes["log.record.uid"] != logs[1].Attributes["log.record.uid"] {
		t.Error("the repeat can't be recognised")
	}
	if found := e.wait(t, 1); len(found) != 1 {
		t.Errorf("%d alerts", len(found))
	}
}
