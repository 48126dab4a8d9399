package main

import "golang.org/x/sys/unix"

const (
	sysStatAt  = unix.SYS_NEWFSTATAT
	elfMachine = 62
)

// chainCode executes the next of its arguments with those that are left, and
// ends with 0 when it is the last, with the error's number when that fails.
func chainCode() []byte {
	return []byte{
		0x8b, 0x3c, 0x24, // mov (%rsp),%edi: argc
		0xff, 0xcf, // dec %edi
		0x74, 0x13, // jz exit
		0x48, 0x8d, 0x74, 0x24, 0x10, // lea 16(%rsp),%rsi: &argv[1]
		0x48, 0x8b, 0x3e, // mov (%rsi),%rdi
		0x31, 0xd2, // xor %edx,%edx
		0xb8, 59, 0, 0, 0, // mov $59,%eax: execve
		0x0f, 0x05, // syscall
		0x89, 0xc7, // mov %eax,%edi
		0xb8, 60, 0, 0, 0, // exit: mov $60,%eax
		0x0f, 0x05, // syscall
	}
}
