//go:build linux && (amd64 || arm64)

package comparator

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Program is an attached comparator.
type Program struct {
	objs comparatorObjects
	link link.Link
	prog *ebpf.Program
}

// Empty attaches a BPF LSM program at file_open that does nothing: the floor for
// every BPF program there.
func Empty() (*Program, error) {
	p, err := load(1)
	if err != nil {
		return nil, err
	}
	p.prog = p.objs.Empty
	p.link, err = link.AttachLSM(link.LSMOptions{Program: p.prog})
	return p, p.attached(err)
}

// ByNumber attaches a kprobe at security_file_open that looks inode and device
// number up in a hash map with room for so many files: the way of the first
// proof of concept.
func ByNumber(room int) (*Program, error) {
	p, err := load(room)
	if err != nil {
		return nil, err
	}
	p.prog = p.objs.ByNumber
	p.link, err = link.Kprobe("security_file_open", p.prog, nil)
	return p, p.attached(err)
}

func load(room int) (*Program, error) {
	spec, err := loadComparator()
	if err != nil {
		return nil, err
	}
	spec.Maps["watched"].MaxEntries = uint32(room)
	p := &Program{}
	if err := spec.LoadAndAssign(&p.objs, nil); err != nil {
		return nil, fmt.Errorf("comparator: %w", err)
	}
	return p, nil
}

func (p *Program) attached(err error) error {
	if err != nil {
		return errors.Join(fmt.Errorf("comparator: %w", err), p.objs.Close())
	}
	return nil
}

// Watch puts a file into the hash map.
func (p *Program) Watch(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	// The kernel's dev_t, not user space's (include/linux/kdev_t.h).
	dev := unix.Major(st.Dev)<<20 | unix.Minor(st.Dev)
	return p.objs.Watched.Put(comparatorKey{Ino: st.Ino, Dev: dev}, uint64(1))
}

// Seen returns how many opens of watched files ByNumber has seen.
func (p *Program) Seen() (uint64, error) {
	var n uint64
	err := p.objs.Seen.Get(&n)
	return n, err
}

// Runs returns how often the program ran since statistics were enabled.
func (p *Program) Runs() (uint64, error) {
	stats, err := p.prog.Stats()
	if err != nil {
		return 0, err
	}
	return stats.RunCount, nil
}

// Close detaches the program.
func (p *Program) Close() error {
	return errors.Join(p.link.Close(), p.objs.Close())
}
