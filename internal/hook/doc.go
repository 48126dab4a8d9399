// Package hook is the agent's side of planting by an OCI hook: it unpacks the
// program that the runtime runs while it creates a container, and talks to it.
//
//	agent: Expect → ticket ─ NRI ─→ runtime: runs the program with the ticket
//	agent: files ← Serve ─ unix socket ─→ program: makes them in the root
//
// The agent gets a descriptor of every file that was made, so it looks at the
// inode itself and believes no number.
//
// # Who may talk
//
// The agent answers a peer that has its own user id (SO_PEERCRED, unix(7)),
// runs the unpacked program (the inode of /proc/PID/exe), and names a ticket
// with its secret and the container that it was made for. A ticket is good once
// and for a limited time. The program in turn talks only through a socket, in a
// directory and to a process that belong to root.
//
// The secret travels in the environment of the hook, as the OCI configuration
// has no other way to the program but arguments, which everybody on the host
// can read in /proc/PID/cmdline; /proc/PID/environ needs the right to trace the
// process. It is in the container's configuration too (the bundle, containerd's
// API), both for root only, and spent when the container has been created. A
// file in its place would be readable for the same root, cost the handler of
// the runtime's request a write, and be left behind by creations that fail.
//
// The secret keeps the content of tokens, and the say on where they are, from a
// process that has uid 0 and the path of the socket, say in a container with a
// host path mounted, which can also run the program. It doesn't keep root of the
// host out, who can read the tokens' files anyway. The program's inode keeps out
// who has found a secret and nothing else; it isn't proof by itself, as a socket
// can be connected before execve(2) and shared.
//
// # Where a hook is no way
//
// A hook that can't be executed fails its container, whatever is in it. So
// [Server.Expect] refuses a ticket
//
//   - for a container with a user namespace (ErrUserNamespace): runc runs
//     createContainer hooks from the container's init process, which is in it
//     by then. The program would have to be executable, and the socket open, for
//     every user of the host; and the program could not tell the agent from
//     anybody else, as there all users outside are one (overflowuid,
//     user_namespaces(7)).
//   - for a container with less memory or processes than the program takes
//     beside the runtime's own (ErrTight): it runs in the container's cgroup,
//     with its limits set.
//   - when the program isn't where it was unpacked any more (ErrProgramGone).
//
// What the agent can't see remains: a limit of the pod's cgroup that is lower
// (podPidsLimit of the kubelet, 1024 and more as a rule), a runtime that doesn't
// see the program's path (a mount namespace of its own, MountFlags= of systemd),
// and a validator of NRI that forbids hooks (package nri).
//
// Measured: the program has 1.4 MiB and 0.8 ms more of run time than /bin/true,
// 1.7 ms in all, started 300 times by a busy machine of two cores.
package hook

// The program, for both architectures, compressed.
//
//go:generate program/build.sh
