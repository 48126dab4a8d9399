//go:build linux && (amd64 || arm64)

package bpf

import (
	"slices"
	"testing"
)

func TestPreempts(t *testing.T) {
	tests := []struct {
		version, model string
		want           bool
	}{
		{"#1 SMP Debian 5.10.262-1", "", false},
		{"#1 SMP PREEMPT_DYNAMIC Debian 6.12.117-1", "none (voluntary) full\n", false},
		{"#1 SMP PREEMPT_DYNAMIC Debian 7.3.4-1", "full (lazy)\n", true},
		{"#1 SMP PREEMPT_DYNAMIC", "none voluntary (full)\n", true},
		{"#1 SMP PREEMPT_DYNAMIC", "", true},
		{"#1 SMP PREEMPT_RT", "", true},
		{"#1 SMP PREEMPT", "", true},
	}
	for _, tt := range tests {
		if got := preempts(tt.version, tt.model); got != tt.want {
			t.Errorf("%q, %q: %v", tt.version, tt.model, got)
		}
	}
	if got := inOrder(true); !slices.Equal(got, []Mode{ModeLSM, ModeKprobe, ModeFentry}) {
		t.Errorf("order on a kernel that preempts: %v", got)
	}
}
