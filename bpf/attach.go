//go:build linux && (amd64 || arm64)

package bpf

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// attachAll attaches every program; after an error none is. file_open comes
// last: it is what enrols, so that what it lets in, all others see.
func attachAll(spec *ebpf.CollectionSpec, programs map[string]*ebpf.Program) (map[string]link.Link, error) {
	names := slices.Sorted(maps.Keys(programs))
	if i := slices.Index(names, "file_open"); i >= 0 {
		names = append(slices.Delete(names, i, i+1), "file_open")
	}
	links := make(map[string]link.Link, len(names))
	for _, name := range names {
		l, err := attach(spec.Programs[name], programs[name])
		if err != nil {
			return nil, errors.Join(explain("attach "+name, err), closeLinks(links))
		}
		links[name] = l
	}
	return links, nil
}

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
