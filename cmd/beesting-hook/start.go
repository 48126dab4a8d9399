//go:build linux

package main

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/internal/hook/wire"
)

// task is what the agent wants, as it is in the environment.
type task struct {
	socket string
	ticket [wire.TicketLen]byte
	secret [wire.SecretLen]byte
}

func fromEnvironment(get func(string) (string, bool)) (task, error) {
	var t task
	var ok bool
	if t.socket, ok = get("HOOK_SOCKET"); !ok || t.socket == "" {
		return t, &trouble{"started without a task: only a container runtime runs this", nil}
	}
	ticket, _ := get("HOOK_TICKET")
	secret, _ := get("HOOK_SECRET")
	if !unhex(t.ticket[:], ticket) || !unhex(t.secret[:], secret) {
		return t, &trouble{"malformed ticket or secret", nil}
	}
	return t, nil
}

func unhex(to []byte, from string) bool {
	if len(from) != 2*len(to) {
		return false
	}
	for i := range to {
		high, low := digit(from[2*i]), digit(from[2*i+1])
		if high < 0 || low < 0 {
			return false
		}
		to[i] = byte(high<<4 | low)
	}
	return true
}

func digit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// maxState bounds what is read of the container's state. Its annotations may
// have 256 KiB (Kubernetes' TotalAnnotationSizeLimitB); they come last.
const maxState = 1 << 20

// readAll reads to the end, or as far as it goes.
func readAll(fd int) []byte {
	all := make([]byte, 0, 4096)
	for len(all) < maxState {
		if len(all) == cap(all) {
			all = append(all, make([]byte, len(all))...)[:len(all)]
		}
		n, err := unix.Read(fd, all[len(all):cap(all)])
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil || n <= 0:
			return all
		default:
			all = all[:len(all)+n]
		}
	}
	return all
}

// openRoot opens the working directory and makes sure that it can only be a
// container's root: the root of a mount, in a place that is not "/". A runtime
// that runs its hooks elsewhere (the specification wants the container's
// namespaces, and says nothing of the working directory) would have this write
// into the host's files. It returns -1 and the reason otherwise.
func openRoot() (fd int, problem string) {
	fd, err := unix.Open(".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, "working directory: " + err.Error()
	}
	if problem = notARoot(fd); problem != "" {
		_ = unix.Close(fd)
		return -1, problem
	}
	return fd, ""
}

func notARoot(fd int) string {
	var here, top unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_MNT_ID, &here); err != nil {
		return "look at the working directory: " + err.Error()
	}
	if err := unix.Statx(unix.AT_FDCWD, "/", 0, unix.STATX_INO|unix.STATX_MNT_ID, &top); err != nil {
		return "look at the root directory: " + err.Error()
	}
	// Both since Linux 5.8.
	if here.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT == 0 || here.Mask&top.Mask&unix.STATX_MNT_ID == 0 {
		return "this kernel does not say what is a mount"
	}
	if here.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return "the working directory is not the root of a mount"
	}
	sameFile := here.Ino == top.Ino && here.Dev_major == top.Dev_major && here.Dev_minor == top.Dev_minor
	if here.Mnt_id == top.Mnt_id || sameFile {
		return "the working directory is the host's root"
	}
	return ""
}
