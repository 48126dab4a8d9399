package kube

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/beesting-otel/beesting"
)

// Options set up a Cluster. Place and Node are needed.
type Options struct {
	Place Place
	// Node is the node's name at the API server.
	Node string
	// Labels and Annotations of pods are kept by these keys, and no others.
	Labels, Annotations []string
	// UserAgent is what the API server's log calls the agent.
	UserAgent string
	// Log takes changes of the connection; nothing is written if nil.
	Log *slog.Logger
	// Now is the wall clock; time.Now if nil.
	Now func() time.Time
}

// Cluster knows the node's pods. Its methods may be called concurrently, also
// before, during and after Run.
type Cluster struct {
	node   string
	client *client
	link   *link
	pods   *pods
	owners *owners
	now    func() time.Time
	change chan struct{}

	nodeUID, clusterUID atomic.Pointer[string]
}

// Open finds out how to reach the API server. It doesn't ask it: that is Run's.
func Open(o Options) (*Cluster, error) {
	if o.Node == "" {
		return nil, errors.New("kube: no node")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	client, err := newClient(o.Place, o.Node, o.UserAgent)
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		node: o.Node, client: client, link: newLink(o.Log, o.Now), now: o.Now,
		pods: newPods(o.Labels, o.Annotations), owners: newOwners(client, o.Now), change: make(chan struct{}, 1),
	}
	c.owners.denied, c.owners.changed = c.link.deny, c.changed
	c.link.changed = c.changed
	c.pods.synced, c.pods.changed = c.link.complete, c.changed
	// So that the answer is there when the first access is.
	c.pods.added = func(p *pod) {
		if p.owner != nil {
			c.owners.chain(*p.owner, p.id.namespace)
		}
	}
	return c, nil
}

// Run watches the pods until ctx ends. An API server that can't be reached is tried
// again for ever, at first after a second, then twice as long each time up to half a
// minute.
func (c *Cluster) Run(ctx context.Context) {
	// client-go writes to the process's standard error otherwise. What there is to
	// say, link does.
	quiet := logr.Discard()
	ctx = klog.NewContext(ctx, quiet)
	reflector := cache.NewReflectorWithOptions(c.client.listerWatcher(c.link), &object{}, c.pods,
		cache.ReflectorOptions{Name: "beesting", TypeDescription: "pods of this node", Logger: &quiet})
	var wg sync.WaitGroup
	wg.Go(func() { reflector.RunWithContext(ctx) })
	wg.Go(func() { c.owners.run(ctx) })
	wg.Go(func() { c.identify(ctx) })
	wg.Wait()
	c.client.close()
}

// Workload returns what is known of a pod, at once. It is nil for a container that
// belongs to none, and has the reason where something is missing. soon says that
// more may be known in a moment.
func (c *Cluster) Workload(p beesting.Pod) (w *beesting.Workload, soon bool) {
	if p.Name == "" {
		return nil, false
	}
	w = &beesting.Workload{NodeUID: value(&c.nodeUID), ClusterUID: value(&c.clusterUID)}
	known := c.pods.find(podID{p.Namespace, p.Name, p.UID})
	if known == nil {
		w.Unresolved, soon = c.link.absent()
		return w, soon
	}
	w.StartTime, w.Labels, w.Annotations = known.start, known.labels, known.annotations
	if known.owner == nil {
		return w, false
	}
	w.Owners, w.Unresolved, soon = c.owners.chain(*known.owner, p.Namespace)
	if w.Unresolved != beesting.UnresolvedLate {
		return w, false
	}
	if !c.link.up() { // the look-up waits for a server that isn't there
		w.Unresolved, soon = c.link.absent()
		return w, soon
	}
	return w, soon
}

// Changed has a word in it whenever what Workload answers may be another than before.
func (c *Cluster) Changed() <-chan struct{} { return c.change }

func (c *Cluster) changed() {
	select {
	case c.change <- struct{}{}:
	default: // the word is out
	}
}

