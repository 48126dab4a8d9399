package nri

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/containerd/nri/pkg/api"
)

// handlers is what the stub calls during one connection. The methods' presence
// is what the plugin subscribes to: no other request comes.
//
// None returns an error, as that fails the container; Configure alone does, for
// a connection that has been given up.
type handlers struct {
	p         *Plugin
	runtime   atomic.Pointer[runtimeInfo]
	abandoned atomic.Bool
}

var errAbandoned = errors.New("connection given up")

// Configure is the runtime's answer to the registration. The event mask of zero
// subscribes to all requests that have a handler.
func (h *handlers) Configure(_ context.Context, _, name, version string) (api.EventMask, error) {
	if h.abandoned.Load() {
		return 0, errAbandoned
	}
	h.runtime.Store(&runtimeInfo{name: name, version: version})
	return 0, nil
}

func (h *handlers) info() runtimeInfo {
	if r := h.runtime.Load(); r != nil {
		return *r
	}
	return runtimeInfo{}
}

// Synchronize ends the registration. Its 2 s are for the transfer of all
// containers too (containerd issue 13901), so the work is done elsewhere.
func (h *handlers) Synchronize(_ context.Context, pods []*api.PodSandbox, containers []*api.Container) ([]*api.ContainerUpdate, error) {
	defer h.p.count(RequestSynchronize)()
	info, received := h.info(), h.p.now()
	h.p.registered(info)
	s := Snapshot{Received: received, Containers: info.convertAll(pods, containers)}
	for _, pod := range pods {
		s.Sandboxes = append(s.Sandboxes, pod.GetId())
	}
	h.p.snapshot(s)
	return nil, nil
}

// CreateContainer adds the planter's mounts and hooks.
func (h *handlers) CreateContainer(ctx context.Context, pod *api.PodSandbox, c *api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
	defer h.p.count(RequestCreate)()
	container := h.info().convert(pod, c)
	adjust, _ := within(ctx, h.p, container, RequestCreate, func(ctx context.Context) Adjustment {
		return h.p.planter.Plant(ctx, container)
	})
	return adjust.toNRI(), nil, nil
}

// PostCreateContainer tells the planter that the creation succeeded.
func (h *handlers) PostCreateContainer(ctx context.Context, pod *api.PodSandbox, c *api.Container) error {
	h.call(ctx, RequestCreated, pod, c, h.p.planter.Created)
	return nil
}

// StartContainer is answered when the planter is ready for the first
// instruction of the container.
func (h *handlers) StartContainer(ctx context.Context, pod *api.PodSandbox, c *api.Container) error {
	h.call(ctx, RequestStart, pod, c, h.p.planter.Start)
	return nil
}

// StopContainer tells the planter.
func (h *handlers) StopContainer(ctx context.Context, pod *api.PodSandbox, c *api.Container) ([]*api.ContainerUpdate, error) {
	h.call(ctx, RequestStop, pod, c, h.p.planter.Stop)
	return nil, nil
}

// RemoveContainer tells the planter.
func (h *handlers) RemoveContainer(ctx context.Context, pod *api.PodSandbox, c *api.Container) error {
	h.call(ctx, RequestRemove, pod, c, h.p.planter.Remove)
	return nil
}

func (h *handlers) call(ctx context.Context, r Request, pod *api.PodSandbox, c *api.Container, f func(context.Context, Container)) {
	defer h.p.count(r)()
	container := h.info().convert(pod, c)
	within(ctx, h.p, container, r, func(ctx context.Context) struct{} {
		f(ctx, container)
		return struct{}{}
	})
}
