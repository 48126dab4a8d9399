package exporter

import (
	"fmt"
	"strings"
	"testing"

	"github.com/beesting-otel/beesting"
)

// What comes later makes another resource: one that was made before isn't used for it.
func TestLateWorkloadIsAnotherResource(t *testing.T) {
	m := sampleMapping(t)
	with, without := sampleAccess(), sampleAccess()
	without.Placement.Container.Pod.Workload = &beesting.Workload{Unresolved: beesting.UnresolvedLate}
	a, b := m.record(&with), m.record(&without)
	if resourceKey(a.resource) == resourceKey(b.resource) {
		t.Error("the same resource")
	}
	if got := asMap(t, a.resource); got["k8s.deployment.name"] != "shop" || got["k8s.replicaset.name"] != "shop-6d4cf56db6" || got["k8s.pod.start_time"] != "2026-11-23T16:04:05.123456789Z" {
		t.Errorf("resource %v", got)
	}
	if got := asMap(t, b.log); got["honeytoken.k8s.unresolved"] != "late" {
		t.Errorf("log %v", got)
	}
	if got := asMap(t, a.log); got["honeytoken.k8s.unresolved"] != nil {
		t.Errorf("log %v", got)
	}
}

// Without the API server, labels and annotations are those of the pod's creation,
// which the runtime has.
func TestLabelsWithoutAPIServer(t *testing.T) {
	a := sampleAccess()
	a.Placement.Container.Pod.Labels["team"] = "of the runtime"
	if got := asMap(t, sampleMapping(t).record(&a).resource); got["k8s.pod.label.team"] != "checkout" || got["k8s.pod.annotation.example.com/contact"] != "shop@example.com" {
		t.Errorf("with it: %v", got)
	}
	a.Placement.Container.Pod.Workload = nil
	got := asMap(t, sampleMapping(t).record(&a).resource)
	if got["k8s.pod.label.team"] != "of the runtime" {
		t.Errorf("without it: %v", got)
	}
	for key := range got {
		if strings.Contains(key, "note") {
			t.Errorf("%s was not asked for", key)
		}
	}
}

// Loki refuses for good what has more than 128 attributes or 64 KiB of them.
func TestPodRowsAreBounded(t *testing.T) {
	var labels, annotations []string
	a := hostile()
	a.Placement.Container.Pod.Labels, a.Placement.Container.Pod.Workload.Annotations = map[string]string{}, map[string]string{}
	for i := range 100 {
		key := fmt.Sprintf("example.com/k%d", i)
		labels, annotations = append(labels, key), append(annotations, key)
		a.Placement.Container.Pod.Labels[key] = strings.Repeat("l", 63)
		a.Placement.Container.Pod.Workload.Annotations[key] = strings.Repeat("a", 1<<18)
	}
	m := mustMapping(t, MappingOptions{PodLabels: labels, PodAnnotations: annotations})
	r := m.record(&a)
	bytes := 0
	for _, kv := range r.resource {
		if strings.HasPrefix(string(kv.Key), "k8s.pod.annotation.") || strings.HasPrefix(string(kv.Key), "k8s.pod.label.") {
			bytes += len(kv.Value.AsString())
		}
	}
	if n := len(r.resource) + len(r.log); n > 128 || bytes > 20<<10 {
		t.Errorf("%d attributes, labels and annotations of %d bytes", n, bytes)
	}
}
