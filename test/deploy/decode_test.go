package deploy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
)

// object is a document, decoded.
type object struct {
	kind  string
	meta  metav1.Object
	value runtime.Object
	text  string
}

// decode takes documents apart as the API server does with fieldValidation=Strict:
// an unknown field, one given twice and a value of the wrong type are errors.
func decode(t *testing.T, name, text string) []object {
	t.Helper()
	r := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	var out []object
	for {
		doc, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(bytes.TrimSpace(stripComments(doc))) == 0 {
			continue
		}
		value, gvk, err := serializer().Decode(doc, nil, nil)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, doc)
			continue
		}
		meta, ok := value.(metav1.Object)
		if !ok || meta.GetName() == "" {
			t.Errorf("%s: a %s without a name", name, gvk.Kind)
			continue
		}
		out = append(out, object{kind: gvk.Kind, meta: meta, value: value, text: string(doc)})
	}
}

func serializer() *json.Serializer {
	return json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Yaml: true, Strict: true})
}

func strictly(doc []byte) error {
	_, _, err := serializer().Decode(doc, nil, nil)
	return err
}

// podOf is the pod that an object makes; nil if it makes none.
func (o object) podOf() (*metav1.ObjectMeta, *corev1.PodSpec) {
	switch v := o.value.(type) {
	case *appsv1.DaemonSet:
		return &v.Spec.Template.ObjectMeta, &v.Spec.Template.Spec
	case *appsv1.StatefulSet:
		return &v.Spec.Template.ObjectMeta, &v.Spec.Template.Spec
	case *appsv1.Deployment:
		return &v.Spec.Template.ObjectMeta, &v.Spec.Template.Spec
	case *corev1.Pod:
		return &v.ObjectMeta, &v.Spec
	}
	return nil, nil
}

func stripComments(doc []byte) []byte {
	var out []byte
	for line := range bytes.Lines(doc) {
		if !bytes.HasPrefix(bytes.TrimSpace(line), []byte("#")) && !bytes.HasPrefix(line, []byte("---")) {
			out = append(out, line...)
		}
	}
	return out
}

// agentConfigs are the agent's configuration files among the ConfigMaps.
func agentConfigs(objects []object) []string {
	var out []string
	for _, o := range objects {
		if m, ok := o.value.(*corev1.ConfigMap); ok && m.Data["beesting.yaml"] != "" {
			out = append(out, m.Data["beesting.yaml"])
		}
	}
	return out
}
