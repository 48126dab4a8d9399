package collector

import "syscall"

// diesWithParent has the kernel end the Collector when the test is gone,
// whatever became of it.
func diesWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
