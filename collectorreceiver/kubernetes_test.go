//go:build linux

package collectorreceiver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/agent"
	"github.com/beesting-otel/beesting/internal/kube/kubetest"
)

// armInPod watches placement 1, in a pod of a Deployment that the API server knows.
func (h *testHost) armInPod(s *kubetest.Server) {
	h.t.Helper()
	s.Put("/apis/apps/v1/namespaces/web/replicasets/shop-1", "rs", &kubetest.Owner{APIVersion: "apps/v1", Kind: "Deployment", Name: "shop", UID: "d"})
	s.Set(kubetest.Pod{
		Namespace: "web", Name: "shop-1-a", UID: "uid", Labels: map[string]string{"team": "a", "tier": "front"},
		Owner: &kubetest.Owner{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "shop-1", UID: "rs"},
	})
	f, err := os.Create(filepath.Join(h.dir, "token"))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = f.Close() })
	err = h.core().Arm(beesting.Placement{
		ID: 1, TokenID: "canary", Token: beesting.Token{Name: "aws", Path: "/a"},
		Container: &beesting.Container{ID: "c", Pod: beesting.Pod{Namespace: "web", Name: "shop-1-a", UID: "uid"}},
	}, f)
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *testHost) core() *agent.Core {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.nodes {
		return n.engine.core
	}
	return nil
}

// place is the resource of the i-th log record.
func (p *pipelines) place(i int) map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.places[i]
}

// What the API server says is in the receiver's telemetry as in the agent's, and what
// is to be told can change without the sensor being attached again.
func TestWorkloads(t *testing.T) {
	s := kubetest.New(t)
	h := newTestHost(t)
	p := &pipelines{}
	cfg := h.config()
	cfg.NodeName = "worker-1"
	cfg.Kubernetes = KubernetesConfig{Enabled: "on", Kubeconfig: s.Kubeconfig(t), Labels: []string{"team"}, WaitForPod: time.Second}
	c := h.mustLoad(p, cfg, signalLogs)
	h.armInPod(s)
	h.touch(1)
	p.want(t, 1, 1, signalLogs)
	got := p.place(0)
	if got["k8s.deployment.name"] != "shop" || got["service.name"] != "shop" || got["k8s.pod.label.team"] != "a" || got["k8s.pod.label.tier"] != nil {
		t.Errorf("resource %v", got)
	}
	c.shutdown()

	next := *cfg
	next.Kubernetes.Labels = []string{"tier"}
	c = h.mustLoad(p, &next, signalLogs)
	h.touch(1)
	p.want(t, 1, 2, signalLogs)
	if got := p.place(1); got["k8s.pod.label.tier"] != "front" || got["k8s.pod.label.team"] != nil || got["k8s.deployment.name"] != "shop" {
		t.Errorf("resource %v", got)
	}
	if len(h.sensors) != 1 {
		t.Errorf("%d sensors", len(h.sensors))
	}
	c.shutdown()
}

// An API server that never answers delays nothing but by the wait that was set.
func TestWorkloadsWithoutAPIServer(t *testing.T) {
	s := kubetest.New(t)
	s.Hang()
	h := newTestHost(t)
	p := &pipelines{}
	cfg := h.config()
	cfg.NodeName = "worker-1"
	cfg.Kubernetes = KubernetesConfig{Enabled: "on", Kubeconfig: s.Kubeconfig(t), WaitForPod: 100 * time.Millisecond}
	begin := time.Now()
	c := h.mustLoad(p, cfg, signalLogs)
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("started after %v", d)
	}
	h.armInPod(s)
	n := h.touch(20)
	p.want(t, 1, n, signalLogs)
	if got := p.place(0); got["k8s.pod.name"] != "shop-1-a" || got["k8s.deployment.name"] != nil {
		t.Errorf("resource %v", got)
	}
	c.shutdown()
}

func TestWorkloadsWithoutAWay(t *testing.T) {
	h := newTestHost(t)
	cfg := h.config()
	cfg.Kubernetes.Enabled = "on"
	c, err := h.load(&pipelines{}, cfg)
	if err == nil || !strings.Contains(err.Error(), "kubernetes: no kubeconfig is given") {
		t.Errorf("start: %v", err)
	}
	c.shutdown()
}
