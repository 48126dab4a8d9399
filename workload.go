package beesting

import "time"

// Workload is what the cluster's API server says of a pod, beside what the
// container runtime does. It is not changed once it is in a [Pod].
type Workload struct {
	// StartTime is when the kubelet took the pod up.
	StartTime time.Time
	// Owners are the pod's controller, that one's controller and so on, as far as
	// they are known: a ReplicaSet and its Deployment, say. At most MaxOwners.
	Owners []Owner
	// Labels and Annotations are those that were asked for, as they are now. What
	// the runtime has in their place is from the pod's creation.
	Labels, Annotations map[string]string
	// NodeUID and ClusterUID are empty where the agent may not read them.
	NodeUID, ClusterUID string
	// Unresolved says why something of this is missing; empty if nothing is.
	Unresolved Unresolved
}

// MaxOwners bounds Workload.Owners.
const MaxOwners = 4

// Owner is a controller of pods or of other controllers.
type Owner struct {
	// Group is the API group: "apps", "batch", "" for the core one.
	Group, Kind, Name, UID string
}

// Unresolved says why the API server's part of a pod could not be had.
type Unresolved string

// The reasons. Their text is the value of honeytoken.k8s.unresolved.
const (
	// UnresolvedAway: the API server can't be reached, or gives errors.
	UnresolvedAway Unresolved = "away"
	// UnresolvedForbidden: the agent may not read what it would have to.
	UnresolvedForbidden Unresolved = "forbidden"
	// UnresolvedAbsent: the API server has no such pod on this node, or its owner
	// is gone.
	UnresolvedAbsent Unresolved = "absent"
	// UnresolvedLate: the answer was not there when the access was told.
	UnresolvedLate Unresolved = "late"
)

// The sources of a service's name in a pod, as the conventions' page on Kubernetes
// attributes has them (docs/non-normative/k8s-attributes.md of the semantic
// conventions) and the OpenTelemetry operator follows it.
const (
	AnnotationServiceName = "resource.opentelemetry.io/service.name"
	LabelInstance         = "app.kubernetes.io/instance"
	LabelName             = "app.kubernetes.io/name"
)
