package exporter

import (
	"path"
	"slices"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/beesting-otel/beesting"
)

// processRows describes the acting process as the kernel had it at the moment
// of the touch. Process ids are the host's.
var processRows = []row{
	{semconv.ProcessPIDKey, onBoth,
		"the process's id (thread group id), in the host's pid namespace",
		func(f *facts) attribute.Value { return number(f.access.Process.PID) }},
	{"honeytoken.process.tid", onBoth,
		"the acting thread's id, in the host's pid namespace",
		func(f *facts) attribute.Value { return number(f.access.Process.TID) }},
	{semconv.ProcessCreationTimeKey, onBoth,
		"when the process was started",
		func(f *facts) attribute.Value { return timestamp(f.access.Process.StartTime) }},
	{semconv.ProcessExecutablePathKey, onBoth,
		"the executable's path as the kernel resolves it: not for the process to choose, as its name and its arguments are",
		func(f *facts) attribute.Value { return text(f.access.Process.Executable) }},
	{semconv.ProcessExecutableNameKey, onBoth,
		"the last element of process.executable.path",
		func(f *facts) attribute.Value { return text(executableName(&f.access.Process)) }},
	{"honeytoken.process.executable_truncated", onBoth,
		"true when process.executable.path holds the path's last elements only",
		func(f *facts) attribute.Value { return mark(f.access.Process.ExecutableTruncated) }},
	{"honeytoken.process.comm", onBoth,
		"the acting thread's name (`comm`), at most 15 bytes, which the process can set as it likes",
		func(f *facts) attribute.Value { return text(f.access.Process.Comm) }},
	{semconv.ProcessCommandArgsKey, onBoth,
		"the argument vector, sanitised and bounded; see [Arguments](#arguments)",
		func(f *facts) attribute.Value { return texts(f.args.args) }},
	{"honeytoken.process.args_redacted", onBoth,
		"true when a part of process.command_args was replaced by `[redacted]`",
		func(f *facts) attribute.Value { return mark(f.args.redacted) }},
	{"honeytoken.process.args_truncated", onBoth,
		"true when the argument vector was longer than what was taken",
		func(f *facts) attribute.Value { return mark(f.args.truncated) }},
	{semconv.ProcessParentPIDKey, onBoth,
		"the parent's process id",
		func(f *facts) attribute.Value { return number(f.access.Process.ParentPID) }},
	{"honeytoken.process.parent.creation.time", onBoth,
		"when the parent was started; with its id it names the parent for good",
		func(f *facts) attribute.Value { return timestamp(f.access.Process.ParentStartTime) }},
	{"honeytoken.process.entry.pid", onBoth,
		"the topmost ancestor in the same cgroup: the container's first process, or the one an exec brought in. The trace id is derived from it",
		func(f *facts) attribute.Value { return number(f.access.Process.EntryPID) }},
	{semconv.ProcessSessionLeaderPIDKey, onBoth,
		"the POSIX session's id (setsid(2)), which is its leader's process id",
		func(f *facts) attribute.Value { return number(f.access.Process.SessionLeaderPID) }},
	{semconv.ProcessUserIDKey, onBoth,
		"the effective user id, in the host's user namespace",
		ofProcess(func(p *beesting.Process) attribute.Value { return attribute.Int64Value(int64(p.EUID)) })},
	{semconv.ProcessRealUserIDKey, onBoth,
		"the real user id, in the host's user namespace",
		ofProcess(func(p *beesting.Process) attribute.Value { return attribute.Int64Value(int64(p.UID)) })},
	{"honeytoken.process.group.id", onBoth,
		"the effective group id, in the host's user namespace",
		ofProcess(func(p *beesting.Process) attribute.Value { return attribute.Int64Value(int64(p.EGID)) })},
	{"honeytoken.process.real_group.id", onBoth,
		"the real group id, in the host's user namespace",
		ofProcess(func(p *beesting.Process) attribute.Value { return attribute.Int64Value(int64(p.GID)) })},
	{"honeytoken.process.login_user.id", onBoth,
		"the audit login uid: who logged in, whatever su and sudo made of it since; left out when nobody did",
		ofProcess(func(p *beesting.Process) attribute.Value {
			if p.LoginUID == beesting.LoginUIDUnset {
				return attribute.Value{}
			}
			return attribute.Int64Value(int64(p.LoginUID))
		})},
	{"honeytoken.process.audit_session.id", onBoth,
		"the audit session's id; left out without one",
		ofProcess(func(p *beesting.Process) attribute.Value {
			if p.AuditSession == beesting.AuditSessionUnset {
				return attribute.Value{}
			}
			return attribute.Int64Value(int64(p.AuditSession))
		})},
	{"honeytoken.process.cgroup.id", onBoth,
		"the id of the process's cgroup in the unified hierarchy (its inode number), a string",
		func(f *facts) attribute.Value {
			if f.access.Process.CgroupID == 0 {
				return attribute.Value{}
			}
			return text(strconv.FormatUint(f.access.Process.CgroupID, 10))
		}},
}

// ofProcess is for values whose zero means something (root is 0): they are
// left out only when there is no process at all.
func ofProcess(value func(*beesting.Process) attribute.Value) func(*facts) attribute.Value {
	return func(f *facts) attribute.Value {
		if f.access.Process.PID == 0 {
			return attribute.Value{}
		}
		return value(&f.access.Process)
	}
}

func executableName(p *beesting.Process) string {
	if p.Executable == "" {
		return ""
	}
	return path.Base(p.Executable)
}

// actorRows says where the acting process runs when that isn't the token's own
// container; the resource stays the token's.
var actorRows = slices.Concat(actorPlaceRows, actorWorkloadRows)

var actorPlaceRows = []row{
	{"honeytoken.actor.class", onBoth,
		"`workload` (a process of the token's own container), `other_container`, `host` (outside of every known container), `runtime` or `kubelet` (it runs the binary of the container runtime or of the kubelet, told by the file, not by its name), `agent`, or `allowed` (exempted in the configuration; reported only if that says so)",
		func(f *facts) attribute.Value { return text(string(f.access.Actor)) }},
	{"honeytoken.actor.container.id", onBoth,
		"the acting process's container, when it is known and not the token's own",
		byContainer(func(c *beesting.Container) attribute.Value { return text(c.ID) })},
	{"honeytoken.actor.container.image.name", onBoth,
		"its image's repository",
		byContainer(func(c *beesting.Container) attribute.Value { return text(c.ImageName) })},
	{"honeytoken.actor.k8s.namespace.name", onBoth,
		"its pod's namespace",
		byContainer(func(c *beesting.Container) attribute.Value { return text(c.Pod.Namespace) })},
	{"honeytoken.actor.k8s.pod.name", onBoth,
		"its pod's name",
		byContainer(func(c *beesting.Container) attribute.Value { return text(c.Pod.Name) })},
	{"honeytoken.actor.k8s.pod.uid", onBoth,
		"its pod's uid in Kubernetes",
		byContainer(func(c *beesting.Container) attribute.Value { return text(c.Pod.UID) })},
	{"honeytoken.actor.k8s.container.name", onBoth,
		"its name in its pod's specification",
		byContainer(func(c *beesting.Container) attribute.Value { return text(c.Name) })},
}

func byContainer(value func(*beesting.Container) attribute.Value) func(*facts) attribute.Value {
	return func(f *facts) attribute.Value {
		if f.access.ActorContainer == nil {
			return attribute.Value{}
		}
		return value(f.access.ActorContainer)
	}
}
