// Package k8s has the tests of beesting in a Kubernetes cluster: a real control
// plane, a real kubelet and containerd, the chart installed by Helm, the image that
// is released, and a real Collector behind it. They are built with the tag k8s and
// run as root in namespaces of their own (see test/k8s/cmd/k8s). The sensor
// is what this machine's kernel allows, fanotify at least.
package k8s
