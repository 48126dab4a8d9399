package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// lookTime bounds one look.
const lookTime = 10 * time.Second

// nobody is the name of a ReplicaSet and a Job that there is none of: who may ask
// hears that it isn't found.
const nobody = "beesting-looks-whether-it-may-ask"

// Findings are the outcome of a look.
type Findings struct {
	Server, Node string
	// Pods are known to be on the node.
	Pods int
	// NoNode says that the API server has no node of this name.
	NoNode bool
	// Missing are the rules that the agent lacks, in the words of RBAC.
	Missing []string
	// Err says why there is no answer.
	Err error
}

// Look asks once for everything that Run asks for. It takes 10 s at most.
func (c *Cluster) Look(ctx context.Context) Findings {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	defer c.client.close()
	f := Findings{Server: c.client.server, Node: c.node}
	list, err := c.client.list(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err == nil {
		f.Pods = len(list.Items)
		err = c.lookAtWatch(ctx, list.ResourceVersion)
	}
	f.note(podRule(), err)
	for _, l := range []struct {
		rule      rule
		resource  schema.GroupVersionResource
		namespace string
		name      string
	}{
		{rule{"get", "replicasets.apps"}, schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}, "kube-system", nobody},
		{rule{"get", "jobs.batch"}, schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}, "kube-system", nobody},
		{clusterRule(), schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, "", "kube-system"},
		{nodeRule(), schema.GroupVersionResource{Version: "v1", Resource: "nodes"}, "", c.node},
	} {
		if f.Err != nil {
			return f // it would say the same of each
		}
		_, err := c.client.get(ctx, l.resource, l.namespace, l.name)
		switch {
		case apierrors.IsNotFound(err):
			f.NoNode = f.NoNode || l.rule == nodeRule()
		case apierrors.IsForbidden(err) && l.rule == nodeRule(): // one attribute less
		default:
			f.note(l.rule, err)
		}
	}
	return f
}

func (c *Cluster) lookAtWatch(ctx context.Context, from string) error {
	w, err := c.client.watch(ctx, metav1.ListOptions{ResourceVersion: from})
	if err != nil {
		return err
	}
	w.Stop()
	return nil
}

func (f *Findings) note(r rule, err error) {
	switch {
	case err == nil:
	case apierrors.IsUnauthorized(err):
		f.Err = fmt.Errorf("the credentials are refused: %w", err)
	case apierrors.IsForbidden(err):
		f.Missing = append(f.Missing, r.String())
	case errors.Is(err, context.DeadlineExceeded):
		f.Err = fmt.Errorf("no answer in %v", lookTime)
	default:
		f.Err = plain(err)
	}
}
