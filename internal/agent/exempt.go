package agent

// Exempt names the actors that the kernel recognises, each by the identity of
// what the path leads to on the host: never by a name that a process gives
// itself.
type Exempt struct {
	// Binaries and Cgroups are the configuration's: touches by processes that
	// run these binaries or are in these cgroups are counted and not told.
	// Binaries are paths of the host, Cgroups paths below the root of the
	// cgroup v2 hierarchy.
	Binaries, Cgroups []string
	// Runtimes and Kubelets are binaries whose touches are told with the class
	// runtime or kubelet. If nil, the usual paths are tried, and processes of
	// the host that run such a binary; if empty, none.
	Runtimes, Kubelets []string
}
