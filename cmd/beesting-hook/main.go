//go:build linux

// Command beesting-hook makes tokens inside the root of a container that is
// being created. The agent unpacks it (internal/hook) and has the runtime run
// it as a createContainer hook of the OCI runtime specification; a person never
// starts it.
//
// runc (1.1 to 1.5, libcontainer/rootfs_linux.go) runs such a hook from the
// container's init process, in the container's namespaces, before pivot_root(2):
// the working directory is the container's root with all mounts in place, "/" is
// still the host's, and a read-only root is not read-only yet. The state of the
// container comes on standard input as JSON.
//
// A container never fails because of it: the runtime takes every exit code but 0
// for a failure, so there is no other, whatever happens, a panic included; and
// after timeLimit the process ends wherever it stands. What goes wrong is told
// to the agent, or in one line on standard error where it can't be reached.
//
// What it has to know comes in the environment, which only root can read
// (/proc/PID/environ, proc(5)); arguments can be read by everybody on the host:
//
//	HOOK_SOCKET  path of the agent's socket
//	HOOK_TICKET  which container's tokens, in hexadecimal
//	HOOK_SECRET  the proof of being meant, in hexadecimal
//
// It has at most 3 MiB and starts in milliseconds. So it makes its system calls
// itself: net, os and fmt alone are larger than the rest.
package main

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// timeLimit bounds the whole run. Every container's start waits for it.
const timeLimit = time.Second

func main() {
	// exit_group(2) ends the process also while another thread waits for a
	// disk or for the agent.
	go func() {
		time.Sleep(timeLimit)
		say("gave up after " + timeLimit.String())
		syscall.Exit(0)
	}()
	if problem := guarded(run); problem != "" {
		say(problem)
	}
	syscall.Exit(0)
}

// guarded runs f and returns what went wrong, a panic included.
func guarded(f func() error) (problem string) {
	defer func() {
		if v := recover(); v != nil {
			problem = "panic"
			if err, ok := v.(error); ok {
				problem += ": " + err.Error()
			}
		}
	}()
	if err := f(); err != nil {
		return err.Error()
	}
	return ""
}

// say writes one line, which the runtime keeps if at all.
func say(problem string) {
	_, _ = unix.Write(2, []byte("hook: "+problem+"\n"))
}

func run() error {
	t, err := fromEnvironment(syscall.Getenv)
	if err != nil {
		return err
	}
	// Modes are given exactly; the runtime's umask is none of the container's.
	unix.Umask(0)
	root, problem := openRoot()
	if root >= 0 {
		defer unix.Close(root)
	}
	id, err := containerID(readAll(0))
	if err != nil && problem == "" {
		problem = err.Error()
	}
	socket, err := dial(t.socket)
	if err != nil {
		if problem != "" {
			return &trouble{problem + "; and " + err.Error(), nil}
		}
		return err
	}
	defer unix.Close(socket)
	c := conversation{socket: socket, root: root}
	return c.hold(t, id, problem)
}

// trouble says what was being done, and the system's word on it.
type trouble struct {
	what string
	err  error
}

func (t *trouble) Error() string {
	if t.err == nil {
		return t.what
	}
	return t.what + ": " + t.err.Error()
}

func (t *trouble) Unwrap() error { return t.err }