// identify finds out the uids of the cluster and of the node, which don't change.
// Nothing depends on them, so one that is forbidden is asked for every few minutes.
func (c *Cluster) identify(ctx context.Context) {
	var wg sync.WaitGroup
	for _, f := range []struct {
		resource, name string
		rule           rule
		to             *atomic.Pointer[string]
	}{
		// By the conventions the uid of this namespace is the cluster's.
		{"namespaces", "kube-system", clusterRule(), &c.clusterUID},
		{"nodes", c.node, nodeRule(), &c.nodeUID},
	} {
		wg.Go(func() {
			for wait := time.Second; ctx.Err() == nil && f.to.Load() == nil; wait = min(2*wait, 30*time.Second) {
				limited, cancel := context.WithTimeout(ctx, askTime)
				m, err := c.client.get(limited, schema.GroupVersionResource{Version: "v1", Resource: f.resource}, "", f.name)
				cancel()
				if err == nil {
					uid := string(m.UID)
					f.to.Store(&uid)
				}
				if ctx.Err() == nil && f.rule != nodeRule() { // which nobody needs
					c.link.deny(f.rule, err)
				}
				switch {
				case reasonOf(err) == beesting.UnresolvedForbidden:
					sleep(ctx, againRefuse)
				case err != nil:
					sleep(ctx, wait)
				}
			}
		})
	}
	wg.Wait()
}

func clusterRule() rule { return rule{"get", "namespaces/kube-system"} }

func nodeRule() rule { return rule{"get", "nodes"} }

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func value(p *atomic.Pointer[string]) string {
	if s := p.Load(); s != nil {
		return *s
	}
	return ""
}

// isUnsupported reports whether an API server doesn't know the streaming of what
// there is (before Kubernetes 1.27, or switched off).
func isUnsupported(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err)
}

// Status says how the agent fares with the API server. It is a copy, made for JSON.
type Status struct {
	State State `json:"state"`
	// Since is when it came into this state.
	Since  time.Time `json:"since"`
	Server string    `json:"server"`
	Node   string    `json:"node"`
	Error  string    `json:"error,omitempty"`
	// Pods are known; Dropped ones were too many.
	Pods    int    `json:"pods"`
	Dropped uint64 `json:"dropped,omitempty"`
	// Lookups of owners were made, Failed those without an answer, by reason;
	// Full is how often there was no room for one.
	Lookups uint64                         `json:"lookups"`
	Failed  map[beesting.Unresolved]uint64 `json:"failed_lookups,omitempty"`
	Full    uint64                         `json:"full,omitempty"`
	// Missing are the rules that the agent lacks, in the words of RBAC.
	Missing []string `json:"missing,omitempty"`
}

// Status returns it.
func (c *Cluster) Status() Status {
	s := Status{Server: c.client.server, Node: c.node, Missing: c.link.missing()}
	c.link.mu.Lock()
	s.State, s.Since = c.link.state, c.link.since
	if c.link.err != nil {
		s.Error = c.link.err.Error()
	}
	c.link.mu.Unlock()
	c.pods.mu.Lock()
	s.Pods, s.Dropped = len(c.pods.byID), c.pods.dropped
	c.pods.mu.Unlock()
	c.owners.status(&s)
	return s
}

// OpenAs opens a cluster as a configuration asks for it: "on", "off", or "auto", for
// which having no way to an API server, or one that can't be used, is no mistake. It
// returns nil where none is to be asked.
func OpenAs(mode string, o Options) (*Cluster, error) {
	if mode == "off" || mode == "auto" && !o.Place.Given() {
		return nil, nil
	}
	c, err := Open(o)
	if err != nil && mode == "auto" && o.Place.Kubeconfig == "" {
		if o.Log != nil {
			o.Log.Warn("the API server is not asked: accesses are told without workloads", slog.Any("error", err))
		}
		return nil, nil
	}
	return c, err
}
