//go:build linux

package bpf

// oldSyscalls are those that newer architectures don't have.
func oldSyscalls() map[int]Kind { return nil }
