// Package deploy has the tests of what deploy/otel installs: the Helm chart and the
// kustomize bases are rendered by Helm and kustomize themselves, every document is
// decoded strictly into Kubernetes' types, and held against the rules that
// docs/kubernetes.md states. None needs a cluster or a network.
//
// The bases, the chart's README and its copies of the Collector's configurations are
// made by `go test -update`.
package deploy

//go:generate go test -run AreCurrent|IsCurrent -count=1 . -update
