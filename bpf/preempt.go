//go:build linux && (amd64 || arm64)

package bpf

import (
	"os"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

func inOrder(preempts bool) []Mode {
	if preempts {
		return []Mode{ModeLSM, ModeKprobe, ModeFentry}
	}
	return Modes()
}

// kernelPreempts says whether a task can be preempted inside the kernel.
func kernelPreempts() bool {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return true
	}
	// root only, and not mounted everywhere
	model, err := os.ReadFile("/sys/kernel/debug/sched/preempt")
	if err != nil {
		model = nil
	}
	return preempts(unix.ByteSliceToString(u.Version[:]), string(model))
}

// preempts reads the kernel's version ("#1 SMP PREEMPT_DYNAMIC Debian …",
// scripts/mkcompile_h) and, where the model can be chosen at boot (5.12), the
// one in force: "none (voluntary) full" (kernel/sched/debug.c). Unknown counts
// as yes.
func preempts(version, model string) bool {
	if !strings.Contains(version, "PREEMPT") {
		return false
	}
	if !strings.Contains(version, "PREEMPT_DYNAMIC") {
		return true
	}
	chosen := regexp.MustCompile(`\((\w+)\)`).FindStringSubmatch(model)
	return chosen == nil || chosen[1] == "full" || chosen[1] == "lazy"
}
