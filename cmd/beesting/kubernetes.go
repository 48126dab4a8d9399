package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/beesting-otel/beesting/internal/check"
	"github.com/beesting-otel/beesting/internal/config"
	"github.com/beesting-otel/beesting/internal/kube"
)

// cluster opens what asks the API server; nil where nobody is to be asked.
func (a *app) cluster(c config.Config, log *slog.Logger) (*kube.Cluster, error) {
	k := c.Kubernetes
	cluster, err := kube.OpenAs(k.Enabled, kube.Options{
		Place: kube.Place{Kubeconfig: k.Kubeconfig, Getenv: a.getenv, ServiceAccount: kube.ServiceAccount},
		Node:  c.NodeName, Labels: k.Labels, Annotations: k.Annotations, Log: log,
		UserAgent: "beesting/" + readVersion().Version,
	})
	if err != nil {
		return nil, fmt.Errorf("kubernetes: %w", err)
	}
	return cluster, nil
}

// apiServerRow says what `beesting check` finds of the API server. Nothing of it keeps
// the agent from its work.
func (a *app) apiServerRow(ctx context.Context, c config.Config) check.Row {
	row := check.Row{Name: "API server", Status: check.OK, Detail: notAsked}
	cluster, err := a.cluster(c, slog.New(slog.DiscardHandler))
	switch {
	case err != nil:
		row.Status, row.Detail, row.Advice = check.Fail, err.Error(), "set kubernetes.kubeconfig, or kubernetes.enabled to auto"
		return row
	case cluster == nil:
		return row
	}
	f := cluster.Look(ctx)
	row.Detail = fmt.Sprintf("%s, %d pods on %s", f.Server, f.Pods, f.Node)
	switch {
	case f.Err != nil:
		row.Status, row.Detail = check.Warn, fmt.Sprintf("%s: %v", f.Server, f.Err)
		row.Advice = "accesses are told without workloads until it answers"
	case len(f.Missing) > 0:
		row.Status, row.Detail = check.Warn, row.Detail+"; forbidden: "+strings.Join(f.Missing, "; ")
		row.Advice = "add these rules to the agent's ClusterRole (docs/workloads.md)"
	case f.NoNode:
		row.Status, row.Detail = check.Warn, row.Detail+"; there is no node of this name"
		row.Advice = "set nodeName, or NODE_NAME from spec.nodeName"
	}
	return row
}

const notAsked = "not asked: accesses are told with what the runtime knows"

// apiServerText is the row of `beesting status`.
func apiServerText(s *kube.Status, now time.Time) string {
	if s == nil {
		return notAsked
	}
	var text string
	switch s.State {
	case kube.StateConnected:
		text = fmt.Sprintf("connected to %s for %s", s.Server, since(now, s.Since))
	case kube.StateForbidden:
		text = fmt.Sprintf("FORBIDDEN at %s since %s ago", s.Server, since(now, s.Since))
	case kube.StateAway:
		text = fmt.Sprintf("AWAY since %s ago, %s: %s", since(now, s.Since), s.Server, s.Error)
	default:
		text = fmt.Sprintf("connecting to %s for %s", s.Server, since(now, s.Since))
	}
	text += fmt.Sprintf(", %d pods on %s, %d look-ups of owners", s.Pods, s.Node, s.Lookups)
	for _, why := range slices.Sorted(maps.Keys(s.Failed)) {
		text += fmt.Sprintf(", %d %s", s.Failed[why], why)
	}
	if s.Dropped+s.Full > 0 {
		text += fmt.Sprintf(", no room for %d pods and %d look-ups", s.Dropped, s.Full)
	}
	if len(s.Missing) > 0 {
		text += "; missing rules: " + strings.Join(s.Missing, "; ")
	}
	return text
}
