package nri

import (
	"cmp"
	"slices"
	"time"

	"github.com/containerd/nri/pkg/api"

	"github.com/beesting-otel/beesting"
)

// Labels and annotations that say what older runtimes leave out of the fields
// made for it: CRI-O before mid-2026 gives no container name, and the image is
// in NRI since 0.10 only (containerd 2.2).
const (
	labelContainerName = "io.kubernetes.container.name"
	labelPodName       = "io.kubernetes.pod.name"
	labelPodNamespace  = "io.kubernetes.pod.namespace"
	labelPodUID        = "io.kubernetes.pod.uid"

	annotationImageContainerd = "io.kubernetes.cri.image-name"
	annotationImageCRIO       = "io.kubernetes.cri-o.ImageName"
)

// namespaceUser is the type of a user namespace in the OCI configuration.
const namespaceUser = "user"

// runtimeInfo is what the runtime said of itself when it configured the plugin.
type runtimeInfo struct {
	name, version string
}

// convert translates one container. pod may be nil: the sandbox can be gone
// before its containers.
func (r runtimeInfo) convert(pod *api.PodSandbox, c *api.Container) Container {
	labels := c.GetLabels()
	out := Container{
		Container: beesting.Container{
			ID:         c.GetId(),
			Name:       cmp.Or(c.GetName(), labels[labelContainerName]),
			Runtime:    r.name,
			RuntimeVer: r.version,
			PID:        int(c.GetPid()),
			CgroupPath: c.GetLinux().GetCgroupsPath(),
			Pod: beesting.Pod{
				ID:          cmp.Or(pod.GetId(), c.GetPodSandboxId()),
				Name:        cmp.Or(pod.GetName(), labels[labelPodName]),
				Namespace:   cmp.Or(pod.GetNamespace(), labels[labelPodNamespace]),
				UID:         cmp.Or(pod.GetUid(), labels[labelPodUID]),
				Labels:      pod.GetLabels(),
				Annotations: pod.GetAnnotations(),
			},
		},
		State: state(c.GetState()),
	}
	if ns := c.GetCreatedAt(); ns > 0 {
		out.CreatedAt = time.Unix(0, ns)
	}
	setImage(&out.Container, c)
	if u := c.GetUser(); u != nil {
		out.User = &User{UID: u.GetUid(), GID: u.GetGid()}
	}
	resources := c.GetLinux().GetResources()
	out.MemoryLimit = max(resources.GetMemory().GetLimit().GetValue(), 0) // -1 is none
	out.PidsLimit = max(resources.GetPids().GetLimit(), 0)
	for _, ns := range c.GetLinux().GetNamespaces() {
		out.UserNamespace = out.UserNamespace || ns.GetType() == namespaceUser
	}
	for _, m := range c.GetMounts() {
		out.Mounts = append(out.Mounts, Mount{
			Source:      m.GetSource(),
			Destination: m.GetDestination(),
			Type:        m.GetType(),
			Options:     slices.Clone(m.GetOptions()),
		})
	}
	return out
}

// setImage prefers the name that the pod gives. NRI's is, with containerd (2.4), any
// of those that the node has for the image (internal/cri/nri: References[0]).
func setImage(out *beesting.Container, c *api.Container) {
	var name, tag, digest string
	annotations := c.GetAnnotations()
	for _, ref := range []string{annotations[annotationImageContainerd], annotations[annotationImageCRIO], c.GetImage().GetName()} {
		if name, tag, digest = beesting.SplitImage(ref); name != "" { // an id is no name
			break
		}
	}
	if name != "" && tag == "" && digest == "" {
		tag = "latest" // a pod's "nginx" is that (reference.TagNameOnly of the distribution project)
	}
	out.ImageName = name
	if tag != "" {
		out.ImageTags = []string{tag}
	}
	if digest = cmp.Or(c.GetImage().GetDigest(), digest); digest != "" {
		out.ImageDigests = []string{digest}
	}
}

func state(s api.ContainerState) State {
	switch s {
	case api.ContainerState_CONTAINER_CREATED:
		return StateCreated
	case api.ContainerState_CONTAINER_RUNNING:
		return StateRunning
	case api.ContainerState_CONTAINER_PAUSED:
		return StatePaused
	case api.ContainerState_CONTAINER_STOPPED:
		return StateStopped
	default:
		return StateUnknown
	}
}

// convertAll joins the containers of a snapshot with their pods.
func (r runtimeInfo) convertAll(pods []*api.PodSandbox, containers []*api.Container) []Container {
	byID := make(map[string]*api.PodSandbox, len(pods))
	for _, pod := range pods {
		byID[pod.GetId()] = pod
	}
	all := make([]Container, 0, len(containers))
	for _, c := range containers {
		all = append(all, r.convert(byID[c.GetPodSandboxId()], c))
	}
	return all
}

// toNRI returns nil for nothing.
func (a Adjustment) toNRI() *api.ContainerAdjustment {
	if len(a.Mounts) == 0 && len(a.Hooks) == 0 {
		return nil
	}
	adjust := &api.ContainerAdjustment{}
	for _, m := range a.Mounts {
		adjust.AddMount(&api.Mount{
			Source:      m.Source,
			Destination: m.Destination,
			Type:        m.Type,
			Options:     m.Options,
		})
	}
	if len(a.Hooks) == 0 {
		return adjust // without the mark that it has hooks, which a validator looks at
	}
	hooks := &api.Hooks{}
	for _, h := range a.Hooks {
		hook := &api.Hook{Path: h.Path, Args: h.Args, Env: h.Env}
		if h.Timeout > 0 {
			hook.Timeout = api.Int(int((h.Timeout + time.Second - 1) / time.Second))
		}
		hooks.CreateContainer = append(hooks.CreateContainer, hook)
	}
	adjust.AddHooks(hooks)
	return adjust
}
