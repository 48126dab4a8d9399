package main

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

const (
	sysStatAt  = unix.SYS_FSTATAT
	elfMachine = 183
)

// chainCode executes the next of its arguments with those that are left, and
// ends with 0 when it is the last, with the error's number when that fails.
func chainCode() []byte {
	var code []byte
	for _, word := range []uint32{
		0xf94003e0, // ldr x0, [sp]: argc
		0xf1000400, // subs x0, x0, #1
		0x540000c0, // b.eq exit
		0x910043e1, // add x1, sp, #16: &argv[1]
		0xf9400020, // ldr x0, [x1]
		0xd2800002, // mov x2, #0
		0xd2801ba8, // mov x8, #221: execve
		0xd4000001, // svc #0
		0xd2800ba8, // exit: mov x8, #93
		0xd4000001, // svc #0
	} {
		code = binary.LittleEndian.AppendUint32(code, word)
	}
	return code
}
