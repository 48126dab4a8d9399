package kube

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// FuzzObject reads pods as whoever may create them could write them: a look-up names
// one object of one namespace, and what is kept of a pod is bounded.
func FuzzObject(f *testing.F) {
	f.Add([]byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"a","name":"b","uid":"c","labels":{"team":"x"},"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"n","uid":"u","controller":true}]},"status":{"startTime":"2026-01-02T03:04:05Z"}}`))
	f.Add([]byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"annotations":{"kubernetes.io/config.mirror":"h"},"ownerReferences":[{"apiVersion":"batch/v1","kind":"Job","name":"../../secrets/x","uid":"u","controller":true}]}}`))
	f.Add([]byte(`{"apiVersion":"v1","kind":"PodList","items":[{"metadata":null}]}`))
	f.Add([]byte(`{"apiVersion":"v1","kind":"Pod","status":{"startTime":"no"}}`))
	_, factory := codecs()
	decoder := factory.UniversalDeserializer()
	f.Fuzz(func(t *testing.T, data []byte) {
		got, _, err := decoder.Decode(data, nil, nil)
		if err != nil {
			return
		}
		var all []*object
		switch o := got.(type) {
		case *object:
			all = append(all, o)
		case *objectList:
			for i := range o.Items {
				all = append(all, &o.Items[i])
			}
		}
		for _, o := range all {
			check(t, o)
		}
	})
}

func check(t *testing.T, o *object) {
	t.Helper()
	s := newPods([]string{"team"}, []string{"contact"})
	p := s.trim(o)
	kept := len(p.id.uid)
	for _, v := range []map[string]string{p.labels, p.annotations} {
		for _, text := range v {
			kept += len(text)
		}
	}
	if kept > 8*maxValue {
		t.Errorf("%d bytes are kept", kept)
	}
	if p.owner == nil {
		return
	}
	owners := newOwners(nil, time.Now)
	owners.chain(*p.owner, "ns")
	select {
	case a := <-owners.asks:
		if strings.ContainsAny(a.owner.Name, "/\\%?# ") || strings.HasPrefix(a.owner.Name, ".") || len(a.owner.Name) > maxReference {
			t.Errorf("asks for %q", a.owner.Name)
		}
	default:
	}
}

// What isn't told is not decoded.
func TestObjectHasNoSpecification(t *testing.T) {
	_, factory := codecs()
	got, _, err := factory.UniversalDeserializer().Decode([]byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"env":[{"name":"PASSWORD","value":"hunter2"}]}]},"status":{"podIP":"10.0.0.1"}}`), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	o, ok := got.(*object)
	if !ok {
		t.Fatalf("a %T", got)
	}
	for _, v := range []any{o, o.DeepCopyObject()} {
		text, err := json.Marshal(v)
		if err != nil || strings.Contains(string(text), "hunter2") || strings.Contains(string(text), "10.0.0.1") || !strings.Contains(string(text), `"name":"a"`) {
			t.Errorf("%s, %v", text, err)
		}
	}
}
