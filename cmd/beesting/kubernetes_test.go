package main

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/internal/check"
	"github.com/beesting-otel/beesting/internal/config"
	"github.com/beesting-otel/beesting/internal/kube"
	"github.com/beesting-otel/beesting/internal/kube/kubetest"
)

func TestAPIServerRow(t *testing.T) {
	a := &app{lookupEnv: func(string) (string, bool) { return "", false }}
	asked := func(s *kubetest.Server, node string) config.Config {
		return config.Config{NodeName: node, Kubernetes: config.Kubernetes{Enabled: "auto", Kubeconfig: s.Kubeconfig(t)}}
	}
	s := kubetest.New(t)
	s.Set(kubetest.Pod{Namespace: "a", Name: "b", UID: "c"})
	forbidding, gone := kubetest.New(t), kubetest.New(t)
	for _, resource := range []string{"jobs", "replicasets", "pods"} {
		forbidding.Forbid(resource)
	}
	gone.Close()
	for name, tt := range map[string]struct {
		config config.Config
		status check.Status
		detail string
	}{
		"off":       {config.Config{Kubernetes: config.Kubernetes{Enabled: "off"}}, check.OK, notAsked},
		"no way":    {config.Config{NodeName: "n", Kubernetes: config.Kubernetes{Enabled: "auto"}}, check.OK, notAsked},
		"must":      {config.Config{NodeName: "n", Kubernetes: config.Kubernetes{Enabled: "on"}}, check.Fail, "kubernetes: no kubeconfig is given, and this is no pod with a service account"},
		"fine":      {asked(s, "worker-1"), check.OK, s.URL + ", 1 pods on worker-1"},
		"forbidden": {asked(forbidding, "worker-1"), check.Warn, forbidding.URL + ", 0 pods on worker-1; forbidden: get,list,watch pods; get replicasets.apps; get jobs.batch"},
		"away":      {asked(gone, "worker-1"), check.Warn, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			row := a.apiServerRow(t.Context(), tt.config)
			if row.Status != tt.status || !strings.Contains(row.Detail, tt.detail) {
				t.Errorf("got %+v, want %s: %s", row, tt.status, tt.detail)
			}
			if (row.Status == check.OK) != (row.Advice == "") {
				t.Errorf("advice %q", row.Advice)
			}
		})
	}
}

// What nobody can reach from the start keeps nobody from starting; only "on" with no
// way at all does.
func TestClusterMode(t *testing.T) {
	a := &app{lookupEnv: func(string) (string, bool) { return "", false }}
	log := slog.New(slog.DiscardHandler)
	for mode, fails := range map[string]bool{"auto": false, "off": false, "on": true} {
		c, err := a.cluster(config.Config{NodeName: "n", Kubernetes: config.Kubernetes{Enabled: mode}}, log)
		if c != nil || (err != nil) != fails {
			t.Errorf("%s: %v, %v", mode, c, err)
		}
	}
}

func TestAPIServerText(t *testing.T) {
	now := statusTime
	for want, s := range map[string]*kube.Status{
		notAsked: nil,
		"AWAY since 5s ago, https://a: connection refused, 3 pods on n, 0 look-ups of owners": {
			State: kube.StateAway, Since: now.Add(-5 * time.Second), Server: "https://a", Node: "n", Error: "connection refused", Pods: 3},
		"FORBIDDEN at https://a since 1m ago, 0 pods on n, 0 look-ups of owners; missing rules: get,list,watch pods": {
			State: kube.StateForbidden, Since: now.Add(-time.Minute), Server: "https://a", Node: "n", Missing: []string{"get,list,watch pods"}},
		"connecting to https://a for 1s, 0 pods on n, 0 look-ups of owners, no room for 1 pods and 2 look-ups": {
			State: kube.StateConnecting, Since: now.Add(-time.Second), Server: "https://a", Node: "n", Dropped: 1, Full: 2},
	} {
		if got := apiServerText(s, now); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
