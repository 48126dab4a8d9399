package kube_test

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/kube"
	"github.com/beesting-otel/beesting/internal/kube/kubetest"
)

// crowd sets n pods of as many ReplicaSets as there are tens, each of 12 KiB, which is
// what a pod with a few dozen variables, probes and its managed fields has.
func crowd(s *kubetest.Server, n int) []beesting.Pod {
	ids := make([]beesting.Pod, 0, n)
	for i := range n {
		app := "app-" + strconv.Itoa(i/10)
		s.Put("/apis/apps/v1/namespaces/web/replicasets/"+app, app, &kubetest.Owner{APIVersion: "apps/v1", Kind: "Deployment", Name: "of-" + app, UID: "d" + app})
		p := kubetest.Pod{
			Namespace: "web", Name: app + "-" + strconv.Itoa(i), UID: fmt.Sprintf("uid-%d", i), Start: start, Padding: 12 << 10,
			Labels: map[string]string{"team": "a", "app.kubernetes.io/name": app},
			Owner:  &kubetest.Owner{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: app, UID: app},
		}
		s.Set(p)
		ids = append(ids, beesting.Pod{Namespace: p.Namespace, Name: p.Name, UID: p.UID})
	}
	return ids
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestScale is what docs/scale.md has the numbers of: the server is in the same
// process, so memory is the heap's growth when the cluster is opened.
func TestScale(t *testing.T) {
	for _, n := range []int{110, 500} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			s := kubetest.New(t)
			ids := crowd(s, n)
			before := heap()
			began := time.Now()
			c := run(t, s)
			until(t, c, ids[0], func(*beesting.Workload, bool) bool { return c.Status().State == kube.StateConnected })
			known := time.Since(began)
			for _, id := range ids {
				until(t, c, id, resolved)
			}
			whole := time.Since(began)
			grown := int64(heap()) - int64(before) //nolint:gosec // small
			t.Logf("%d pods of 12 KiB, %d ReplicaSets: known after %v, with owners after %v; %d look-ups; heap +%d KiB, %d B a pod",
				n, n/10, known.Round(time.Millisecond), whole.Round(time.Millisecond), c.Status().Lookups, grown>>10, grown/int64(n))
			if c.Status().Lookups != uint64(n/10) {
				t.Errorf("%d look-ups for %d ReplicaSets", c.Status().Lookups, n/10)
			}
			if grown > int64(n)*12<<10/2 {
				t.Errorf("heap +%d KiB: pods are kept whole", grown>>10)
			}
		})
	}
}

// Objects as large as they can be are read one after the other, and what is kept of
// them is small, whatever their authors put in.
func TestHugeObjects(t *testing.T) {
	const huges = 8
	s := kubetest.New(t)
	huge := strings.Repeat("v", 1<<18)
	for i := range huges {
		s.Set(kubetest.Pod{
			Namespace: "evil", Name: "p" + strconv.Itoa(i), UID: "u" + strconv.Itoa(i), Padding: 1 << 20,
			Labels: map[string]string{"team": "a"}, Annotations: map[string]string{"example.com/contact": huge, "example.com/other": huge},
		})
	}
	before := heap()
	c := run(t, s)
	w := until(t, c, beesting.Pod{Namespace: "evil", Name: "p7", UID: "u7"}, resolved)
	if n := len(w.Annotations["example.com/contact"]); n > 4096 {
		t.Errorf("an annotation of %d bytes is kept", n)
	}
	grown := int64(heap()) - int64(before) //nolint:gosec // small
	t.Logf("heap +%d KiB for %d pods of 1.5 MiB", grown>>10, huges)
	if grown > 8<<20 {
		t.Errorf("heap +%d KiB for %d pods", grown>>10, huges)
	}
}

// BenchmarkWorkload is what each access costs.
func BenchmarkWorkload(b *testing.B) {
	s := kubetest.New(b)
	ids := crowd(s, 500)
	c, stop := open(b, s)
	defer stop()
	for _, id := range ids {
		for {
			if w, _ := c.Workload(id); w.Unresolved == "" {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.Workload(ids[i%len(ids)])
	}
}
