package cgroup

import (
	"path"
	"strings"
)

// PodContainer returns the id in the path of a cgroup that a CRI runtime made for
// a container of a pod, or for the pod's sandbox: .../cri-containerd-ID.scope and
// .../crio-ID.scope with the systemd driver, and ID or crio-ID below the kubelet's
// kubepods with the other. What Docker and Podman make has other names.
func PodContainer(p string) (id string, ok bool) {
	base := path.Base(p)
	scope, isScope := strings.CutSuffix(base, ".scope")
	for _, prefix := range []string{"cri-containerd-", "crio-"} {
		if id, ok := strings.CutPrefix(scope, prefix); ok && isID(id) && (isScope || belowPods(p)) {
			return id, true
		}
	}
	return base, isID(base) && belowPods(p)
}

// belowPods reports whether a directory above the cgroup is the kubelet's for pods.
func belowPods(p string) bool {
	for part := range strings.SplitSeq(path.Dir(p), "/") {
		if part == "kubepods" || part == "kubepods.slice" {
			return true
		}
	}
	return false
}

// isID reports whether s is what containerd and CRI-O make as an id: 32 random
// bytes in hexadecimal.
func isID(s string) bool { return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "" }
