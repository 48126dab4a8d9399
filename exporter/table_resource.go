package exporter

import (
	"slices"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/beesting-otel/beesting"
)

// resourceTable describes the place where the token is planted. It never says
// anything of who touched it.
var resourceTable = slices.Concat(placeRows, clusterRows)

var placeRows = []row{
	{semconv.ServiceNameKey, onResource,
		"the service whose container holds the token; see [Service name](#service-name)",
		func(f *facts) attribute.Value { return text(serviceName(f.access.Placement.Container)) }},
	{semconv.K8SNodeNameKey, onResource,
		"the node the agent runs on, from its configuration",
		func(f *facts) attribute.Value { return text(f.node.Name) }},
	{semconv.K8SNamespaceNameKey, onResource,
		"the pod's namespace, from the container runtime",
		inPod(func(p *beesting.Pod) attribute.Value { return text(p.Namespace) })},
	{semconv.K8SPodNameKey, onResource,
		"the pod's name, from the container runtime",
		inPod(func(p *beesting.Pod) attribute.Value { return text(p.Name) })},
	{semconv.K8SPodUIDKey, onResource,
		"the pod's uid in Kubernetes (not the sandbox's id), from the container runtime",
		inPod(func(p *beesting.Pod) attribute.Value { return text(p.UID) })},
	{semconv.K8SContainerNameKey, onResource,
		"the container's name in the pod's specification; left out for a container that belongs to no pod",
		inContainer(func(c *beesting.Container) attribute.Value {
			if c.Pod.Name == "" {
				return attribute.Value{}
			}
			return text(c.Name)
		})},
	{semconv.ContainerNameKey, onResource,
		"the container's name at the runtime, for a container that belongs to no pod",
		inContainer(func(c *beesting.Container) attribute.Value {
			if c.Pod.Name != "" {
				return attribute.Value{}
			}
			return text(c.Name)
		})},
	{semconv.ContainerIDKey, onResource,
		"the container's full id at the runtime",
		inContainer(func(c *beesting.Container) attribute.Value { return text(c.ID) })},
	{semconv.ContainerImageNameKey, onResource,
		"the image's repository, without tag or digest",
		inContainer(func(c *beesting.Container) attribute.Value { return text(c.ImageName) })},
	{semconv.ContainerImageTagsKey, onResource,
		"the image's tags",
		inContainer(func(c *beesting.Container) attribute.Value { return texts(c.ImageTags) })},
	{semconv.ContainerImageRepoDigestsKey, onResource,
		"the image's digests, each with the repository in front; left out where the repository isn't known",
		inContainer(func(c *beesting.Container) attribute.Value { return texts(repoDigests(c)) })},
	{semconv.ContainerRuntimeNameKey, onResource,
		"the container runtime, as it names itself over NRI",
		inContainer(func(c *beesting.Container) attribute.Value { return text(c.Runtime) })},
	{semconv.ContainerRuntimeVersionKey, onResource,
		"the container runtime's version, unchanged",
		inContainer(func(c *beesting.Container) attribute.Value { return text(c.RuntimeVer) })},
	{semconv.HostNameKey, onResource,
		"the machine's host name, as uname(2) has it on the host",
		func(f *facts) attribute.Value { return text(f.node.HostName) }},
	{semconv.HostIDKey, onResource,
		"the machine's id, from /etc/machine-id of the host",
		func(f *facts) attribute.Value { return text(f.node.HostID) }},
}

func inContainer(value func(*beesting.Container) attribute.Value) func(*facts) attribute.Value {
	return func(f *facts) attribute.Value {
		if f.access.Placement.Container == nil {
			return attribute.Value{}
		}
		return value(f.access.Placement.Container)
	}
}

func inPod(value func(*beesting.Pod) attribute.Value) func(*facts) attribute.Value {
	return inContainer(func(c *beesting.Container) attribute.Value { return value(&c.Pod) })
}

// serviceName follows the conventions' page on Kubernetes attributes
// (docs/non-normative/k8s-attributes.md of the semantic conventions), as the
// OpenTelemetry operator does: the annotation, the two labels, the workload, the pod.
// Two things are otherwise here. The topmost owner stands for "Deployment, ReplicaSet,
// StatefulSet …", since the conventions would give a Rollout's ReplicaSet, a new name
// with each roll-out. And where the owner isn't known, a pod's name would make a new
// service of every replica, so the container's name stands in: for most workloads the
// same word as the workload's name.
func serviceName(c *beesting.Container) string {
	if c == nil {
		return ""
	}
	for _, name := range []string{
		podAnnotation(&c.Pod, beesting.AnnotationServiceName),
		podLabel(&c.Pod, beesting.LabelInstance),
		podLabel(&c.Pod, beesting.LabelName),
		workloadName(&c.Pod),
		c.Name,
	} {
		if name != "" {
			return name
		}
	}
	return ""
}

// workloadName is the name of the pod's topmost owner, or the pod's if it has none;
// empty where that isn't known.
func workloadName(p *beesting.Pod) string {
	w := p.Workload
	switch {
	case w == nil || w.Unresolved != "":
		return ""
	case len(w.Owners) == 0:
		return p.Name
	default:
		return w.Owners[len(w.Owners)-1].Name
	}
}

// repoDigests gives the form of the conventions and of CRI: repository@digest.
func repoDigests(c *beesting.Container) []string {
	if c.ImageName == "" {
		return nil
	}
	var out []string
	for _, digest := range c.ImageDigests {
		out = append(out, c.ImageName+"@"+digest)
	}
	return out
}
