//go:build linux && (amd64 || arm64)

package comparator

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Programs are comparators that are attached together.
type Programs struct {
	progs []*ebpf.Program
	links []link.Link
}

// Empty attaches BPF LSM programs that do nothing, one for each operation that
// is measured: the floor for every BPF program there.
func Empty() (*Programs, error) {
	var objs struct {
		Open  *ebpf.Program `ebpf:"empty_file_open"`
		Stat  *ebpf.Program `ebpf:"empty_inode_getattr"`
		Read  *ebpf.Program `ebpf:"empty_file_permission"`
		Mmap  *ebpf.Program `ebpf:"empty_mmap_file"`
		Check *ebpf.Program `ebpf:"empty_bprm_check_security"`
	}
	spec, err := loadComparator()
	if err != nil {
		return nil, err
	}
	if err := spec.LoadAndAssign(&objs, nil); err != nil {
		return nil, fmt.Errorf("empty programs: %w", err)
	}
	p := &Programs{progs: []*ebpf.Program{objs.Open, objs.Stat, objs.Read, objs.Mmap, objs.Check}}
	for _, prog := range p.progs {
		l, err := link.AttachLSM(link.LSMOptions{Program: prog})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("empty program %s: %w", prog, err), p.Close())
		}
		p.links = append(p.links, l)
	}
	return p, nil
}

// Runs returns how often each program ran since statistics were enabled.
func (p *Programs) Runs() ([]uint64, error) {
	var runs []uint64
	for _, prog := range p.progs {
		stats, err := prog.Stats()
		if err != nil {
			return nil, err
		}
		runs = append(runs, stats.RunCount)
	}
	return runs, nil
}

// Close detaches the programs.
func (p *Programs) Close() error {
	var errs []error
	for _, l := range p.links {
		errs = append(errs, l.Close())
	}
	for _, prog := range p.progs {
		errs = append(errs, prog.Close())
	}
	return errors.Join(errs...)
}

// Hash is a kprobe that looks inode and device numbers up in a hash map.
type Hash struct {
	Programs
	watched *ebpf.Map
	seen    *ebpf.Variable
}

// ByNumber attaches at security_file_open, with room for so many files: the way
// of the first proof of concept.
func ByNumber(room int) (*Hash, error) {
	var objs struct {
		Prog    *ebpf.Program  `ebpf:"by_number"`
		Watched *ebpf.Map      `ebpf:"watched"`
		Seen    *ebpf.Variable `ebpf:"seen"`
	}
	spec, err := hashSpec(room)
	if err != nil {
		return nil, err
	}
	if err := spec.LoadAndAssign(&objs, nil); err != nil {
		return nil, fmt.Errorf("program at security_file_open: %w", err)
	}
	return attachHash("security_file_open", objs.Prog, objs.Watched, objs.Seen)
}

// ByPermission attaches at inode_permission, as Kive does.
func ByPermission(room int) (*Hash, error) {
	var objs struct {
		Prog    *ebpf.Program  `ebpf:"by_permission"`
		Watched *ebpf.Map      `ebpf:"watched"`
		Seen    *ebpf.Variable `ebpf:"seen"`
	}
	spec, err := hashSpec(room)
	if err != nil {
		return nil, err
	}
	second, err := inodeIsSecond()
	if err != nil {
		return nil, err
	}
	if err := spec.Variables["inode_is_second"].Set(second); err != nil {
		return nil, err
	}
	if err := spec.LoadAndAssign(&objs, nil); err != nil {
		return nil, fmt.Errorf("program at inode_permission: %w", err)
	}
	return attachHash("inode_permission", objs.Prog, objs.Watched, objs.Seen)
}

func hashSpec(room int) (*ebpf.CollectionSpec, error) {
	spec, err := loadComparator()
	if err != nil {
		return nil, err
	}
	spec.Maps["watched"].MaxEntries = uint32(room)
	return spec, nil
}

// inodeIsSecond tells where this kernel's inode_permission takes the inode.
func inodeIsSecond() (bool, error) {
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return false, err
	}
	var fn *btf.Func
	if err := kernel.TypeByName("inode_permission", &fn); err != nil {
		return false, fmt.Errorf("inode_permission: %w", err)
	}
	proto, ok := fn.Type.(*btf.FuncProto)
	if !ok {
		return false, errors.New("inode_permission: no prototype")
	}
	const sinceIDMaps = 3
	return len(proto.Params) == sinceIDMaps, nil
}

func attachHash(symbol string, prog *ebpf.Program, watched *ebpf.Map, seen *ebpf.Variable) (*Hash, error) {
	h := &Hash{Programs: Programs{progs: []*ebpf.Program{prog}}, watched: watched, seen: seen}
	l, err := link.Kprobe(symbol, prog, nil)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("kprobe: %w", err), h.Close())
	}
	h.links = append(h.links, l)
	return h, nil
}

// Watch puts a file into the hash map.
func (h *Hash) Watch(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	// The kernel's dev_t, not user space's (include/linux/kdev_t.h).
	dev := unix.Major(st.Dev)<<20 | unix.Minor(st.Dev)
	return h.watched.Put(comparatorKey{Ino: st.Ino, Dev: dev}, uint64(1))
}

// Seen returns how often the program has met a watched file.
func (h *Hash) Seen() (uint64, error) {
	var n uint64
	err := h.seen.Get(&n)
	return n, err
}

// Close detaches the program and lets go of the map.
func (h *Hash) Close() error { return errors.Join(h.Programs.Close(), h.watched.Close()) }
