//go:build vmtest && linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/internal/check"
)

// chartCapabilityRows are those that the Helm chart leaves the agent
// (deploy/otel/chart/beesting, capabilities). `make test-k8s` tries to do with one
// less, where no eBPF is to be had; here is whether it can be had with these.
var chartCapabilityRows = []int{
	unix.CAP_SYS_ADMIN, unix.CAP_SYS_CHROOT, unix.CAP_SYS_PTRACE, unix.CAP_DAC_READ_SEARCH,
	unix.CAP_CHOWN, unix.CAP_FOWNER, unix.CAP_SETUID, unix.CAP_SETGID,
}

// TestCapabilitiesOfTheChart has every mode that works with all rights work with
// those of the chart, and with no way to get more.
func TestCapabilitiesOfTheChart(t *testing.T) {
	capabilities := chartCapabilityRows
	if major, minor := kernel(t); major < 5 || major == 5 && minor < 11 {
		capabilities = append(slices.Clone(capabilities), unix.CAP_SYS_RESOURCE) // docs/kubernetes.md
	}
	out := make(chan []byte, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		out <- checkWith(t, capabilities)
	}()
	var report check.Report
	if err := json.Unmarshal(<-out, &report); err != nil {
		t.Fatal(err)
	}
	works, _ := modes(t)
	for _, row := range report.Rows {
		if row.Name == "privileges" && row.Status != check.OK {
			t.Errorf("privileges: %s", row.Detail)
		}
		if mode, ok := strings.CutPrefix(row.Name, "attach "); ok && slices.Contains(works, mode) && len(row.Kinds) == 0 {
			t.Errorf("%s: %s", row.Name, row.Detail)
		}
	}
}

// checkWith runs `beesting check` with these capabilities at most. The rights are
// the thread's, and it never gets the others back.
func checkWith(t *testing.T, capabilities []int) []byte {
	for c := 0; c <= unix.CAP_LAST_CAP; c++ {
		if slices.Contains(capabilities, c) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			t.Errorf("drop capability %d: %v", c, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Error(err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "beesting", "check", "--json")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run() // there is no container runtime here, which is a row that fails
	t.Logf("%s", stderr.Bytes())
	return stdout.Bytes()
}
