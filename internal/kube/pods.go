package kube

import (
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/beesting-otel/beesting"
)

const (
	// maxPods bounds the pods that are known. A node runs a few hundred at most;
	// those of finished Jobs stay on it until they are collected.
	maxPods = 4096
	// maxGone bounds how many deleted pods are remembered: their tokens can be
	// touched until the last process has ended, and by others after that.
	maxGone = 512
)

// pod is what is kept of one. It is not changed.
type pod struct {
	id                  podID
	start               time.Time
	owner               *beesting.Owner // its controller; nil for none
	labels, annotations map[string]string
}

// podID names a pod as the container runtime does. The uid alone would do, but
// whoever may create pods can claim another one's uid, see uidOf.
type podID struct{ namespace, name, uid string }

func idOf(o *object) podID { return podID{o.Namespace, o.Name, uidOf(o)} }

// pods is the store that the watch fills. Safe for concurrent use.
type pods struct {
	labels, annotations []string
	// added is called with each pod that is new or another one, changed after
	// anything has; both without the lock.
	added   func(*pod)
	synced  func()
	changed func()

	mu      sync.Mutex
	byID    map[podID]*pod
	gone    *lru[podID, *pod]
	dropped uint64
}

var (
	_ cache.ReflectorStore    = (*pods)(nil)
	_ cache.TransformingStore = (*pods)(nil)
)

func newPods(labels, annotations []string) *pods {
	return &pods{
		labels: append(slices.Clone(labels), serviceLabels()...), annotations: append(slices.Clone(annotations), serviceAnnotations()...),
		byID: map[podID]*pod{}, gone: newLRU[podID, *pod](maxGone),
	}
}

// serviceLabels and serviceAnnotations are where a service's name can be; see
// exporter's serviceName.
func serviceLabels() []string {
	return []string{beesting.LabelInstance, beesting.LabelName}
}

func serviceAnnotations() []string { return []string{beesting.AnnotationServiceName} }

// Transformer implements cache.TransformingStore: the reflector keeps all objects of a
// stream until the last of what there is has come, and its authors decide how large
// they are.
func (s *pods) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) {
		if o, ok := obj.(*object); ok {
			o.ManagedFields, o.Finalizers = nil, nil
			o.Labels, o.Annotations = wanted(o.Labels, s.labels), wanted(o.Annotations, append(slices.Clone(s.annotations), annotationMirror))
			o.OwnerReferences = slices.DeleteFunc(o.OwnerReferences, func(r metav1.OwnerReference) bool { return r.Controller == nil || !*r.Controller })
		}
		return obj, nil
	}
}

// trim keeps of a pod what is told of it.
func (s *pods) trim(o *object) *pod {
	p := &pod{
		id:     idOf(o),
		labels: wanted(o.Labels, s.labels), annotations: wanted(o.Annotations, s.annotations),
	}
	if o.Status.StartTime != nil {
		p.start = o.Status.StartTime.UTC()
	}
	p.owner = controller(o.OwnerReferences)
	return p
}

// maxReference bounds each part of a reference to an owner, in bytes: a name has 253
// at most, and the API server checks only that there is one.
const maxReference = 253

// controller is the owner that manages an object. Others only have it collected
// with them.
func controller(refs []metav1.OwnerReference) *beesting.Owner {
	for _, r := range refs {
		if r.Controller == nil || !*r.Controller {
			continue
		}
		if max(len(r.APIVersion), len(r.Kind), len(r.Name), len(r.UID)) > maxReference {
			return nil
		}
		return &beesting.Owner{
			Group: strings.Clone(group(r.APIVersion)), Kind: strings.Clone(r.Kind), Name: strings.Clone(r.Name), UID: strings.Clone(string(r.UID)),
		}
	}
	return nil
}

// Add implements cache.ReflectorStore.
func (s *pods) Add(obj any) error { return s.set(obj) }

// Update implements cache.ReflectorStore.
func (s *pods) Update(obj any) error { return s.set(obj) }

func (s *pods) set(obj any) error {
	o, ok := obj.(*object)
	if !ok {
		return nil // the reflector gives nothing else
	}
	p := s.trim(o)
	s.mu.Lock()
	kept := s.keep(p)
	s.mu.Unlock()
	if kept {
		s.added(p)
	}
	s.changed()
	return nil
}

// keep is false where there is no room; s.mu is held.
func (s *pods) keep(p *pod) bool {
	if _, known := s.byID[p.id]; !known && len(s.byID) >= maxPods {
		s.dropped++
		return false
	}
	s.byID[p.id] = p
	return true
}

// Delete implements cache.ReflectorStore.
func (s *pods) Delete(obj any) error {
	o, ok := obj.(*object)
	if !ok {
		return nil
	}
	id := idOf(o)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.byID[id]; p != nil {
		delete(s.byID, id)
		s.gone.set(id, p)
	}
	return nil
}

// Replace implements cache.ReflectorStore. What isn't in the list has been deleted.
func (s *pods) Replace(list []any, _ string) error {
	fresh := make(map[podID]*pod, len(list))
	var all []*pod
	for _, obj := range list {
		if o, ok := obj.(*object); ok {
			p := s.trim(o)
			fresh[p.id] = p
			all = append(all, p)
		}
	}
	s.mu.Lock()
	for id, p := range s.byID {
		if fresh[id] == nil {
			s.gone.set(id, p)
		}
	}
	s.byID = make(map[podID]*pod, len(fresh))
	all = slices.DeleteFunc(all, func(p *pod) bool { return !s.keep(p) })
	s.mu.Unlock()
	for _, p := range all {
		s.added(p)
	}
	s.synced()
	s.changed()
	return nil
}

// Resync implements cache.ReflectorStore.
func (s *pods) Resync() error { return nil }

// find returns the pod, there or gone not long ago, or nil.
func (s *pods) find(id podID) *pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.byID[id]; p != nil {
		return p
	}
	p, _ := s.gone.get(id)
	return p
}
