package cri

import (
	"context"
	"errors"
	"fmt"
	"time"

	api "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Pod describes a sandbox as a kubelet would ask for it. It shares the node's
// network: nothing here needs one of its own, and no CNI plugin is set up.
type Pod struct {
	Name, Namespace, UID string
	Labels, Annotations  map[string]string
	// HostPID shares the node's process ids, too.
	HostPID bool
	// HostIDs, if not 0, gives the pod a user namespace: its ids 0 to 65535 are
	// the node's from HostIDs on.
	HostIDs uint32
}

// podIDs is how many ids a pod with a user namespace has, the kubelet's number.
const podIDs = 65536

// handler names the runtime with id-mapped mounts for a pod that needs them.
func (p Pod) handler() string {
	if p.HostIDs != 0 {
		return "idmap"
	}
	return ""
}

func (p Pod) namespaces() *api.NamespaceOption {
	o := &api.NamespaceOption{Network: api.NamespaceMode_NODE, Pid: api.NamespaceMode_CONTAINER}
	if p.HostPID {
		o.Pid = api.NamespaceMode_NODE
	}
	if p.HostIDs != 0 {
		ids := []*api.IDMapping{{HostId: p.HostIDs, ContainerId: 0, Length: podIDs}}
		o.UsernsOptions = &api.UserNamespace{Mode: api.NamespaceMode_POD, Uids: ids, Gids: ids}
	}
	return o
}

// Mount is a bind mount of a host path into a container.
type Mount struct {
	HostPath, ContainerPath string
	ReadOnly                bool
}

// Container describes a container of a pod.
type Container struct {
	Name, Image   string
	Command, Args []string // empty: the image's defaults
	Env           map[string]string
	Mounts        []Mount
	// RunAsUser is the numeric user; 0 is root.
	RunAsUser      int64
	ReadOnlyRootFS bool
}

// RunPod starts a sandbox and returns its id.
func (c *Client) RunPod(ctx context.Context, p Pod) (string, error) {
	r, err := c.runtime.RunPodSandbox(ctx, &api.RunPodSandboxRequest{Config: c.sandbox(p), RuntimeHandler: p.handler()})
	if err != nil {
		return "", fmt.Errorf("sandbox of pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	return r.PodSandboxId, nil
}

// PodCgroup is the name of a pod's cgroup below the client's parent.
func PodCgroup(uid string) string { return "pod" + uid }

func (c *Client) sandbox(p Pod) *api.PodSandboxConfig {
	return &api.PodSandboxConfig{
		Metadata:    &api.PodSandboxMetadata{Name: p.Name, Namespace: p.Namespace, Uid: p.UID},
		Labels:      p.kubeletLabels(),
		Annotations: p.Annotations,
		Linux: &api.LinuxPodSandboxConfig{
			CgroupParent: c.cgroupParent + "/" + PodCgroup(p.UID),
			SecurityContext: &api.LinuxSandboxSecurityContext{
				NamespaceOptions: p.namespaces(),
			},
		},
	}
}

// kubeletLabels are the pod's own labels and those that a kubelet adds
// (pkg/kubelet/kuberuntime/labels.go).
func (p Pod) kubeletLabels() map[string]string {
	labels := map[string]string{
		"io.kubernetes.pod.name":      p.Name,
		"io.kubernetes.pod.namespace": p.Namespace,
		"io.kubernetes.pod.uid":       p.UID,
	}
	for k, v := range p.Labels {
		labels[k] = v
	}
	return labels
}

// CreateContainer creates a container in the sandbox that [Client.RunPod] made
// for p and returns its id.
func (c *Client) CreateContainer(ctx context.Context, sandbox string, p Pod, spec Container) (string, error) {
	cfg := &api.ContainerConfig{
		Metadata: &api.ContainerMetadata{Name: spec.Name},
		Image:    &api.ImageSpec{Image: spec.Image, UserSpecifiedImage: spec.Image},
		Command:  spec.Command,
		Args:     spec.Args,
		Labels: map[string]string{
			"io.kubernetes.container.name": spec.Name,
			"io.kubernetes.pod.name":       p.Name,
			"io.kubernetes.pod.namespace":  p.Namespace,
			"io.kubernetes.pod.uid":        p.UID,
		},
		Linux: &api.LinuxContainerConfig{
			SecurityContext: &api.LinuxContainerSecurityContext{
				RunAsUser:        &api.Int64Value{Value: spec.RunAsUser},
				ReadonlyRootfs:   spec.ReadOnlyRootFS,
				NamespaceOptions: p.namespaces(),
			},
		},
	}
	for k, v := range spec.Env {
		cfg.Envs = append(cfg.Envs, &api.KeyValue{Key: k, Value: []byte(v)})
	}
	for _, m := range spec.Mounts {
		cfg.Mounts = append(cfg.Mounts, &api.Mount{HostPath: m.HostPath, ContainerPath: m.ContainerPath, Readonly: m.ReadOnly})
	}
	r, err := c.runtime.CreateContainer(ctx, &api.CreateContainerRequest{
		PodSandboxId: sandbox, Config: cfg, SandboxConfig: c.sandbox(p),
	})
	if err != nil {
		return "", fmt.Errorf("container %s of pod %s/%s: %w", spec.Name, p.Namespace, p.Name, err)
	}
	return r.ContainerId, nil
}

// StartContainer starts a created container.
func (c *Client) StartContainer(ctx context.Context, id string) error {
	if _, err := c.runtime.StartContainer(ctx, &api.StartContainerRequest{ContainerId: id}); err != nil {
		return fmt.Errorf("start of container %s: %w", short(id), err)
	}
	return nil
}

// StopContainer kills a container's processes; no grace is given.
func (c *Client) StopContainer(ctx context.Context, id string) error {
	if _, err := c.runtime.StopContainer(ctx, &api.StopContainerRequest{ContainerId: id}); err != nil {
		return fmt.Errorf("stop of container %s: %w", short(id), err)
	}
	return nil
}

// RemoveContainer removes a container, running or not.
func (c *Client) RemoveContainer(ctx context.Context, id string) error {
	if _, err := c.runtime.RemoveContainer(ctx, &api.RemoveContainerRequest{ContainerId: id}); err != nil {
		return fmt.Errorf("removal of container %s: %w", short(id), err)
	}
	return nil
}

// RemovePod stops and removes a sandbox and all its containers.
func (c *Client) RemovePod(ctx context.Context, sandbox string) error {
	if _, err := c.runtime.StopPodSandbox(ctx, &api.StopPodSandboxRequest{PodSandboxId: sandbox}); err != nil {
		return fmt.Errorf("stop of sandbox %s: %w", short(sandbox), err)
	}
	if _, err := c.runtime.RemovePodSandbox(ctx, &api.RemovePodSandboxRequest{PodSandboxId: sandbox}); err != nil {
		return fmt.Errorf("removal of sandbox %s: %w", short(sandbox), err)
	}
	return nil
}

// RemoveAllPods removes every sandbox that the runtime knows.
func (c *Client) RemoveAllPods(ctx context.Context) error {
	r, err := c.runtime.ListPodSandbox(ctx, &api.ListPodSandboxRequest{})
	if err != nil {
		return fmt.Errorf("list of sandboxes: %w", err)
	}
	var errs []error
	for _, p := range r.Items {
		errs = append(errs, c.RemovePod(ctx, p.Id))
	}
	return errors.Join(errs...)
}

// State is what the runtime says of a container.
type State struct {
	Running  bool
	Exited   bool
	ExitCode int32
	Reason   string
}

// ContainerState asks for a container's state.
func (c *Client) ContainerState(ctx context.Context, id string) (State, error) {
	r, err := c.runtime.ContainerStatus(ctx, &api.ContainerStatusRequest{ContainerId: id})
	if err != nil {
		return State{}, fmt.Errorf("state of container %s: %w", short(id), err)
	}
	s := r.GetStatus()
	return State{
		Running:  s.GetState() == api.ContainerState_CONTAINER_RUNNING,
		Exited:   s.GetState() == api.ContainerState_CONTAINER_EXITED,
		ExitCode: s.GetExitCode(),
		Reason:   s.GetReason(),
	}, nil
}

// RunningContainers are the ids of a pod's containers that run.
func (c *Client) RunningContainers(ctx context.Context, podUID string) ([]string, error) {
	r, err := c.runtime.ListContainers(ctx, &api.ListContainersRequest{Filter: &api.ContainerFilter{
		State:         &api.ContainerStateValue{State: api.ContainerState_CONTAINER_RUNNING},
		LabelSelector: map[string]string{"io.kubernetes.pod.uid": podUID},
	}})
	if err != nil {
		return nil, fmt.Errorf("containers of pod %s: %w", podUID, err)
	}
	var ids []string
	for _, container := range r.Containers {
		ids = append(ids, container.Id)
	}
	return ids, nil
}

// WaitExited waits until a container's first process has ended, or ctx ends.
func (c *Client) WaitExited(ctx context.Context, id string) (State, error) {
	for {
		s, err := c.ContainerState(ctx, id)
		if err != nil || s.Exited {
			return s, err
		}
		select {
		case <-ctx.Done():
			return s, fmt.Errorf("end of container %s: %w", short(id), ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
