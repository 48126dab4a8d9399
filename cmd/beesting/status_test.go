package main

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/exporter"
	"github.com/beesting-otel/beesting/internal/agent"
	"github.com/beesting-otel/beesting/internal/kube"
	"github.com/beesting-otel/beesting/internal/reload"
	"github.com/beesting-otel/beesting/internal/state"
)

var statusTime = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func fullStatus() nodeStatus {
	s := nodeStatus{
		Version: "v1.2.3", Node: "node-1", PID: 7, Pin: "/sys/fs/bpf/beesting",
		Config: reload.Status{
			File: "/etc/beesting/beesting.yaml", LoadedAt: statusTime.Add(-time.Hour), Hash: strings.Repeat("0123456789", 7),
			Reloads: map[reload.Outcome]uint64{reload.Applied: 2, reload.Unchanged: 9, reload.Refused: 1}, Pending: []string{"stateDir", "sensor.mode"},
			LastError: "f:1: no\x1b[2J\nf:2: nor this", LastErrorAt: statusTime.Add(-5 * time.Second),
		},
		Status: agent.Status{
			Since: statusTime.Add(-26*time.Hour - 5*time.Minute), Mode: "lsm", Tier: "recon", Resumed: true, AwaySeconds: 3.5, Ready: true,
			Coverage:   []agent.KindSupport{{Kind: "open", Seen: true}, {Kind: "link", Seen: true, Note: "not across mounts"}, {Kind: "lock", Note: "no hook"}},
			StateDir:   "/var/lib/beesting",
			Containers: 3, Planted: 1, Armed: 1, Lacking: 1, UnwatchedSeconds: 4.25,
			Records: state.Stats{Pending: 2, PendingSince: statusTime.Add(-2 * time.Minute), Error: "no space left on device", Dropped: 1, SetAside: "/var/lib/beesting/records.db.damaged"},
			Placements: []agent.PlacementStatus{{Token: "aws", Path: "/root/.aws/credentials", Namespace: "shop", Pod: "web-1", ContainerName: "app",
				Seen: 14, Lost: 1, Exempt: 5, Kinds: map[string]agent.KindCount{
					"stat": {Seen: 2, Delivered: 1, Coalesced: 1}, "open": {Seen: 12, Delivered: 10, Coalesced: 1, Lost: 1}},
			}, {Token: "ssh", Path: "/k", Namespace: "shop", Pod: "web-1", ContainerName: "app", Kinds: map[string]agent.KindCount{"stat": {Seen: 3, Delivered: 3}}}},
			Unplanted: []agent.UnplantedStatus{{Namespace: "shop", Pod: "old\x1b[2J", ContainerName: "app", Wanted: 2, Why: "was there before"}},
			Failures: []agent.Failure{{
				Time: statusTime.Add(-3 * time.Second), Namespace: "shop", Pod: "db", ContainerName: "db",
				Token: "aws", Reason: agent.ReasonMountPoint, Error: "read-only volume at /root",
			}},
			Events: agent.CoreStats{Delivered: 11, Coalesced: 2, Deferred: 4, Partial: 2, Waited: 6, Unresolved: map[string]uint64{"away": 2}, OpenFiles: 3, Ends: 8, EndsUnseen: 1, Gaps: map[string]uint64{"ring_full": 4, "restart": 0}, Lost: map[string]uint64{"ring_full": 1, "recursion": 0}, DecodeErrors: 1},
		},
		Kubernetes: &kube.Status{
			State: kube.StateConnected, Since: statusTime.Add(-3 * time.Minute), Server: "https://10.0.0.1:443", Node: "node-1", Pods: 12,
			Lookups: 5, Failed: map[beesting.Unresolved]uint64{beesting.UnresolvedForbidden: 2}, Missing: []string{"get jobs.batch"},
		},
		Outputs: outputStats{
			JSON: &exporter.WriterStats{Written: 11},
			OTLP: &exporter.OTLPStats{
				Logs:  exporter.SignalStats{Delivered: 4, Queued: 7, LastError: "connection refused", Endpoint: "grpc http://c:4317"},
				Spans: exporter.SignalStats{Dropped: map[string]uint64{"disabled": 11}},
				Metrics: &exporter.MetricStats{
					Exported: 3, Failed: 1, LastError: "\x1b[2Jconnection refused", Endpoint: "grpc http://c:4317",
				},
			},
		},
	}
	s.NRI.Connected, s.NRI.RegisteredAt = true, statusTime.Add(-2*time.Minute)
	s.NRI.Reconnects, s.NRI.BlindSeconds = 1, 1.25
	s.NRI.Runtime, s.NRI.RuntimeVer = "containerd", "v2.4.2"
	durations := `{"durations": {
		"start_container":  {"buckets": [0, 4, 0, 0, 0, 0, 1], "longest": 0.0071},
		"create_container": {"buckets": [2], "longest": 0.00008}
	}}`
	if err := json.Unmarshal([]byte(durations), &s.NRI); err != nil {
		s.Error = err.Error()
	}
	s.Sweep = agent.SweepStats{Looks: 6, Resyncs: 2, Found: 1, Unknown: 3, LastError: "too many\x1b"}
	return s
}

