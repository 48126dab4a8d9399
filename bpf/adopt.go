//go:build linux && (amd64 || arm64)

package bpf

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// What an earlier process pinned is gone on with as it is, if this one would load
// the same: the kernel then has nothing to verify again, which on a slow processor
// takes ten seconds and more, and what is attached stays so.

// buildOf names the programs of spec, and the constants in them that are not drawn:
// the same name, the same programs, on the same boot. It is never zero. links are
// those that are attached.
func buildOf(mode Mode, o Options, spec *ebpf.CollectionSpec, links []string) uint64 {
	object := map[Mode][]byte{ModeLSM: _LsmBytes, ModeFentry: _FentryBytes, ModeKprobe: _KprobeBytes}[mode]
	h := sha256.New()
	_, _ = h.Write(object) // returns no error
	fmt.Fprintln(h, mode, o.Tier, o.ReportExempt, o.RepeatInterval, lockedDown(), spec.Maps["events"].MaxEntries)
	fmt.Fprintln(h, slices.Sorted(maps.Keys(spec.Programs)), slices.Sorted(slices.Values(links)))
	return max(binary.NativeEndian.Uint64(h.Sum(nil)), 1)
}

// adopt takes over the attached programs that left has, if they are those that this
// process would load, all of them, and run. False says that this process has to load
// its own.
func (s *Sensor) adopt(o Options, spec *ebpf.CollectionSpec, left *leftover) bool {
	if left == nil || left.build == 0 {
		return false
	}
	dir := filepath.Join(s.pins.dir, "links", fmt.Sprint(left.active))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if buildOf(s.mode, o, spec, names) != left.build {
		return false
	}
	if err := s.adoptFrom(dir, names, spec, left); err != nil {
		s.disown()
		return false
	}
	for name := range spec.Programs {
		if s.links[name] == nil {
			s.absent = append(s.absent, name)
		}
	}
	return true
}

func (s *Sensor) adoptFrom(dir string, names []string, spec *ebpf.CollectionSpec, left *leftover) (err error) {
	s.coll, err = ebpf.NewCollectionWithOptions(sharedPart(spec), ebpf.CollectionOptions{MapReplacements: left.replacements()})
	if err != nil {
		return fmt.Errorf("pinned maps: %w", err)
	}
	if s.links, s.coll.Programs, err = pinnedLinks(dir, names); err != nil {
		return err
	}
	if err := s.openMaps(spec); err != nil {
		return err
	}
	s.generation, s.build, s.resumed = left.active, left.build, left.describe()
	if err := s.identify(); err != nil {
		return err
	}
	return s.prove()
}

// disown lets go of what adoptFrom had, as if it had not been tried: what is pinned
// goes on until this process's own programs run.
func (s *Sensor) disown() {
	_ = closeLinks(s.links) // of descriptors; the links are pinned
	if s.ring != nil {
		_ = s.ring.close()
	}
	if s.coll != nil {
		s.coll.Close()
	}
	s.links, s.ring, s.coll, s.generation, s.build, s.resumed = nil, nil, nil, 0, 0, nil
}

// sharedPart is what generations have in common: no programs, and no constants.
func sharedPart(spec *ebpf.CollectionSpec) *ebpf.CollectionSpec {
	out := spec.Copy()
	out.Programs = nil
	maps.DeleteFunc(out.Maps, func(name string, _ *ebpf.MapSpec) bool { return !shared(name) })
	maps.DeleteFunc(out.Variables, func(_ string, v *ebpf.VariableSpec) bool { return !shared(v.SectionName) })
	return out
}

// pinnedLinks opens the links of a generation, all of them or none, and their
// programs.
func pinnedLinks(dir string, names []string) (map[string]link.Link, map[string]*ebpf.Program, error) {
	links, programs := map[string]link.Link{}, map[string]*ebpf.Program{}
	var err error
	for _, name := range names {
		var p *ebpf.Program
		l, errLink := link.LoadPinnedLink(filepath.Join(dir, name), nil)
		if err = errLink; err == nil {
			links[name] = l
			p, err = programOf(l)
		}
		if err != nil {
			err = fmt.Errorf("pinned program %s: %w", name, err)
			break
		}
		programs[name] = p
	}
	if err == nil {
		return links, programs, nil
	}
	for _, p := range programs {
		err = errors.Join(err, p.Close())
	}
	return nil, nil, errors.Join(err, closeLinks(links))
}

func programOf(l link.Link) (*ebpf.Program, error) {
	info, err := l.Info()
	if err != nil {
		return nil, err
	}
	return ebpf.NewProgramFromID(info.Program)
}
