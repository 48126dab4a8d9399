package exporter

import (
	"strings"

	"github.com/beesting-otel/beesting"
)

// hostile is an access with bytes that are no text, controls and too much of
// everything, wherever someone who is watched or a tenant can put them.
func hostile() beesting.Access {
	a := outsiderAccess()
	a.ID[0] = 0x66
	bad := "\xff\xfe\x00\x1b]0;x\a\u202e" + strings.Repeat("\x80", 3000) + strings.Repeat("ä", 4000)
	a.Process.Comm, a.Process.Executable = bad, "/"+bad
	a.Process.Args = []string{bad, bad, "--password", bad}
	a.Placement.Token.Path = "/" + bad
	c := a.Placement.Container
	c.Name, c.ImageName, c.ImageTags, c.Runtime = bad, bad, []string{bad}, bad
	c.Pod.Name, c.Pod.Namespace, c.Pod.UID = bad, bad, bad
	c.Pod.Annotations = map[string]string{beesting.AnnotationServiceName: bad}
	c.Pod.Labels = map[string]string{"team": bad}
	owner := beesting.Owner{Group: bad, Kind: bad, Name: bad, UID: bad}
	c.Pod.Workload = &beesting.Workload{
		Owners: []beesting.Owner{owner, owner}, Labels: map[string]string{"team": bad}, Annotations: map[string]string{"example.com/contact": bad},
		NodeUID: bad, ClusterUID: bad, Unresolved: beesting.Unresolved(bad),
	}
	a.ActorContainer.Pod.Workload = c.Pod.Workload
	a.ActorContainer.Name, a.ActorContainer.ImageName = bad, bad
	a.Partial = []string{bad}
	a.Detail, a.ErrorType, a.Process.WorkingDirectory = bad, bad, bad
	for range 20 {
		a.Process.Ancestors = append(a.Process.Ancestors, beesting.Ancestor{PID: 1, Comm: bad})
	}
	return a
}

// hostileGap is a gap of the same place.
func hostileGap() beesting.Gap {
	a := hostile()
	return beesting.Gap{Placement: a.Placement, Kind: beesting.AccessKind(a.Process.Comm), Cause: a.Process.Comm}
}
