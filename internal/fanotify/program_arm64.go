//go:build linux

package fanotify

import _ "embed"

//go:embed guard/guard_arm64.elf
var guardProgram string

// The system calls that open a file. arm64 has neither open nor creat.
const (
	sysOpen           = -2
	sysCreat          = -3
	sysOpenat         = 56
	sysOpenByHandleAt = 265
)
