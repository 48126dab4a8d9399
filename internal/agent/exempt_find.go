package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/beesting-otel/beesting/bpf"
)

// usualBinaries are where a kind of binary usually is, and what processes that
// run it are called.
type usualBinaries struct {
	actor       bpf.Actor
	names, dirs []string
	comms       []string // cut to 15 bytes, as the kernel does
}

// usualBinaryTable: distributions' packages, the archives of the projects, k3s
// and RKE2 (which unpack theirs below data/current), Talos and Bottlerocket.
var usualBinaryTable = []usualBinaries{
	{
		actor: bpf.ActorRuntime,
		names: []string{"runc", "crun", "youki", "containerd", "containerd-shim-runc-v2", "conmon", "conmonrs", "crio"},
		dirs: []string{
			"/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/bin", "/opt/bin",
			"/usr/libexec/crio", "/usr/lib/cri-o-runc/sbin", "/opt/containerd/bin", "/home/kubernetes/bin",
			"/var/lib/rancher/k3s/data/current/bin", "/var/lib/rancher/rke2/bin", "/x86_64-bottlerocket-linux-gnu/sys-root/usr/bin",
		},
		comms: []string{"runc", "crun", "containerd", "containerd-shim", "conmon", "crio"},
	},
	{
		actor: bpf.ActorKubelet,
		names: []string{"kubelet"},
		dirs:  []string{"/usr/bin", "/usr/local/bin", "/opt/bin", "/home/kubernetes/bin", "/var/lib/rancher/rke2/bin"},
		comms: []string{"kubelet", "k3s-server", "k3s-agent"},
	},
}

func (u usualBinaries) paths() []string {
	var all []string
	for _, dir := range u.dirs {
		for _, name := range u.names {
			all = append(all, filepath.Join(dir, name))
		}
	}
	return all
}

// running recognises binaries at unusual paths by the processes that run them.
// A name is anybody's to choose, so it only counts for root's own processes in
// the host's mount namespace: who can have one of those owns the host.
func (x *exemptions) running() {
	host, err := x.proc.MountNamespace(1)
	if err != nil {
		return // not allowed to look, as in a container with a pid namespace
	}
	pids, err := x.proc.PIDs()
	if err != nil {
		return
	}
	for _, pid := range pids {
		comm, err := x.proc.Comm(pid)
		if err != nil {
			continue
		}
		for _, u := range usualBinaryTable {
			if slices.Contains(u.comms, comm) {
				x.runs(pid, host, u.actor)
			}
		}
	}
}

// runs recognises the binary of a process, if it is the host's.
func (x *exemptions) runs(pid int, host uint32, a bpf.Actor) {
	ns, err := x.proc.MountNamespace(pid)
	if err != nil || ns != host {
		return
	}
	dir := filepath.Join(string(x.proc), strconv.Itoa(pid))
	exe, err := os.Open(filepath.Join(dir, "exe"))
	if err != nil {
		return
	}
	defer exe.Close()
	if !ownedByRoot(dir) || !ownedByRoot(exe.Name()) {
		return
	}
	b := x.found(a)
	if err := x.recognise(exe, b); err != nil {
		x.warn(exe.Name(), "binary of a running process is not recognised", err)
	}
}

// found is the entry for binaries of running processes.
func (x *exemptions) found(a bpf.Actor) *program {
	const path = "" // leads nowhere
	for _, b := range x.binaries {
		if b.path == path && b.actor == a {
			return b
		}
	}
	b := &program{path: path, actor: a}
	x.binaries = append(x.binaries, b)
	return b
}
