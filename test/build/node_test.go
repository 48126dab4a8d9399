//go:build integration

package build

import (
	"net/http"
	"testing"
)

// The gateway is away, the Collector is killed in between, and there is more to
// deliver afterwards than fits in one gRPC message.
func TestNodeKeepsWhatTheGatewayCantTake(t *testing.T) {
	const each, requests = 100, 40 // 4000 records, some 10 MB
	n := startNode(t, nil, "")
	n.back.SetAway(true)
	for i := range requests {
		if i == requests/2 {
			if err := n.Kill(); err != nil {
				t.Fatal(err)
			}
			n.start(t)
		}
		if code := n.post(t, access(t, "outsider-write", i*each, each)); code != http.StatusOK {
			t.Fatalf("request %d: %d", i, code)
		}
	}
	n.back.SetAway(false)
	seen := map[any]int{}
	for _, l := range n.arrived(t, each*requests) {
		seen[l.Attributes["log.record.uid"]]++
	}
	for i := range each * requests {
		if seen[uid(i)] == 0 {
			t.Errorf("record %d of %d is missing", i, each*requests)
		}
	}
	m, err := n.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if failed, _ := m.Sum("otelcol_exporter_send_failed_log_records"); failed != 0 {
		t.Errorf("%v records were given up", failed)
	}
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
}
