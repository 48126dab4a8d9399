//go:build linux && (amd64 || arm64)

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unsafe"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/test/bench/internal/figure"
)

// sizes reports the programs of every mode and tier.
func (d *driver) sizes() error {
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return err
	}
	for _, mode := range bpf.Modes() {
		for _, tier := range bpf.Tiers() {
			s, err := sizesOf(kernel, mode, tier)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", mode, tier, err)
			}
			if err := report(figure.Figure{Sizes: &s}); err != nil {
				return err
			}
		}
	}
	return nil
}

func sizesOf(kernel *btf.Spec, mode bpf.Mode, tier bpf.Tier) (figure.Sizes, error) {
	out := figure.Sizes{Mode: string(mode), Tier: string(tier)}
	before, err := loadedPrograms()
	defer closeAll(before)
	if err != nil {
		return out, err
	}
	start := time.Now()
	s, err := bpf.Open(bpf.Options{Mode: mode, Tier: tier})
	out.LoadMilliseconds = float64(time.Since(start).Microseconds()) / 1000
	if err != nil {
		out.Unavailable = err.Error()
		return out, nil
	}
	all, err := loadedPrograms()
	defer closeAll(all)
	for _, l := range all {
		if err != nil {
			break
		}
		if contains(before, l) {
			continue
		}
		var p figure.Program
		p, err = programOf(kernel, l)
		out.Programs = append(out.Programs, p)
	}
	return out, errors.Join(err, s.Close())
}

func contains(all []loaded, l loaded) bool {
	for _, o := range all {
		if o.id == l.id {
			return true
		}
	}
	return false
}

// progInfo is struct bpf_prog_info of include/uapi/linux/bpf.h up to what is of
// interest here; attach_btf_id is not in cilium/ebpf's ProgramInfo.
type progInfo struct {
	Type, ID                uint32
	Tag                     [8]byte
	JitedLen, XlatedLen     uint32
	_                       [216 - 24]byte
	Verified                uint32
	AttachObject, AttachBTF uint32
	_                       uint32
}

func programOf(kernel *btf.Spec, l loaded) (figure.Program, error) {
	p := figure.Program{Name: l.name, Type: strings.ToLower(l.prog.Type().String())}
	var info progInfo
	// union bpf_attr for BPF_OBJ_GET_INFO_BY_FD.
	attr := struct {
		fd, length uint32
		info       unsafe.Pointer
	}{uint32(l.prog.FD()), uint32(unsafe.Sizeof(info)), unsafe.Pointer(&info)}
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_OBJ_GET_INFO_BY_FD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if errno != 0 {
		return p, fmt.Errorf("program %s: %w", l.name, os.NewSyscallError("bpf", errno))
	}
	p.Translated, p.Jited, p.Verified = int(info.XlatedLen), int(info.JitedLen), int(info.Verified)
	if info.AttachBTF != 0 {
		t, err := kernel.TypeByID(btf.TypeID(info.AttachBTF))
		if err != nil {
			return p, fmt.Errorf("program %s: hook: %w", l.name, err)
		}
		p.Hook = t.TypeName()
	}
	return p, nil
}
