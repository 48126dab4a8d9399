package beesting

import "time"

// PlacementID names a placement towards the kernel: it is the value under the
// watched inode. It is never zero, and not reused while the node runs.
type PlacementID uint64

// Placement is one token planted in one container, or, without a container
// runtime, one watched file of the host.
type Placement struct {
	ID PlacementID
	// Token is the planted token. Content may be left out of copies that only
	// describe the placement.
	Token Token
	// TokenID is the canary id: unique per container and token, the same after
	// a restart of the agent.
	TokenID string
	// Container is where the token stands; nil for a file of the host.
	Container *Container
	// HostPath is the planted file as the host sees it.
	HostPath string
	// PlantedAt is when the file was made; the zero time if that isn't known.
	PlantedAt time.Time
}

// Container is what is known of a container from the runtime. Fields that the
// runtime did not give are empty.
type Container struct {
	ID           string
	Name         string
	ImageName    string // repository without tag or digest
	ImageTags    []string
	ImageDigests []string // repository digests, as "sha256:…"
	Runtime      string   // "containerd", "cri-o"
	RuntimeVer   string
	PID          int // of the container's first process, host's view; 0 before it exists
	CreatedAt    time.Time
	Pod          Pod
	// CgroupPath is the cgroup path as the runtime names it (cgroupfs path or
	// systemd "slice:prefix:name" form); informational.
	CgroupPath string
}

// Pod is the sandbox a container belongs to. Fields that the runtime did not
// give are empty.
type Pod struct {
	ID          string // the sandbox's id, not the Kubernetes uid
	Name        string
	Namespace   string
	UID         string // Kubernetes uid
	Labels      map[string]string
	Annotations map[string]string
	// Workload is what the cluster's API server says of it; nil if that isn't
	// asked.
	Workload *Workload
}
