//go:build linux && (amd64 || arm64)

package bpf

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// attachAll attaches every program, and names those that this kernel has no place
// for: a function can be among its types and still be closed to tracing, as one
// that is inlined or not to be probed. After any other error none is attached, and
// so without file_open, which comes last: it is what enrols, so that what it lets
// in, all others see.
func attachAll(spec *ebpf.CollectionSpec, programs map[string]*ebpf.Program) (attached map[string]link.Link, absent []string, err error) {
	names := slices.Sorted(maps.Keys(programs))
	if i := slices.Index(names, "file_open"); i >= 0 {
		names = append(slices.Delete(names, i, i+1), "file_open")
	}
	links := make(map[string]link.Link, len(names))
	for _, name := range names {
		l, err := attach(spec.Programs[name], programs[name])
		if name != "file_open" && noPlace(err) {
			absent = append(absent, name)
			continue
		}
		if err != nil {
			return nil, nil, errors.Join(explain("attach "+name, err), closeLinks(links))
		}
		links[name] = l
	}
	return links, absent, nil
}

// noPlace says whether an error is the kernel's for a function that can't be
// attached to, and not for all of them.
func noPlace(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, ebpf.ErrNotSupported) ||
		errors.Is(err, unix.EINVAL) || errors.Is(err, enotsupp)
}

// enotsupp is the kernel's ENOTSUPP (include/linux/errno.h), of a trampoline that
// the architecture has none for; user space has no name for it.
const enotsupp = unix.Errno(524)

func attach(spec *ebpf.ProgramSpec, program *ebpf.Program) (link.Link, error) {
	switch {
	case spec.Type == ebpf.LSM:
		return link.AttachLSM(link.LSMOptions{Program: program})
	case spec.Type == ebpf.Tracing:
		return link.AttachTracing(link.TracingOptions{Program: program})
	case spec.Type == ebpf.RawTracepoint:
		return link.AttachRawTracepoint(link.RawTracepointOptions{Name: spec.AttachTo, Program: program})
	case strings.HasPrefix(spec.SectionName, "kprobe/"):
		return link.Kprobe(spec.AttachTo, program, nil)
	}
	return nil, fmt.Errorf("program type %v", spec.Type)
}

func closeLinks(links map[string]link.Link) error {
	var errs []error
	for name, l := range links {
		if err := l.Close(); err != nil {
			errs = append(errs, fmt.Errorf("detach %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// tryMode attaches a program that does nothing, to be told soon where a mode is
// refused.
func tryMode(mode Mode) error {
	spec := &ebpf.ProgramSpec{
		Name: "beesting_try", License: "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	}
	switch mode {
	case ModeLSM:
		spec.Type, spec.AttachType, spec.AttachTo = ebpf.LSM, ebpf.AttachLSMMac, "file_open"
	case ModeFentry:
		spec.Type, spec.AttachType, spec.AttachTo = ebpf.Tracing, ebpf.AttachTraceFEntry, "security_file_open"
	default:
		spec.Type, spec.AttachTo, spec.SectionName = ebpf.Kprobe, "security_file_open", "kprobe/security_file_open"
	}
	program, err := ebpf.NewProgram(spec)
	if err != nil {
		return explain("load", err)
	}
	defer program.Close()
	l, err := attach(spec, program)
	if err != nil {
		return explain("attach", err)
	}
	if err := l.Close(); err != nil {
		return explain("detach", err)
	}
	return nil
}
