package agent

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// errorType names an error as errno(3) does.
func errorType(errno uint16) string {
	if name := unix.ErrnoName(syscall.Errno(errno)); name != "" {
		return name
	}
	return fmt.Sprintf("errno %d", errno)
}
