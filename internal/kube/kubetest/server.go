// Package kubetest is an API server for tests, as far as the agent asks one: pods by
// list and watch, and single objects. It is there for what a real one can't be had to
// do at will: to be slow, to refuse, to forget, to tell of a pod late.
package kubetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Owner is a controller's reference.
type Owner struct{ APIVersion, Kind, Name, UID string }

// Pod is what a test says of one. Padding is that many bytes of environment in its
// specification.
type Pod struct {
	Namespace, Name, UID string
	Labels, Annotations  map[string]string
	Owner                *Owner
	Start                time.Time
	Padding              int
}

// Server is the API server of one node. Safe for concurrent use.
type Server struct {
	*httptest.Server

	mu       sync.Mutex
	pods     map[string]json.RawMessage
	objects  map[string]any // by path
	forbid   map[string]bool
	asked    map[string]int // by path
	events   []event
	version  int
	oldest   int // watches from before it are answered with 410
	hang     chan struct{}
	plain    bool
	failing  bool
	wake     chan struct{} // closed at every change
	watchers int
}

type event struct {
	version int
	kind    string
	object  json.RawMessage
}

// New starts one that is stopped with the test. It listens without TLS.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{
		pods: map[string]json.RawMessage{}, objects: map[string]any{}, forbid: map[string]bool{}, asked: map[string]int{},
		version: 100, wake: make(chan struct{}),
	}
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() {
		s.Recover()
		s.CloseClientConnections()
		s.Close()
	})
	s.Put("/api/v1/namespaces/kube-system", "cluster-uid", nil)
	s.Put("/api/v1/nodes/worker-1", "node-uid", nil)
	return s
}

