package kube

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/beesting-otel/beesting"
)

const (
	// maxOwners bounds the owners whose owner is remembered, at about 300 bytes.
	// A node's pods have as many at most as there are pods, and each run of a
	// CronJob one of its own.
	maxOwners = 4096
	// maxAsked bounds the look-ups that wait.
	maxAsked = 1024
	// askers is how many look-ups there are at a time, askTime what one may take.
	askers  = 2
	askTime = 5 * time.Second
)

// After these an owner is looked up again: a ReplicaSet can be adopted by another
// Deployment, and who was forbidden something may be allowed it.
const (
	againKnown  = time.Hour
	againRefuse = 5 * time.Minute
	againAway   = 10 * time.Second
)

// followTable has the owners of which the API server is asked who owns them: those
// that the workloads people deploy are made of. All others end the chain, as far
// as anybody has a word for them.
var followTable = map[schema.GroupKind]string{
	{Group: "apps", Kind: "ReplicaSet"}: "replicasets",
	{Group: "batch", Kind: "Job"}:       "jobs",
}

// getter is the metadata client, as far as it is used.
type getter interface {
	get(ctx context.Context, r schema.GroupVersionResource, namespace, name string) (*metav1.PartialObjectMetadata, error)
}

// ask is one look-up: for all pods of the namespace that name the same owner. The
// uid alone would have a pod answered by what another one, in another namespace,
// claims of that uid.
type ask struct {
	owner     beesting.Owner
	namespace string
}

// resource is the one to ask for the owner; empty if there is none to ask for.
func (a ask) resource() string {
	if !isName(a.owner.Name) {
		return ""
	}
	return followTable[schema.GroupKind{Group: a.owner.Group, Kind: a.owner.Kind}]
}

// isName says whether s can be the name of a ReplicaSet or a Job, which becomes part
// of a path: the API server checks no such thing of a reference in a pod, and whoever
// may create pods writes it.
func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return s != "" && s[0] != '.' // neither "." nor ".."
}

// known is what is known of an owner's owner.
type known struct {
	asked bool // a look-up is under way
	done  bool // one has been answered
	owner *beesting.Owner
	why   beesting.Unresolved // why there is no answer
	due   time.Time           // when it is worth another one
}

// owners looks up who owns the owners of pods. Safe for concurrent use.
type owners struct {
	client  getter
	now     func() time.Time
	denied  func(rule, error)
	changed func()
	asks    chan ask

	mu     sync.Mutex
	byAsk  *lru[ask, known]
	total  uint64
	failed map[beesting.Unresolved]uint64
	full   uint64 // look-ups that there was no room for
}

func newOwners(client getter, now func() time.Time) *owners {
	return &owners{
		client: client, now: now, asks: make(chan ask, maxAsked),
		byAsk: newLRU[ask, known](maxOwners), failed: map[beesting.Unresolved]uint64{},
	}
}

// chain follows the controllers from the first one on. soon says that there may be
// more of it in a moment, why that there isn't.
func (o *owners) chain(first beesting.Owner, namespace string) (all []beesting.Owner, why beesting.Unresolved, soon bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	all = append(all, first)
	for len(all) < beesting.MaxOwners {
		next := ask{all[len(all)-1], namespace}
		if next.resource() == "" {
			return all, "", false
		}
		k := o.look(next)
		switch {
		case k.owner != nil:
			all = append(all, *k.owner)
		case k.done && k.why == "":
			return all, "", false
		case k.done:
			return all, k.why, false
		default:
			return all, beesting.UnresolvedLate, true
		}
	}
	return all, "", false
}

// look returns what is known, and has it asked for where that is due; o.mu is held.
func (o *owners) look(a ask) known {
	k, _ := o.byAsk.get(a)
	if k.asked || o.now().Before(k.due) {
		return k
	}
	select {
	case o.asks <- a:
		k.asked = true
		o.byAsk.set(a, k)
	default:
		o.full++ // the next access asks again
	}
	return k
}

// run answers, until ctx ends.
func (o *owners) run(ctx context.Context) {
	var wg sync.WaitGroup
	for range askers {
		wg.Go(func() {
			for {
				select {
				case a := <-o.asks:
					o.answer(ctx, a)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	wg.Wait()
}

func (o *owners) answer(ctx context.Context, a ask) {
	resource := a.resource()
	limited, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	m, err := o.client.get(limited, schema.GroupVersionResource{Group: a.owner.Group, Version: "v1", Resource: resource}, a.namespace, a.owner.Name)
	if err == nil && string(m.UID) != a.owner.UID {
		err = errAnother
	}
	if ctx.Err() == nil {
		o.denied(rule{"get", resource + "." + a.owner.Group}, err)
	}
	k := known{done: true, why: reasonOf(err), due: o.now().Add(againKnown)}
	switch k.why {
	case "":
		k.owner = controller(m.OwnerReferences)
	case beesting.UnresolvedAway:
		k.due = o.now().Add(againAway)
	default:
		k.due = o.now().Add(againRefuse)
	}
	o.note(a, k)
	o.changed()
}

// note remembers an answer, and has the next one up the chain asked for. One that
// was known before is not forgotten for an error.
func (o *owners) note(a ask, k known) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.total++
	if k.why != "" {
		o.failed[k.why]++
		if before, _ := o.byAsk.get(a); before.owner != nil {
			k.owner, k.why = before.owner, ""
		}
	}
	o.byAsk.set(a, k)
	if k.owner == nil {
		return
	}
	if next := (ask{*k.owner, a.namespace}); next.resource() != "" {
		o.look(next)
	}
}

// group is the API group of an apiVersion: "apps" of "apps/v1", "" of "v1".
func group(apiVersion string) string {
	g, _, found := strings.Cut(apiVersion, "/")
	if !found {
		return ""
	}
	return g
}

// status adds the look-ups to a Status.
func (o *owners) status(s *Status) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s.Lookups, s.Failed, s.Full = o.total, maps.Clone(o.failed), o.full
}
