//go:build integration

package build

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/beesting-otel/beesting/test/collector"
)

// apiServer is the little of a Kubernetes API server that k8s_attributes asks
// for: a list of pods, and watches in which nothing happens. A real one takes
// minutes to build, and what is tested here is what the processor makes of our
// Resource, not what Kubernetes says.
type apiServer struct {
	pods []map[string]any
	done chan struct{} // ends the watches

	mu    sync.Mutex
	asked []string
}

func startAPIServer(t *testing.T, pods ...map[string]any) (*apiServer, []string) {
	t.Helper()
	a := &apiServer{pods: pods, done: make(chan struct{})}
	server := httptest.NewTLSServer(a)
	t.Cleanup(func() {
		close(a.done)
		server.Close()
	})
	host, port, _ := net.SplitHostPort(strings.TrimPrefix(server.URL, "https://"))
	return a, []string{"K8S_AUTH_TYPE=none", "KUBERNETES_SERVICE_HOST=" + host, "KUBERNETES_SERVICE_PORT=" + port}
}

func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query, _ := url.QueryUnescape(r.URL.RawQuery)
	a.mu.Lock()
	a.asked = append(a.asked, r.URL.Path+"?"+query)
	a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	q := r.URL.Query()
	switch {
	case q.Get("sendInitialEvents") == "true": // of newer servers; a client falls back to a list
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`)
	case q.Get("watch") != "":
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
		case <-a.done:
		}
	case r.URL.Path == "/api/v1/pods":
		_ = json.NewEncoder(w).Encode(map[string]any{
			"kind": "PodList", "apiVersion": "v1", "metadata": map[string]any{"resourceVersion": "1"}, "items": a.pods,
		})
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
	}
}

// pod is one whose containers the kubelet has said nothing of yet, as when its
// first container reads a token in its first moment.
func pod(namespace, name, uid, owner, ownerName, ip string) map[string]any {
	return map[string]any{
		"metadata": map[string]any{
			"name": name, "namespace": namespace, "uid": uid, "creationTimestamp": "2026-11-23T18:00:00Z",
			"labels": map[string]any{"pod-template-hash": "6d4cf56db6"},
			"ownerReferences": []any{map[string]any{
				"apiVersion": "apps/v1", "kind": owner, "name": ownerName, "uid": "owner-of-" + uid, "controller": true,
			}},
		},
		"spec":   map[string]any{"nodeName": "worker-1", "containers": []any{map[string]any{"name": "shop", "image": "shop"}}},
		"status": map[string]any{"phase": "Pending", "startTime": "2026-11-23T18:00:01Z", "podIP": ip},
	}
}

// The pod of the golden record, as the API server has it.
var shop = struct{ namespace, name, uid string }{"web", "shop-6d4cf56db6-x7k2p", "1b6e2f0c-6f5e-4a59-9d0a-1a5b3c2d4e5f"}

func startKubernetes(t *testing.T, more string, pods ...map[string]any) (*node, *apiServer) {
	a, env := startAPIServer(t, pods...)
	const wait = "processors:\n  k8s_attributes:\n    wait_for_metadata: true\n    wait_for_metadata_timeout: 60s\n"
	return startNode(t, []string{"node-k8s"}, wait+more, env...), a
}

func send(t *testing.T, n *node, body string) collector.Log {
	t.Helper()
	before, err := n.back.Logs()
	if err != nil {
		t.Fatal(err)
	}
	if code := n.post(t, []byte(body)); code != http.StatusOK {
		t.Fatalf("%d", code)
	}
	logs := n.arrived(t, len(before)+1)
	return logs[len(logs)-1]
}

// unresolved takes out of a request what the receiver has from the API server, as
// where it may not ask that.
func unresolved(t *testing.T, request []byte) string {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(request, &all); err != nil {
		t.Fatal(err)
	}
	for _, rl := range all["resourceLogs"].([]any) {
		resource := rl.(map[string]any)["resource"].(map[string]any)
		resource["attributes"] = slices.DeleteFunc(resource["attributes"].([]any), func(kv any) bool {
			switch kv.(map[string]any)["key"] {
			case "k8s.deployment.name", "k8s.replicaset.name", "k8s.pod.start_time", "k8s.cluster.uid", "k8s.node.uid":
				return true
			}
			return false
		})
	}
	b, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestKubernetesAttributes(t *testing.T) {
	n, a := startKubernetes(t, "",
		pod(shop.namespace, shop.name, shop.uid, "ReplicaSet", "shop-6d4cf56db6", ""))
	record := unresolved(t, access(t, "workload-read", 0, 1))
	filled := send(t, n, record)
	if got := filled.Resource["k8s.deployment.name"]; got != "shop" {
		t.Errorf("k8s.deployment.name is %v", got)
	}
	if got := filled.Resource["k8s.pod.start_time"]; got == nil {
		t.Errorf("no k8s.pod.start_time: %v", filled.Resource)
	}
	for name, want := range map[string]string{
		"service.name": "shop-eu", "k8s.pod.name": shop.name, "k8s.namespace.name": "web",
		"k8s.container.name": "shop", "k8s.node.name": "worker-1", "k8s.pod.uid": shop.uid,
	} {
		if filled.Resource[name] != want {
			t.Errorf("%s is %v, want what the receiver said, %s", name, filled.Resource[name], want)
		}
	}
	// As of a static pod, whose uid at the runtime is not that of its mirror.
	unknown := strings.ReplaceAll(record, shop.uid, "another-uid")
	if got := send(t, n, unknown).Resource; got["k8s.deployment.name"] != nil || got["k8s.pod.start_time"] != nil || got["k8s.pod.uid"] != "another-uid" {
		t.Errorf("a pod that the API server knows by another uid: %v", got)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, request := range a.asked {
		path, query, _ := strings.Cut(request, "?")
		if path != "/api/v1/pods" || !strings.Contains(query, "spec.nodeName=worker-1") {
			t.Errorf("asked for %s: node-k8s.yaml says pods of this node, and nothing else", request)
		}
	}
}

// Why not by connection: at a gateway that is the node's Collector, and what the
// token's pod lacks is filled in from the Collector's.
func TestKubernetesAttributesByConnection(t *testing.T) {
	n, _ := startKubernetes(t, "    pod_association: [{sources: [{from: connection}]}]\n",
		pod(shop.namespace, shop.name, shop.uid, "ReplicaSet", "shop-6d4cf56db6", "10.0.0.7"),
		pod("observability", "node-collector-5x2fz", "c0", "DaemonSet", "node-collector", "127.0.0.1"))
	got := send(t, n, unresolved(t, access(t, "workload-read", 0, 1))).Resource
	if got["k8s.pod.name"] != shop.name || got["k8s.daemonset.name"] != "node-collector" || got["k8s.deployment.name"] != nil {
		t.Errorf("by connection the resource became %v", got)
	}
}

// Without an API server accesses are passed on as they are.
func TestKubernetesAttributesWithoutAPIServer(t *testing.T) {
	address := freeAddress(t)
	host, port, _ := net.SplitHostPort(address)
	n := startNode(t, []string{"node-k8s"}, "",
		"K8S_AUTH_TYPE=none", "KUBERNETES_SERVICE_HOST="+host, "KUBERNETES_SERVICE_PORT="+port)
	if got := send(t, n, string(access(t, "workload-read", 0, 1))).Resource; got["k8s.pod.uid"] != shop.uid {
		t.Errorf("%v", got)
	}
}