// Kubeconfig writes a file that leads to the server.
func (s *Server) Kubeconfig(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: %q}}], contexts: [{name: c, context: {cluster: c, user: u}}], users: [{name: u, user: {token: t}}]}`, s.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Put makes an object known whose metadata can be asked for by its path.
func (s *Server) Put(path, uid string, owner *Owner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	meta := map[string]any{"name": filepath.Base(path), "uid": uid}
	if owner != nil {
		meta["ownerReferences"] = owners(owner)
	}
	s.objects[path] = map[string]any{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": meta}
}

func owners(o *Owner) []any {
	return []any{map[string]any{"apiVersion": o.APIVersion, "kind": o.Kind, "name": o.Name, "uid": o.UID, "controller": true}}
}

// Set creates or changes a pod, Delete removes it.
func (s *Server) Set(p Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, kind := p.Namespace+"/"+p.Name, "ADDED"
	if s.pods[key] != nil {
		kind = "MODIFIED"
	}
	s.version++
	meta := map[string]any{
		"namespace": p.Namespace, "name": p.Name, "uid": p.UID, "resourceVersion": strconv.Itoa(s.version),
		"labels": p.Labels, "annotations": p.Annotations,
	}
	if p.Owner != nil {
		meta["ownerReferences"] = owners(p.Owner)
	}
	status := map[string]any{"phase": "Running"}
	if !p.Start.IsZero() {
		status["startTime"] = p.Start.Format(time.RFC3339)
	}
	env := []any{map[string]any{"name": "SECRET", "value": "of the workload " + strings.Repeat("x", p.Padding)}}
	s.pods[key] = encoded(map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": meta, "status": status,
		"spec": map[string]any{"nodeName": "worker-1", "containers": []any{map[string]any{"name": "c", "env": env}}},
	})
	s.tell(event{s.version, kind, s.pods[key]})
}

// encoded is v as JSON: once, as it is sent more often.
func encoded(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("null") // nothing here can't be encoded
	}
	return b
}

// Delete removes a pod.
func (s *Server) Delete(namespace, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := namespace + "/" + name
	if old := s.pods[key]; old != nil {
		delete(s.pods, key)
		s.version++
		s.tell(event{s.version, "DELETED", old})
	}
}

func (s *Server) tell(e event) {
	s.events = append(s.events, e)
	close(s.wake)
	s.wake = make(chan struct{})
}

// Forbid refuses a resource ("pods"), Allow takes that back.
func (s *Server) Forbid(resource string) { s.edit(func() { s.forbid[resource] = true }) }

// Allow takes Forbid back.
func (s *Server) Allow(resource string) { s.edit(func() { delete(s.forbid, resource) }) }

// Fail has everything answered with 500.
func (s *Server) Fail() { s.edit(func() { s.failing = true }) }

// Plain has the server not know the streaming of what there is.
func (s *Server) Plain() { s.edit(func() { s.plain = true }) }

// Hang has nothing answered, until Recover.
func (s *Server) Hang() { s.edit(func() { s.hang = make(chan struct{}) }) }

// Recover ends Hang and Fail.
func (s *Server) Recover() {
	s.edit(func() {
		if s.hang != nil {
			close(s.hang)
		}
		s.hang, s.failing = nil, false
	})
}

// Forget has the server not remember what was before now, and ends its watches: who
// watched hears 410 Gone.
func (s *Server) Forget() {
	s.edit(func() { s.version++; s.oldest, s.events = s.version, nil })
	s.CloseClientConnections()
}

func (s *Server) edit(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// Asked says how often a path was asked for.
func (s *Server) Asked(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[path]
}

// Watchers is how many watches there are.
func (s *Server) Watchers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watchers
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked[r.URL.Path]++
	hang, failing, object := s.hang, s.failing, s.objects[r.URL.Path]
	forbidden := slices.ContainsFunc(slices.Collect(maps.Keys(s.forbid)), func(f string) bool { return strings.Contains(r.URL.Path, "/"+f) })
	plain := s.plain
	s.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-r.Context().Done():
			return
		}
	}
	q := r.URL.Query()
	switch {
	case failing:
		refuse(w, http.StatusInternalServerError, "InternalError")
	case forbidden:
		refuse(w, http.StatusForbidden, "Forbidden")
	case r.URL.Path == "/api/v1/pods" && q.Get("fieldSelector") != "spec.nodeName=worker-1":
		refuse(w, http.StatusForbidden, "Forbidden") // more was asked for than there is a need for
	case r.URL.Path == "/api/v1/pods" && q.Get("watch") != "" && q.Get("sendInitialEvents") == "true" && plain:
		refuse(w, http.StatusUnprocessableEntity, "Invalid")
	case r.URL.Path == "/api/v1/pods" && q.Get("watch") != "":
		s.watch(w, r)
	case r.URL.Path == "/api/v1/pods":
		s.list(w)
	case object != nil:
		answer(w, http.StatusOK, object)
	default:
		refuse(w, http.StatusNotFound, "NotFound")
	}
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // who asked may have gone
}

func status(code int, reason string) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": reason, "code": code, "message": reason + " by the test"}
}

func refuse(w http.ResponseWriter, code int, reason string) { answer(w, code, status(code, reason)) }

func (s *Server) list(w http.ResponseWriter) {
	s.mu.Lock()
	items := make([]json.RawMessage, 0, len(s.pods))
	for _, p := range s.pods {
		items = append(items, p)
	}
	version := strconv.Itoa(s.version)
	s.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{"apiVersion": "v1", "kind": "PodList", "metadata": map[string]any{"resourceVersion": version}, "items": items})
}

func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	from, _ := strconv.Atoi(q.Get("resourceVersion")) // "" is 0
	w.Header().Set("Content-Type", "application/json")
	send := func(kind string, object json.RawMessage) {
		_, _ = fmt.Fprintf(w, "{\"type\": %q, \"object\": %s}\n", kind, object) // who asked may have gone
	}
	s.mu.Lock()
	s.watchers++
	if q.Get("sendInitialEvents") == "true" {
		from = s.version
		for _, p := range s.pods {
			send("ADDED", p)
		}
		send("BOOKMARK", encoded(map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{
			"resourceVersion": strconv.Itoa(from), "annotations": map[string]any{"k8s.io/initial-events-end": "true"},
		}}))
	}
	s.mu.Unlock()
	defer s.edit(func() { s.watchers-- })
	for {
		s.mu.Lock()
		if from < s.oldest {
			s.mu.Unlock()
			send("ERROR", encoded(status(http.StatusGone, "Expired")))
			return
		}
		for _, e := range s.events {
			if e.version > from {
				send(e.kind, e.object)
				from = e.version
			}
		}
		wake := s.wake
		s.mu.Unlock()
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		select {
		case <-wake:
		case <-r.Context().Done():
			return
		}
	}
}
