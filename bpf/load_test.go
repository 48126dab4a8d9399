//go:build linux && (amd64 || arm64)

package bpf

import (
	"fmt"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// The numbers of include/uapi/asm-generic/unistd.h, also of calls that are newer
// than the headers of the library.
func TestKindsBySyscall(t *testing.T) {
	kinds := kindsBySyscall()
	for nr, want := range map[int]Kind{463: KindXattr, 464: KindXattr, 465: 0, 466: KindXattr, 469: KindSetattr} {
		if kinds[nr] != want {
			t.Errorf("system call %d: %v, want %v", nr, kinds[nr], want)
		}
	}
	for nr := range kinds {
		if nr < 0 || nr >= 512 {
			t.Errorf("system call %d: the table ends at 512", nr)
		}
	}
}

func TestNoPlace(t *testing.T) {
	for err, want := range map[error]bool{
		os.ErrNotExist: true, ebpf.ErrNotSupported: true, unix.EINVAL: true, unix.ENOENT: true, unix.Errno(524): true,
		unix.EPERM: false, unix.EBUSY: false, unix.ENOMEM: false,
	} {
		if got := noPlace(fmt.Errorf("attach: %w", err)); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
	if noPlace(nil) {
		t.Error("an attached program has a place")
	}
}
