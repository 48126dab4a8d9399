package exporter

import (
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/beesting-otel/beesting"
)

// taskRows is the rest of what describes the acting process: where it stands
// and what it may do.
var taskRows = []row{
	{semconv.ProcessWorkingDirectoryKey, onBoth,
		"the working directory, as the process sees it",
		func(f *facts) attribute.Value { return text(f.access.Process.WorkingDirectory) }},
	{"honeytoken.process.ancestors", onBoth,
		"the parent, its parent and so on up to the one that the entry process came from (the runtime's shim, say), at most 8: each as process id, time of the start and name (`comm`), with a space in between; the name is all of the rest, and for the process to choose",
		func(f *facts) attribute.Value { return texts(ancestors(f.access.Process.Ancestors)) }},
	{"honeytoken.process.capabilities", onBoth,
		"the effective capabilities, by their names in capabilities(7); left out when there are none",
		func(f *facts) attribute.Value { return texts(capabilities(f.access.Process.Capabilities)) }},
	{"honeytoken.process.namespace.mnt", onBoth,
		"the inode number of its mount namespace, as in `/proc/PID/ns/mnt`",
		inNamespaces(func(n beesting.Namespaces) uint32 { return n.Mount })},
	{"honeytoken.process.namespace.pid", onBoth,
		"of its pid namespace",
		inNamespaces(func(n beesting.Namespaces) uint32 { return n.PID })},
	{"honeytoken.process.namespace.net", onBoth,
		"of its network namespace",
		inNamespaces(func(n beesting.Namespaces) uint32 { return n.Net })},
	{"honeytoken.process.namespace.user", onBoth,
		"of its user namespace",
		inNamespaces(func(n beesting.Namespaces) uint32 { return n.User })},
	{"honeytoken.process.namespace.cgroup", onBoth,
		"of its cgroup namespace",
		inNamespaces(func(n beesting.Namespaces) uint32 { return n.Cgroup })},
}

func inNamespaces(inode func(beesting.Namespaces) uint32) func(*facts) attribute.Value {
	return func(f *facts) attribute.Value { return number(inode(f.access.Process.Namespaces)) }
}

// maxAncestor bounds an ancestor's name in bytes. The kernel's has 15
// (TASK_COMM_LEN); the bound holds for any source.
const maxAncestor = 64

func ancestors(all []beesting.Ancestor) []string {
	var out []string
	for _, p := range all[:min(len(all), beesting.MaxAncestors)] {
		start := "-"
		if !p.StartTime.IsZero() {
			start = p.StartTime.UTC().Format(time.RFC3339Nano)
		}
		out = append(out, fmt.Sprintf("%d %s %s", p.PID, start, bounded(p.Comm, maxAncestor)))
	}
	return out
}

// capabilityNames is by bit (include/uapi/linux/capability.h, Linux 5.9, which
// was the last to add one).
var capabilityNames = [...]string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
	"CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
	"CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
	"CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
	"CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// capabilities names the bits of a set. A bit that is newer than the table has
// its number for a name.
func capabilities(set uint64) []string {
	var names []string
	for bit := range 64 {
		switch {
		case set&(1<<bit) == 0:
		case bit < len(capabilityNames):
			names = append(names, capabilityNames[bit])
		default:
			names = append(names, fmt.Sprintf("CAP_%d", bit))
		}
	}
	return names
}
