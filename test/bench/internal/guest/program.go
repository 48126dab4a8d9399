//go:build linux && (amd64 || arm64)

package main

import (
	"bytes"
	"encoding/binary"
)

// The addresses of chainProgram.
const (
	loadAddress = 0x400000
	headerSize  = 64 + 56 // one ELF header, one program header
)

// chainProgram is the smallest static program that does what is needed, in one
// segment: it executes the next of its arguments, and so on to the last. A compiled
// one would bring a C library's own reads and maps along.
func chainProgram() []byte {
	code := chainCode()
	var b bytes.Buffer
	put := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) } // to a buffer: can't go wrong
	// Elf64_Ehdr, elf(5).
	b.WriteString("\x7fELF\x02\x01\x01")
	b.Write(make([]byte, 9))
	put([]uint16{2, elfMachine}) // ET_EXEC
	put(uint32(1))
	put([]uint64{loadAddress + headerSize, 64, 0})
	put(uint32(0))
	put([]uint16{64, 56, 1, 0, 0, 0})
	// Elf64_Phdr: PT_LOAD, readable and executable, the whole file.
	size := uint64(headerSize + len(code))
	put([]uint32{1, 5})
	put([]uint64{0, loadAddress, loadAddress, size, size, 0x1000})
	b.Write(code)
	return b.Bytes()
}
