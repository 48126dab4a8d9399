// Package fanotify is the sensor for machines that refuse eBPF: it needs
// CAP_SYS_ADMIN, Linux 5.0 and CONFIG_FANOTIFY_ACCESS_PERMISSIONS, and gives the
// same events as package bpf for the kinds of access that fanotify(7) knows.
//
// A task that opens, executes or reads a watched inode waits (FAN_OPEN_PERM,
// FAN_OPEN_EXEC_PERM, FAN_ACCESS_PERM) until it has been looked at in /proc, so
// that what is told about it is true even if it is gone a millisecond later. The
// answer is always to go on.
//
// The kernel itself lets such a task wait for ever, unless it is answered,
// killed, or the last descriptor of the fanotify group is closed. Hence three
// bounds, one for each thing that can get stuck:
//
//   - a look at /proc that takes long: the guard, a process of its own that
//     holds the group, answers after 100 ms;
//   - an agent that is stopped, swapped out or dead: the same, and from the
//     second such touch on the guard doesn't wait for the agent at all until it
//     has heard of it again. When the agent dies, the guard ends;
//   - a guard that is stopped or starved: a kernel timer kills it after a second
//     without a sign of life, which closes the group. Package and workloads go
//     on; a new guard is started.
//
// What is left: a freezer of cgroup v1 defers SIGKILL until it thaws. Who
// freezes the guard together with the agent that way makes tasks that touch a
// token wait as long. (On cgroup v2, SIGKILL ends a frozen process.) Files on
// FUSE are refused, because their daemon could keep the guard from running.
// Where the kernel can't open the token for the guard (no memory, or a security
// module that forbids it to), it denies the task's access: that is the kernel's
// doing and can't be chosen otherwise; it ends the guard at the first time.
package fanotify

//go:generate guard/build.sh
