package agent

import (
	"time"

	"github.com/beesting-otel/beesting"
)

// Workloads knows what the cluster's API server says of pods. Its methods return at
// once, and may be called concurrently.
type Workloads interface {
	// Workload returns nil for a pod without a name. soon says that more of it may
	// be known in a moment, and the access may wait for that.
	Workload(beesting.Pod) (w *beesting.Workload, soon bool)
	// Changed has a word in it whenever an answer may be another than before.
	Changed() <-chan struct{}
}

// enrichment is who knows the workloads, and how long an access waits for a pod that
// isn't known yet.
type enrichment struct {
	Workloads
	wait time.Duration
}

// SetWorkloads has accesses told with what w says of the pods in them, from now on;
// nil is for nothing. Where w expects to know a pod soon, the first accesses of it
// wait for that, for the given time at most; those of other tokens go ahead. Only one
// Core at a time can have w. It may be called at any time, from any goroutine.
func (c *Core) SetWorkloads(w Workloads, wait time.Duration) {
	if w == nil {
		c.workloads.Store(nil)
	} else {
		c.workloads.Store(&enrichment{w, wait})
	}
	c.lookAtWaiting()
}

// enrich adds what the API server says; what was said of the access before and lacks
// nothing stays, so that an access and its end agree.
func (c *Core) enrich(a *beesting.Access) {
	a.Placement.Container = c.withWorkload(a.Placement.Container)
	a.ActorContainer = c.withWorkload(a.ActorContainer)
}

// withWorkload returns a copy: the container is shared.
func (c *Core) withWorkload(container *beesting.Container) *beesting.Container {
	from := c.workloads.Load()
	if from == nil || container == nil {
		return container
	}
	if old := container.Pod.Workload; old != nil && old.Unresolved == "" {
		return container
	}
	w, _ := from.Workload(container.Pod)
	if w == nil {
		return container
	}
	with := *container
	with.Pod.Workload = w
	return &with
}

// unresolved is why the API server's part of the token's container is missing; empty
// if it isn't.
func unresolved(p beesting.Placement) beesting.Unresolved {
	if p.Container == nil || p.Container.Pod.Workload == nil {
		return ""
	}
	return p.Container.Pod.Workload.Unresolved
}
