package exporter

import (
	"slices"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/beesting-otel/beesting"
)

// ownerKind is a kind of controller that the conventions have an attribute for.
type ownerKind struct {
	group, kind string
	key         attribute.Key
	says        string
}

var ownerKindRows = []ownerKind{
	{"apps", "Deployment", semconv.K8SDeploymentNameKey, "the Deployment"},
	{"apps", "ReplicaSet", semconv.K8SReplicaSetNameKey, "the ReplicaSet"},
	{"apps", "StatefulSet", semconv.K8SStatefulSetNameKey, "the StatefulSet"},
	{"apps", "DaemonSet", semconv.K8SDaemonSetNameKey, "the DaemonSet"},
	{"batch", "CronJob", semconv.K8SCronJobNameKey, "the CronJob"},
	{"batch", "Job", semconv.K8SJobNameKey, "the Job"},
	{"", "ReplicationController", semconv.K8SReplicationControllerNameKey, "the ReplicationController"},
}

// clusterRows are the resource's part that the API server is asked for.
var clusterRows = slices.Concat([]row{
	{semconv.K8SClusterUIDKey, onResource,
		"the uid of the namespace kube-system, which stands for the cluster, from the API server",
		ofWorkload(func(w *beesting.Workload) attribute.Value { return text(w.ClusterUID) })},
	{semconv.K8SNodeUIDKey, onResource,
		"the node's uid, from the API server",
		ofWorkload(func(w *beesting.Workload) attribute.Value { return text(w.NodeUID) })},
	{semconv.K8SPodStartTimeKey, onResource,
		"when the kubelet took up the pod, from the API server",
		ofWorkload(func(w *beesting.Workload) attribute.Value { return timestamp(w.StartTime) })},
}, ownerRows("", onResource, " that the pod belongs to, from the API server", ofWorkload))

// workloadRows tell what of the API server's part there is no convention for.
var workloadRows = []row{
	{"honeytoken.k8s.owner.kind", onBoth,
		"the kind of the pod's topmost owner, where that is none of those with an attribute of the conventions' (`Rollout`, `Cluster` …)",
		ofWorkload(func(w *beesting.Workload) attribute.Value { return text(otherOwner(w).Kind) })},
	{"honeytoken.k8s.owner.name", onBoth,
		"its name",
		ofWorkload(func(w *beesting.Workload) attribute.Value { return text(otherOwner(w).Name) })},
	{keyUnresolved, onBoth,
		"why the API server's part of the resource, or some of it, is missing: `away` (it can't be reached or gives errors), `forbidden` (the agent may not read it), `absent` (it has no such pod on this node, or no such owner), `late` (the answer was not there in time); left out when nothing is missing, and where the API server isn't asked",
		ofWorkload(func(w *beesting.Workload) attribute.Value { return text(string(w.Unresolved)) })},
}

// actorWorkloadRows are the same of the acting process's pod.
var actorWorkloadRows = slices.Concat(
	ownerRows("honeytoken.actor.", onBoth, " that its pod belongs to, from the API server", ofActorWorkload),
	[]row{{"honeytoken.actor.k8s.unresolved", onBoth,
		"like `honeytoken.k8s.unresolved`, for the acting process's pod",
		ofActorWorkload(func(w *beesting.Workload) attribute.Value { return text(string(w.Unresolved)) })}},
)

// ownerRows has a row for each kind of owner.
func ownerRows(prefix attribute.Key, on signals, says string, of func(func(*beesting.Workload) attribute.Value) func(*facts) attribute.Value) []row {
	rows := make([]row, 0, len(ownerKindRows))
	for _, k := range ownerKindRows {
		rows = append(rows, row{prefix + k.key, on, k.says + says, of(func(w *beesting.Workload) attribute.Value {
			for _, o := range w.Owners {
				if o.Group == k.group && o.Kind == k.kind {
					return text(o.Name)
				}
			}
			return attribute.Value{}
		})})
	}
	return rows
}

func ofWorkload(value func(*beesting.Workload) attribute.Value) func(*facts) attribute.Value {
	return func(f *facts) attribute.Value { return workloadValue(f.access.Placement.Container, value) }
}

func ofActorWorkload(value func(*beesting.Workload) attribute.Value) func(*facts) attribute.Value {
	return func(f *facts) attribute.Value { return workloadValue(f.access.ActorContainer, value) }
}

func workloadValue(c *beesting.Container, value func(*beesting.Workload) attribute.Value) attribute.Value {
	if c == nil || c.Pod.Workload == nil {
		return attribute.Value{}
	}
	return value(c.Pod.Workload)
}

// otherOwner is the topmost owner if there is no convention for its kind.
func otherOwner(w *beesting.Workload) beesting.Owner {
	if len(w.Owners) == 0 {
		return beesting.Owner{}
	}
	top := w.Owners[len(w.Owners)-1]
	if slices.ContainsFunc(ownerKindRows, func(k ownerKind) bool { return k.group == top.Group && k.kind == top.Kind }) {
		return beesting.Owner{}
	}
	return top
}

const (
	// What is told of labels and annotations, and the bytes of each. Loki refuses a
	// record with more than 128 attributes or 64 KiB of them for good
	// (max_structured_metadata_entries_count and _size of its limits), and an access
	// has about 70 without these.
	maxPodLabels      = 32
	maxPodAnnotations = 16
	maxPodValue       = 1024
)

// podRows are the resource's rows for the labels and annotations of pods that were
// asked for: as the API server has them, or as they were when the pod was created.
func podRows(labels, annotations []string) []row {
	var rows []row
	for _, key := range labels[:min(len(labels), maxPodLabels)] {
		rows = append(rows, row{semconv.K8SPodLabel(key, "").Key, onResource, "", inPod(func(p *beesting.Pod) attribute.Value {
			return text(bounded(podLabel(p, key), maxPodValue))
		})})
	}
	for _, key := range annotations[:min(len(annotations), maxPodAnnotations)] {
		rows = append(rows, row{semconv.K8SPodAnnotation(key, "").Key, onResource, "", inPod(func(p *beesting.Pod) attribute.Value {
			return text(bounded(podAnnotation(p, key), maxPodValue))
		})})
	}
	return rows
}

func podLabel(p *beesting.Pod, key string) string {
	if p.Workload != nil {
		if v, ok := p.Workload.Labels[key]; ok {
			return v
		}
	}
	return p.Labels[key]
}

func podAnnotation(p *beesting.Pod, key string) string {
	if p.Workload != nil {
		if v, ok := p.Workload.Annotations[key]; ok {
			return v
		}
	}
	return p.Annotations[key]
}
