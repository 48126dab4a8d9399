package kube

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

// object is what is decoded of a Pod. What it doesn't name, environment variables
// above all, is skipped while it is read and never in memory as a value. The types
// of k8s.io/api would have it all, and make the program 3 MB larger.
type object struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Status            objectStatus `json:"status"`
}

type objectStatus struct {
	StartTime *metav1.Time `json:"startTime"`
}

// objectList is a PodList.
type objectList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []object `json:"items"`
}

// DeepCopyObject implements runtime.Object.
func (o *object) DeepCopyObject() runtime.Object {
	c := *o
	o.ObjectMeta.DeepCopyInto(&c.ObjectMeta)
	if o.Status.StartTime != nil {
		c.Status.StartTime = o.Status.StartTime.DeepCopy()
	}
	return &c
}

// DeepCopyObject implements runtime.Object.
func (l *objectList) DeepCopyObject() runtime.Object {
	c := *l
	l.ListMeta.DeepCopyInto(&c.ListMeta)
	c.Items = make([]object, 0, len(l.Items))
	for i := range l.Items {
		if o, ok := l.Items[i].DeepCopyObject().(*object); ok {
			c.Items = append(c.Items, *o)
		}
	}
	return &c
}

// codecs decode Pods as objects.
func codecs() (*runtime.Scheme, serializer.CodecFactory) {
	core := schema.GroupVersion{Version: "v1"}
	s := runtime.NewScheme()
	s.AddKnownTypeWithName(core.WithKind("Pod"), &object{})
	s.AddKnownTypeWithName(core.WithKind("PodList"), &objectList{})
	metav1.AddToGroupVersion(s, core)
	return s, serializer.NewCodecFactory(s)
}

const (
	// maxValue bounds an annotation's value that is kept, in bytes: one can have
	// 256 KiB, and a tenant writes it. What is told is shorter still.
	maxValue = 4096
	// annotationMirror has the hash of a static pod in the pod that stands for it at
	// the API server (kubernetes pkg/kubelet/types). The kubelet gives the runtime the
	// hash as the pod's uid, while the mirror's own is another one.
	annotationMirror = "kubernetes.io/config.mirror"
)

// uidOf is the pod's uid as the container runtime knows it. Whoever may create pods
// can write the annotation, so it is good for nothing without the pod's name.
func uidOf(o *object) string {
	if hash := o.Annotations[annotationMirror]; hash != "" && len(hash) <= maxReference {
		return hash
	}
	return string(o.UID)
}

// wanted returns what m has of the keys, each value bounded; nil for nothing.
func wanted(m map[string]string, keys []string) map[string]string {
	var out map[string]string
	for _, k := range keys {
		v, ok := m[k]
		if !ok {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[k] = strings.Clone(v[:min(len(v), maxValue)]) // not a part of the whole object
	}
	return out
}
