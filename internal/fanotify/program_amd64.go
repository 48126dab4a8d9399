//go:build linux

package fanotify

import _ "embed"

//go:embed guard/guard_amd64.elf
var guardProgram string

// openCalls are the system calls that open a file, by number, and which of
// their arguments has the flags. openat2 has them in user memory.
const (
	sysOpen           = 2
	sysCreat          = 85
	sysOpenat         = 257
	sysOpenByHandleAt = 304
)
