package main

import "golang.org/x/sys/unix"

const (
	sysStatAt  = unix.SYS_FSTATAT
	elfMachine = 183
)

// exitCode is mov x0,#0; mov x8,#93; svc #0.
func exitCode() []byte {
	return []byte{0x00, 0x00, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4}
}
