package main

import "golang.org/x/sys/unix"

const (
	sysStatAt  = unix.SYS_NEWFSTATAT
	elfMachine = 62
)

// exitCode is xor %edi,%edi; mov $60,%eax; syscall.
func exitCode() []byte { return []byte{0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05} }
