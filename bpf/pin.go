//go:build linux && (amd64 || arm64)

package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

/*
What is pinned, under the directory that Options.Pin names:

	v4/maps/NAME        the maps; "bss" holds the variables
	v4/links/N/NAME     the attached programs of generation N

4 is the layout (sensor.h). A process that starts loads its own programs over
the maps it finds and attaches them; they do nothing until the variable `active`
names their generation. That is set in one store, from which on the earlier
generation does nothing, and is detached: no touch is missed or seen twice. Maps
of another layout can't be read; their programs are detached once ours run.
Programs that are the same as its own it goes on with instead (adopt.go).
*/
const bpffsMagic = 0xcafe4a11 // BPF_FS_MAGIC, include/uapi/linux/magic.h

// pins are a directory for this layout.
type pins struct {
	root string // as the options name it
	dir  string // of this layout
	last uint32 // the highest generation that has links; 0 if none has
}

// leftover is what an earlier process pinned. A nil one is nothing.
type leftover struct {
	maps   map[string]*ebpf.Map
	active uint32
	build  uint64
	alive  time.Duration
	count  int
	kept   []KeptSize
}

// pinnedName is the name of a map's file: dots are refused by the file system.
func pinnedName(name string) string { return strings.TrimPrefix(name, ".") }

// shared says whether generations share a map. Not the constants, nor what lasts
// for one touch: not every mode has all of those, and nobody misses them.
func shared(name string) bool {
	return !slices.Contains([]string{".rodata", "pending", "telling", "links"}, name)
}

// findPins makes the directory, and looks what is in it. The sizes of maps that
// are there go before those that the options ask for.
func findPins(root string, spec *ebpf.CollectionSpec) (*pins, *leftover, error) {
	p := &pins{root: root, dir: filepath.Join(root, fmt.Sprintf("v%d", layout))}
	if err := os.MkdirAll(filepath.Join(p.dir, "maps"), 0o700); err != nil {
		return nil, nil, fmt.Errorf("pin directory: %w", err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(p.dir, &st); err != nil {
		return nil, nil, fmt.Errorf("pin directory %s: %w", root, err)
	}
	if st.Type != bpffsMagic {
		return nil, nil, errors.Join(fmt.Errorf("pin directory %s: %w", root, ErrNotBPFFS), os.RemoveAll(p.dir))
	}
	var err error
	if p.last, err = lastGeneration(p.dir); err != nil {
		return nil, nil, err
	}
	left, err := p.mapsFor(spec)
	return p, left, err
}

// lastGeneration is the highest that has links. It can be another than the active
// one, if a process ended in the middle of its start.
func lastGeneration(dir string) (uint32, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "links"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("pinned programs: %w", err)
	}
	var last uint32
	for _, entry := range entries {
		if n, err := strconv.ParseUint(entry.Name(), 10, 32); err == nil {
			last = max(last, uint32(n))
		}
	}
	return last, nil
}

// mapsFor returns the pinned maps that the programs of spec can go on with. It
// returns nil if there are none, or not all of them, or others than are wanted:
// then this start begins anew, as beside another layout.
func (p *pins) mapsFor(spec *ebpf.CollectionSpec) (*leftover, error) {
	left := &leftover{maps: map[string]*ebpf.Map{}}
	for name, m := range spec.Maps {
		if !shared(name) {
			continue
		}
		found, err := ebpf.LoadPinnedMap(filepath.Join(p.dir, "maps", pinnedName(name)), nil)
		if err == nil {
			left.maps[name] = found
			sized := m.Copy()
			sized.MaxEntries, sized.Flags = found.MaxEntries(), found.Flags()
			err = sized.Compatible(found)
		}
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, ebpf.ErrMapIncompatible) {
			left.close()
			return nil, nil
		}
		if err != nil {
			left.close()
			return nil, fmt.Errorf("pinned map %s: %w", name, err)
		}
	}
	if err := left.read(spec); err != nil {
		left.close()
		return nil, err
	}
	for name, found := range left.maps {
		m := spec.Maps[name]
		if m.MaxEntries != found.MaxEntries() {
			left.kept = append(left.kept, KeptSize{Map: name, Size: found.MaxEntries(), Wanted: m.MaxEntries})
		}
		m.MaxEntries, m.Flags = found.MaxEntries(), found.Flags()
	}
	slices.SortFunc(left.kept, func(a, b KeptSize) int { return strings.Compare(a.Map, b.Map) })
	return left, nil
}

func offsetOf(spec *ebpf.CollectionSpec, variable string) (int64, error) {
	v := spec.Variables[variable]
	if v == nil {
		return 0, fmt.Errorf("variable %s: not in the object", variable)
	}
	return int64(v.Offset), nil
}

// read takes the variables that say how far the earlier process got.
func (l *leftover) read(spec *ebpf.CollectionSpec) error {
	bss, err := l.maps[".bss"].LookupBytes(uint32(0))
	if err != nil {
		return fmt.Errorf("pinned variables: %w", err)
	}
	var alive uint64
	for name, out := range map[string]any{"active": &l.active, "alive": &alive, "build": &l.build} {
		v := spec.Variables[name]
		if v == nil || int(v.Offset)+int(v.Size()) > len(bss) {
			return fmt.Errorf("pinned variable %s: not found", name)
		}
		raw := bss[v.Offset : v.Offset+uint32(v.Size())]
		switch out := out.(type) {
		case *uint32:
			*out = binary.NativeEndian.Uint32(raw)
		case *uint64:
			*out = binary.NativeEndian.Uint64(raw)
		}
	}
	l.alive = time.Duration(alive) //nolint:gosec // nanoseconds since boot
	var id uint64
	var c lsmCount
	for all := l.maps["counts"].Iterate(); all.Next(&id, &c); {
		l.count++
	}
	return nil
}

