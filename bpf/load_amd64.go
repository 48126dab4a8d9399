//go:build linux

package bpf

import "golang.org/x/sys/unix"

// oldSyscalls are those that newer architectures don't have.
func oldSyscalls() map[int]Kind {
	return map[int]Kind{
		unix.SYS_READLINK: KindReadlink,
	}
}