const fullStatusText = `agent          v1.2.3 on node-1, pid 7, up 26h5m, attached as lsm, tier recon
configuration  /etc/beesting/beesting.yaml, loaded 1h0m ago, hash 012345678901, 2 reloads, 1 refused
needs restart  stateDir, sensor.mode
NOT IN USE     the file as it was 5s ago is refused, the old one stays in use:
               f:1: no\x1b[2J
               f:2: nor this
seen           open, link
in part        link (not across mounts)
not seen       lock (no hook)
pinned         at /sys/fs/bpf/beesting: tokens stay watched while no agent runs, as they did for 3.5 s before this start
runtime        connected to containerd v2.4.2 for 2m, 1 reconnects, 1.2 s without
API server     connected to https://10.0.0.1:443 for 3m, 12 pods on node-1, 5 look-ups of owners, 2 forbidden; missing rules: get jobs.batch
answers        create_container 2, p50 80µs, p99 80µs; start_container 5, p50 250µs, p99 7.1ms
untold         1 containers found by their cgroups, 3 cgroups are nobody's, 2 registrations for it, last look: too many\x1b
containers     3, 1 with tokens, 1 lack some
tokens         1 watched, state in /var/lib/beesting, unwatched for 4.2 s before this start
records        NOT WRITTEN: no space left on device; 2 containers wait for 2m; 1 removed containers forgotten; a database that could not be used is kept as /var/lib/beesting/records.db.damaged
accesses       11 reported for 13 touches, 2 incomplete, 4 put off by an output without room
workloads      missing or in part: 2 away; 6 accesses waited for them
opens          3 not closed yet, 8 closed, 1 given up
touches lost   4 ring_full
events lost    1 ring_full, 1 not understood
output         json: 11 written, 0 failed
output         logs to grpc http://c:4317: 4 delivered, 7 waiting, 0 dropped, last error: connection refused
output         spans to nowhere: 0 delivered, 0 waiting, 11 dropped
output         metrics to grpc http://c:4317: 3 exported, 1 failed, last error: \x1b[2Jconnection refused

KIND  TOUCHES  REPORTED  COALESCED  LOST
open  12       10        1          1
stat  5        4         1          0

POD         CONTAINER  TOKEN  PATH                    TOUCHES  REPORTED  COALESCED  LOST  EXEMPT
shop/web-1  app        aws    /root/.aws/credentials  14       11        2          1     5
shop/web-1  app        ssh    /k                      3        3         0          0     0

POD              CONTAINER  TOKENS  WHY NOT ALL
shop/old\x1b[2J  app        0 of 2  was there before

FAILED  POD      CONTAINER  TOKEN  REASON       ERROR
3s ago  shop/db  db         aws    mount_point  read-only volume at /root
`

func TestStatusText(t *testing.T) {
	var b bytes.Buffer
	if err := fullStatus().write(&b, statusTime); err != nil {
		t.Fatal(err)
	}
	if b.String() != fullStatusText {
		t.Errorf("status:\n%s\nwant:\n%s", &b, fullStatusText)
	}
}

// The text is made of the JSON that the agent sends.
func TestStatusSurvivesJSON(t *testing.T) {
	data, err := json.Marshal(fullStatus())
	if err != nil {
		t.Fatal(err)
	}
	var back nodeStatus
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, fullStatus()) {
		t.Errorf("after JSON: %+v\nwant %+v", back, fullStatus())
	}
}

func TestPinnedText(t *testing.T) {
	if got := (nodeStatus{}).pinned(); got != "nowhere: tokens are not watched while no agent runs" {
		t.Errorf("%q", got)
	}
	if got := (nodeStatus{Pin: "/p"}).pinned(); got != "at /p: tokens stay watched while no agent runs" {
		t.Errorf("%q", got)
	}
}

func TestRuntimeText(t *testing.T) {
	var before, away, looking nodeStatus
	before.NRI.Socket = "/n"
	away.NRI.LastError, away.NRI.Reconnects, away.NRI.BlindSeconds = "gone", 2, 3
	looking.NRI.Connected, looking.NRI.Runtime = true, "cri-o"
	tests := []struct {
		s    nodeStatus
		want string
	}{
		{before, "connecting to /n"},
		{away, "NOT CONNECTED, new containers get no tokens: gone, 2 reconnects, 3.0 s without"},
		{looking, "connected to cri-o, looking at its containers"},
	}
	for _, tt := range tests {
		if got := tt.s.runtime(statusTime); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}
