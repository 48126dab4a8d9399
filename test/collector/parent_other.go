//go:build !linux

package collector

import "syscall"

// diesWithParent has no counterpart here: a Collector outlives a test that was
// killed.
func diesWithParent() *syscall.SysProcAttr { return nil }
