package image

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// firstCode is the whole program of [First] for x86-64. The kernel enters it
// with argc at (%rsp), argv[0] at 8(%rsp), argv[1] at 16(%rsp)
// (System V ABI, x86-64 supplement, 3.4.1).
var firstCode = []byte{
	0x48, 0x8b, 0x74, 0x24, 0x10, // mov 16(%rsp), %rsi   path = argv[1]
	0xbf, 0x9c, 0xff, 0xff, 0xff, // mov $-100, %edi      AT_FDCWD
	0x31, 0xd2, //                   xor %edx, %edx       O_RDONLY
	0xb8, 0x01, 0x01, 0x00, 0x00, // mov $257, %eax       openat
	0x0f, 0x05, //                   syscall
	0x89, 0xc7, //                   mov %eax, %edi
	0xc1, 0xef, 0x1f, //             shr $31, %edi        1 if the open failed
	0xb8, 0xe7, 0x00, 0x00, 0x00, // mov $231, %eax       exit_group
	0x0f, 0x05, //                   syscall
}

// First returns a static executable whose first system call, five instructions
// after the kernel enters it, opens the file named by its first argument. It
// exits at once, with 0 if the open succeeded and 1 if not. No compiler makes
// a program like that (every language's runtime runs first), so it is put
// together here: one ELF header, one program header, the code.
func First(arch string) ([]byte, error) {
	if arch != "amd64" {
		return nil, fmt.Errorf("first-instruction program for %s: only amd64 is known", arch)
	}
	const (
		base    = 0x400000
		headers = 64 + 56
	)
	size := uint64(headers + len(firstCode))
	var b bytes.Buffer
	b.Write([]byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	fields := []any{
		uint16(2), uint16(62), uint32(1), // ET_EXEC, EM_X86_64, EV_CURRENT
		uint64(base + headers), uint64(64), uint64(0), // entry, phoff, shoff
		uint32(0), uint16(64), uint16(56), uint16(1), // flags, ehsize, phentsize, phnum
		uint16(0), uint16(0), uint16(0), // no section headers
		uint32(1), uint32(5), // PT_LOAD, R+X
		uint64(0), uint64(base), uint64(base), // offset, vaddr, paddr
		size, size, uint64(0x1000), // filesz, memsz, align
	}
	for _, f := range fields {
		if err := binary.Write(&b, binary.LittleEndian, f); err != nil {
			return nil, err
		}
	}
	b.Write(firstCode)
	return b.Bytes(), nil
}