func (l *leftover) close() {
	if l == nil {
		return
	}
	for _, m := range l.maps {
		_ = m.Close() // clones are in use
	}
}

// generation is the active one, 0 if there is none.
func (l *leftover) generation() uint32 {
	if l == nil {
		return 0
	}
	return l.active
}

func (l *leftover) replacements() map[string]*ebpf.Map {
	if l == nil {
		return nil
	}
	return l.maps
}

func (l *leftover) describe() *Resumed {
	if l == nil {
		return nil
	}
	return &Resumed{Since: l.alive, Placements: l.count, Kept: l.kept}
}

// keep pins what is not yet, and lets go of every other generation and layout.
func (p *pins) keep(s *Sensor) error {
	dir := filepath.Join(p.dir, "links", fmt.Sprint(s.generation))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("pin programs: %w", err)
	}
	for name, l := range s.links {
		err := l.Pin(filepath.Join(dir, name))
		if errors.Is(err, ebpf.ErrNotSupported) {
			return fmt.Errorf("pin program %s: %w", name, ErrUnpinnable)
		}
		if err != nil {
			return fmt.Errorf("pin program %s: %w", name, err)
		}
	}
	if s.resumed == nil { // last, as this is the end of what an earlier one left
		if err := p.pinMaps(s.coll); err != nil {
			return err
		}
	}
	if err := p.dropOthers(filepath.Base(dir)); err != nil {
		return err
	}
	// Last: it says that everything is there.
	if err := s.coll.Variables["build"].Set(s.build); err != nil {
		return fmt.Errorf("pin programs: %w", err)
	}
	return nil
}

func (p *pins) pinMaps(coll *ebpf.Collection) error {
	// Of a start that got half way, or of others that can't be gone on with. All at
	// once: who is killed here leaves too few, and not two processes' together.
	dir := filepath.Join(p.dir, "maps")
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return fmt.Errorf("pin maps: %w", err)
	}
	for name, m := range coll.Maps {
		if !shared(name) {
			continue
		}
		if err := m.Pin(filepath.Join(dir, pinnedName(name))); err != nil {
			return fmt.Errorf("pin map %s: %w", name, err)
		}
	}
	return nil
}

// dropOthers detaches earlier generations: a link that is neither open nor
// pinned is gone.
func (p *pins) dropOthers(generation string) error {
	var errs []error
	for _, dir := range []struct{ in, keep string }{
		{filepath.Join(p.dir, "links"), generation},
		{p.root, filepath.Base(p.dir)},
	} {
		entries, err := os.ReadDir(dir.in)
		errs = append(errs, err)
		for _, entry := range entries {
			if entry.Name() != dir.keep && (dir.in != p.root || isLayout(entry.Name())) {
				errs = append(errs, os.RemoveAll(filepath.Join(dir.in, entry.Name())))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("earlier programs: %w", err)
	}
	return nil
}

// abandon undoes a start that failed after attaching: the earlier generation, if
// there was one, goes on.
func (s *Sensor) abandon(left *leftover) error {
	errs := []error{s.coll.Variables["active"].Set(left.generation())}
	if s.pins != nil {
		errs = append(errs, os.RemoveAll(filepath.Join(s.pins.dir, "links", fmt.Sprint(s.generation))))
		switch {
		case left != nil:
		case s.pins.last == 0:
			errs = append(errs, os.RemoveAll(s.pins.dir))
		default: // earlier programs go on, and these maps aren't theirs
			errs = append(errs, os.RemoveAll(filepath.Join(s.pins.dir, "maps")))
		}
	}
	s.pins = nil // so that Close detaches
	return errors.Join(append(errs, s.Close())...)
}

// Uninstall detaches and removes everything that sensors pinned under dir, and
// dir itself if it is empty then. It returns what it removed, sorted, as paths
// relative to dir; nothing to remove is no error.
func Uninstall(dir string) ([]string, error) {
	removed, err := Pinned(dir)
	if err != nil || len(removed) == 0 {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("uninstall: %w", err)
	}
	for _, entry := range entries {
		if !isLayout(entry.Name()) {
			continue
		}
		// Links first: a program whose maps are gone from the file system still runs.
		for _, part := range []string{"links", "maps", ""} {
			if err := os.RemoveAll(filepath.Join(dir, entry.Name(), part)); err != nil {
				return nil, fmt.Errorf("uninstall: %w", err)
			}
		}
	}
	_ = os.Remove(dir) // only if it is empty
	return removed, nil
}

// Pinned lists what sensors pinned under dir, sorted, as paths relative to it. A
// dir that isn't there has nothing.
func Pinned(dir string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) && path == dir {
			return filepath.SkipAll
		}
		if err != nil || d.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if isLayout(strings.Split(relative, string(filepath.Separator))[0]) {
			found = append(found, relative)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("pinned programs and maps: %w", err)
	}
	return found, nil
}

func isLayout(name string) bool {
	var n int
	_, err := fmt.Sscanf(name, "v%d", &n)
	return err == nil && name == fmt.Sprintf("v%d", n)
}
