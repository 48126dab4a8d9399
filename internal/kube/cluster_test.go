package kube_test

import (
	"context"
	"encoding/pem"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/kube"
	"github.com/beesting-otel/beesting/internal/kube/kubetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// shop is a pod of a Deployment, as the runtime names it and as the API server does.
func shop(n string) (beesting.Pod, kubetest.Pod) {
	p := kubetest.Pod{
		Namespace: "web", Name: "shop-6d4cf56db6-" + n, UID: "uid-" + n, Start: start,
		Labels:      map[string]string{"team": "a", "tier": "front", "app.kubernetes.io/name": "shop"},
		Annotations: map[string]string{"example.com/contact": "x", "example.com/other": "y"},
		Owner:       &kubetest.Owner{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "shop-6d4cf56db6", UID: "rs"},
	}
	return beesting.Pod{Namespace: p.Namespace, Name: p.Name, UID: p.UID}, p
}

const replicaSet = "/apis/apps/v1/namespaces/web/replicasets/shop-6d4cf56db6"

func deployment() *kubetest.Owner {
	return &kubetest.Owner{APIVersion: "apps/v1", Kind: "Deployment", Name: "shop", UID: "deploy"}
}

// run opens a cluster that asks s, and runs it for as long as the test.
func run(t testing.TB, s *kubetest.Server, edit ...func(*kube.Options)) *kube.Cluster {
	t.Helper()
	c, stop := open(t, s, edit...)
	t.Cleanup(stop)
	return c
}

// open is run with an end of its own.
func open(t testing.TB, s *kubetest.Server, edit ...func(*kube.Options)) (c *kube.Cluster, stop func()) {
	t.Helper()
	o := kube.Options{
		Place: kube.Place{Kubeconfig: s.Kubeconfig(t), Getenv: func(string) string { return "" }},
		Node:  "worker-1", Labels: []string{"team"}, Annotations: []string{"example.com/contact"},
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	for _, e := range edit {
		e(&o)
	}
	c, err := kube.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { c.Run(ctx) })
	return c, func() { cancel(); wg.Wait() }
}

// until waits for an answer, which the word of a change comes before.
func until(t *testing.T, c *kube.Cluster, p beesting.Pod, ok func(w *beesting.Workload, soon bool) bool) *beesting.Workload {
	t.Helper()
	for deadline := time.After(time.Minute); ; {
		w, soon := c.Workload(p)
		if ok(w, soon) {
			return w
		}
		select {
		case <-c.Changed():
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatalf("never: %+v, soon %v, %+v", w, soon, c.Status())
		}
	}
}

func resolved(w *beesting.Workload, _ bool) bool {
	return w.Unresolved == "" && w.ClusterUID != "" && w.NodeUID != ""
}

func because(why beesting.Unresolved) func(*beesting.Workload, bool) bool {
	return func(w *beesting.Workload, _ bool) bool { return w.Unresolved == why }
}

func TestPodOfADeployment(t *testing.T) {
	for name, prepare := range map[string]func(*kubetest.Server){
		"streamed": func(*kubetest.Server) {},
		"listed":   (*kubetest.Server).Plain, // as by an API server before 1.27
	} {
		t.Run(name, func(t *testing.T) {
			s := kubetest.New(t)
			prepare(s)
			id, p := shop("a")
			s.Put(replicaSet, "rs", deployment())
			s.Set(p)
			c := run(t, s)
			w := until(t, c, id, resolved)
			if !w.StartTime.Equal(start) || w.ClusterUID != "cluster-uid" || w.NodeUID != "node-uid" {
				t.Errorf("got %+v", w)
			}
			if len(w.Owners) != 2 || w.Owners[0].Kind != "ReplicaSet" || w.Owners[1] != (beesting.Owner{Group: "apps", Kind: "Deployment", Name: "shop", UID: "deploy"}) {
				t.Errorf("owners %+v", w.Owners)
			}
			// Only what was asked for, and where a service's name can be.
			if len(w.Labels) != 2 || w.Labels["team"] != "a" || w.Labels["app.kubernetes.io/name"] != "shop" || len(w.Annotations) != 1 {
				t.Errorf("labels %v, annotations %v", w.Labels, w.Annotations)
			}
			p.Labels["team"] = "b"
			s.Set(p)
			until(t, c, id, func(w *beesting.Workload, _ bool) bool { return w.Labels["team"] == "b" })
			if got := c.Status(); got.State != kube.StateConnected || got.Pods != 1 || len(got.Missing) != 0 {
				t.Errorf("status %+v", got)
			}
			s.Delete(p.Namespace, p.Name)
			time.Sleep(100 * time.Millisecond)
			until(t, c, id, resolved) // its token can still be touched
		})
	}
}

// All pods of a Deployment cost one look-up.
func TestLookupsAreShared(t *testing.T) {
	s := kubetest.New(t)
	s.Put(replicaSet, "rs", deployment())
	ids := make([]beesting.Pod, 0, 500)
	for i := range 500 {
		id, p := shop(string(rune('a'+i%26)) + strings.Repeat("x", i/26))
		s.Set(p)
		ids = append(ids, id)
	}
	c := run(t, s)
	for _, id := range ids {
		until(t, c, id, resolved)
	}
	if n := s.Asked(replicaSet); n != 1 {
		t.Errorf("%d look-ups for 500 pods of one Deployment", n)
	}
}

func TestOtherOwners(t *testing.T) {
	s := kubetest.New(t)
	s.Put("/apis/batch/v1/namespaces/web/jobs/report-1", "job", &kubetest.Owner{APIVersion: "batch/v1", Kind: "CronJob", Name: "report", UID: "cron"})
	s.Put("/apis/apps/v1/namespaces/web/replicasets/canary-1", "rs", &kubetest.Owner{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Name: "canary", UID: "ro"})
	for _, tt := range []struct {
		name  string
		owner *kubetest.Owner
		want  string
	}{
		{"bare", nil, ""},
		{"stateful", &kubetest.Owner{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "db", UID: "1"}, "apps/StatefulSet/db"},
		{"cron", &kubetest.Owner{APIVersion: "batch/v1", Kind: "Job", Name: "report-1", UID: "job"}, "batch/Job/report-1 batch/CronJob/report"},
		{"rollout", &kubetest.Owner{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "canary-1", UID: "rs"}, "apps/ReplicaSet/canary-1 argoproj.io/Rollout/canary"},
		{"controller", &kubetest.Owner{APIVersion: "v1", Kind: "ReplicationController", Name: "old", UID: "2"}, "/ReplicationController/old"},
		// What is named like the kinds that are followed, in a group that isn't theirs.
		{"stranger", &kubetest.Owner{APIVersion: "example.com/v1", Kind: "ReplicaSet", Name: "x", UID: "3"}, "example.com/ReplicaSet/x"},
	} {
		s.Set(kubetest.Pod{Namespace: "web", Name: tt.name, UID: tt.name, Owner: tt.owner})
		defer func() {
			c := run(t, s)
			w := until(t, c, beesting.Pod{Namespace: "web", Name: tt.name, UID: tt.name}, resolved)
			var got []string
			for _, o := range w.Owners {
				got = append(got, o.Group+"/"+o.Kind+"/"+o.Name)
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("%s: owners %v, want %s", tt.name, got, tt.want)
			}
		}()
	}
}

// A static pod has the uid at the API server that its mirror has, and another one at
// the runtime.
func TestStaticPod(t *testing.T) {
	s := kubetest.New(t)
	s.Set(kubetest.Pod{Namespace: "kube-system", Name: "etcd-worker-1", UID: "mirror", Annotations: map[string]string{"kubernetes.io/config.mirror": "hash"}, Start: start})
	// Somebody else's pod that claims the same.
	s.Set(kubetest.Pod{Namespace: "evil", Name: "x", UID: "other", Annotations: map[string]string{"kubernetes.io/config.mirror": "hash"}})
	w := until(t, run(t, s), beesting.Pod{Namespace: "kube-system", Name: "etcd-worker-1", UID: "hash"}, resolved)
	if !w.StartTime.Equal(start) {
		t.Errorf("got %+v", w)
	}
}

func TestAwayCostsNoTime(t *testing.T) {
	s := kubetest.New(t)
	id, p := shop("a")
	s.Put(replicaSet, "rs", deployment())
	s.Set(p)
	c := run(t, s)
	until(t, c, id, resolved)
	s.Fail()
	s.CloseClientConnections()
	other, q := shop("b")
	until(t, c, other, func(w *beesting.Workload, soon bool) bool { return w.Unresolved == beesting.UnresolvedAway && !soon })
	if w, soon := c.Workload(id); w.Unresolved != "" || len(w.Owners) != 2 || soon {
		t.Errorf("what was known is gone: %+v", w)
	}
	if got := c.Status(); got.State != kube.StateAway || got.Error == "" {
		t.Errorf("status %+v", got)
	}
	s.Set(q)
	s.Recover()
	until(t, c, other, resolved)
	if got := c.Status(); got.State != kube.StateConnected {
		t.Errorf("status %+v", got)
	}
}

func TestRefusedConnection(t *testing.T) {
	s := kubetest.New(t)
	id, _ := shop("a")
	c := run(t, s, func(o *kube.Options) { s.CloseClientConnections(); s.Close() })
	until(t, c, id, func(w *beesting.Workload, soon bool) bool { return w.Unresolved == beesting.UnresolvedAway && !soon })
}

// An API server that takes requests and says nothing is waited for at the start, and
// then not any more.
func TestHangingServer(t *testing.T) {
	s := kubetest.New(t)
	s.Hang()
	id, p := shop("a")
	s.Set(p)
	began := time.Now()
	c := run(t, s)
	if w, soon := c.Workload(id); w.Unresolved != beesting.UnresolvedLate || !soon {
		t.Errorf("at the start: %+v, soon %v", w, soon)
	}
	until(t, c, id, func(w *beesting.Workload, soon bool) bool { return w.Unresolved == beesting.UnresolvedAway && !soon })
	if d := time.Since(began); d < time.Second || d > 5*time.Second {
		t.Errorf("given up after %v", d)
	}
	s.Put(replicaSet, "rs", deployment())
	s.Recover()
	until(t, c, id, resolved)
}

func TestForbidden(t *testing.T) {
	s := kubetest.New(t)
	s.Forbid("pods")
	s.Forbid("nodes")
	id, p := shop("a")
	s.Set(p)
	s.Put(replicaSet, "rs", deployment())
	c := run(t, s)
	until(t, c, id, func(w *beesting.Workload, soon bool) bool {
		return w.Unresolved == beesting.UnresolvedForbidden && !soon
	})
	missing := func() string { return strings.Join(c.Status().Missing, "; ") }
	until(t, c, id, func(*beesting.Workload, bool) bool { return missing() == "get,list,watch pods" })
	if got := c.Status(); got.State != kube.StateForbidden {
		t.Errorf("status %+v", got)
	}
	s.Allow("pods")
	until(t, c, id, func(w *beesting.Workload, _ bool) bool { return w.Unresolved == "" && w.NodeUID == "" })
	if got := missing(); got != "" {
		t.Errorf("missing %s", got)
	}
}

func TestForbiddenOwners(t *testing.T) {
	s := kubetest.New(t)
	s.Forbid("namespaces/web/replicasets")
	id, p := shop("a")
	s.Set(p)
	c := run(t, s)
	w := until(t, c, id, because(beesting.UnresolvedForbidden))
	if len(w.Owners) != 1 || !w.StartTime.Equal(start) {
		t.Errorf("got %+v", w)
	}
	if got := c.Status(); strings.Join(got.Missing, "; ") != "get replicasets.apps" || got.State != kube.StateConnected || got.Failed[beesting.UnresolvedForbidden] != 1 {
		t.Errorf("status %+v", got)
	}
}

// A pod may be there before the API server has told of it.
func TestPodThatComesLate(t *testing.T) {
	s := kubetest.New(t)
	s.Put(replicaSet, "rs", deployment())
	c := run(t, s)
	id, p := shop("a")
	until(t, c, id, func(w *beesting.Workload, soon bool) bool { return w.Unresolved == beesting.UnresolvedAbsent && soon })
	s.Set(p)
	until(t, c, id, resolved)
}

// What the API server no longer remembers is asked for anew.
func TestGone(t *testing.T) {
	s := kubetest.New(t)
	s.Put(replicaSet, "rs", deployment())
	id, p := shop("a")
	s.Set(p)
	c := run(t, s)
	until(t, c, id, resolved)
	s.Forget()
	other, q := shop("b")
	s.Set(q)
	until(t, c, other, resolved)
}

// References to owners are whatever the author of a pod wrote.
func TestHostileReferences(t *testing.T) {
	s := kubetest.New(t)
	s.Put("/api/v1/namespaces/kube-system/secrets/admin", "stolen", nil)
	s.Put(replicaSet, "rs", deployment())
	for name, owner := range map[string]kubetest.Owner{
		"path":  {APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "../../../../../api/v1/namespaces/kube-system/secrets/admin", UID: "stolen"},
		"dots":  {APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "..", UID: "u"},
		"query": {APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "x?y", UID: "u"},
		"long":  {APIVersion: "apps/v1", Kind: "ReplicaSet", Name: strings.Repeat("n", 1<<20), UID: "u"},
		// Another namespace's ReplicaSet, by its uid.
		"uid": {APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "mine", UID: "rs"},
	} {
		s.Set(kubetest.Pod{Namespace: "evil", Name: name, UID: name, Owner: &owner})
	}
	c := run(t, s)
	for _, name := range []string{"path", "dots", "query", "long"} {
		w := until(t, c, beesting.Pod{Namespace: "evil", Name: name, UID: name}, resolved)
		if len(w.Owners) > 1 {
			t.Errorf("%s: owners %+v", name, w.Owners)
		}
	}
	until(t, c, beesting.Pod{Namespace: "evil", Name: "uid", UID: "uid"}, because(beesting.UnresolvedAbsent))
	id, p := shop("a")
	s.Set(p)
	until(t, c, id, resolved) // what the other one claims of its ReplicaSet doesn't count
	if n := s.Asked("/api/v1/namespaces/kube-system/secrets/admin"); n != 0 {
		t.Error("a secret was asked for")
	}
}

func TestNoPod(t *testing.T) {
	if w, soon := run(t, kubetest.New(t)).Workload(beesting.Pod{}); w != nil || soon {
		t.Errorf("got %+v, %v", w, soon)
	}
}

func TestPlace(t *testing.T) {
	none := func(string) string { return "" }
	if (kube.Place{Getenv: none, ServiceAccount: t.TempDir()}).Given() {
		t.Error("there is nothing")
	}
	if _, err := kube.Open(kube.Options{Node: "n", Place: kube.Place{Getenv: none, ServiceAccount: t.TempDir()}}); err == nil {
		t.Error("opened without a way to the API server")
	}
	if _, err := kube.Open(kube.Options{Node: "n", Place: kube.Place{Kubeconfig: filepath.Join(t.TempDir(), "absent"), Getenv: none}}); err == nil {
		t.Error("opened with a kubeconfig that isn't there")
	}
}

// In a pod, everything comes from the kubelet: address, CA and token.
func TestServiceAccount(t *testing.T) {
	s := kubetest.New(t)
	secure := httptest.NewTLSServer(s)
	t.Cleanup(secure.Close) // after the cluster
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	for name, data := range map[string][]byte{"ca.crt": ca, "token": []byte("t")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at, err := url.Parse(secure.URL)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"KUBERNETES_SERVICE_HOST": at.Hostname(), "KUBERNETES_SERVICE_PORT": at.Port()}
	place := kube.Place{Getenv: func(name string) string { return env[name] }, ServiceAccount: dir}
	if !place.Given() {
		t.Fatal("not seen")
	}
	id, p := shop("a")
	s.Set(p)
	s.Put(replicaSet, "rs", deployment())
	until(t, run(t, s, func(o *kube.Options) { o.Place = place }), id, resolved)
}
