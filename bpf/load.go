//go:build linux && (amd64 || arm64)

package bpf

import (
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"os"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"
)

// reconPrograms are those of recon.h.
func reconPrograms() []string {
	return []string{"vfs_open", "filename_lookup_exit", "inode_permission_exit"}
}

// specOf gives what is to be loaded on this kernel, and which programs are left
// out because the kernel lacks what they attach to.
func specOf(mode Mode, o Options) (spec *ebpf.CollectionSpec, absent []string, err error) {
	switch mode {
	case ModeLSM:
		spec, err = loadLsm()
	case ModeFentry:
		spec, err = loadFentry()
	case ModeKprobe:
		spec, err = loadKprobe()
	default:
		err = fmt.Errorf("attach mode %q", mode)
	}
	if err != nil {
		return nil, nil, err
	}
	if mode != ModeKprobe && errors.Is(features.HaveProgramHelper(ebpf.Kprobe, asm.FnGetCurrentTaskBtf), ebpf.ErrNotSupported) {
		return nil, nil, ErrTooOld
	}
	locked := lockedDown()
	if locked && mode == ModeKprobe {
		return nil, nil, ErrLockedDown
	}
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return nil, nil, fmt.Errorf("kernel BTF: %w", err)
	}
	if absent, err = prune(spec, o.Tier, kernel); err != nil {
		return nil, nil, err
	}
	size(spec, o)
	if mode == ModeKprobe {
		// Up to 6.0 a kprobe with a map that allocates on demand makes the
		// kernel warn (check_map_prog_compatibility, kernel/bpf/verifier.c).
		spec.Maps["counts"].Flags &^= unix.BPF_F_NO_PREALLOC
		spec.Maps["names"].Flags &^= unix.BPF_F_NO_PREALLOC
	}
	return spec, absent, setConstants(spec, kernel, mode, o, locked)
}

// prune takes out what the tier doesn't want and what this kernel doesn't have.
func prune(spec *ebpf.CollectionSpec, tier Tier, kernel *btf.Spec) (absent []string, err error) {
	for name, p := range spec.Programs {
		if tier != TierRecon && slices.Contains(reconPrograms(), name) {
			delete(spec.Programs, name)
			continue
		}
		if p.Type == ebpf.RawTracepoint || p.AttachType == ebpf.AttachTraceRawTp {
			continue // as old as 4.13
		}
		target := p.AttachTo
		if p.Type == ebpf.LSM {
			target = "bpf_lsm_" + target
		}
		_, err := arity(kernel, target)
		if errors.Is(err, btf.ErrNotFound) {
			delete(spec.Programs, name)
			absent = append(absent, name)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("kernel function %s: %w", target, err)
		}
	}
	slices.Sort(absent)
	return absent, nil
}

// arity is the number of arguments of a kernel function.
func arity(kernel *btf.Spec, name string) (int, error) {
	var f *btf.Func
	if err := kernel.TypeByName(name, &f); err != nil {
		return 0, err
	}
	proto, ok := f.Type.(*btf.FuncProto)
	if !ok {
		return 0, fmt.Errorf("no prototype: %w", btf.ErrNotFound)
	}
	return len(proto.Params), nil
}

// maxBinaries is the room for actors' program files, whatever MaxWatches is.
const maxBinaries = 256

func size(spec *ebpf.CollectionSpec, o Options) {
	// An overlay file is two inodes, as is what it is mounted over or a directory.
	watches := uint32(4*o.MaxWatches + maxBinaries)
	spec.Maps["watches"].MaxEntries = watches
	spec.Maps["counts"].MaxEntries = uint32(o.MaxWatches)
	spec.Maps["accounts"].MaxEntries = uint32(o.MaxWatches)
	spec.Maps["events"].MaxEntries = ringSize(o.RingBytes)
}

// setConstants tells the programs about this kernel and the options.
func setConstants(spec *ebpf.CollectionSpec, kernel *btf.Spec, mode Mode, o Options, locked bool) error {
	hook := "security_inode_setxattr"
	if mode == ModeLSM {
		hook = "bpf_lsm_inode_setxattr"
	}
	xattr, err := arity(kernel, hook)
	if err != nil {
		return fmt.Errorf("kernel function %s: %w", hook, err)
	}
	unlink, err := arity(kernel, "vfs_unlink")
	if err != nil {
		return fmt.Errorf("kernel function vfs_unlink: %w", err)
	}
	kinds := [512]uint8{}
	for nr, kind := range kindsBySyscall() {
		kinds[nr] = uint8(kind)
	}
	set := func(name string, value any) error {
		if err := spec.Variables[name].Set(value); err != nil {
			return fmt.Errorf("constant %s: %w", name, err)
		}
		return nil
	}
	return errors.Join(
		set("may_probe", !locked),
		set("report_exempt", o.ReportExempt),
		set("repeat_interval", uint64(o.RepeatInterval)),
		set("link_seed", rand.Uint64()),
		set("xattr_moved", xattr == 6),
		set("moved", unlink == 4),
		set("kind_of_syscall", kinds),
	)
}

// Numbers that are the same on every architecture (scripts/syscall.tbl):
// setxattrat(2), getxattrat(2) and removexattrat(2) of 6.13, file_setattr(2) of
// 6.17.
const (
	setxattrat    = 463
	getxattrat    = 464
	removexattrat = 466
	fileSetattr   = 469
)

// kindsBySyscall names the kinds that only the system call tells apart.
func kindsBySyscall() map[int]Kind {
	kinds := map[int]Kind{
		unix.SYS_READLINKAT: KindReadlink,
		// What inode_permission refuses before their own hooks.
		unix.SYS_INOTIFY_ADD_WATCH: KindWatch, unix.SYS_FANOTIFY_MARK: KindWatch,
		unix.SYS_GETXATTR: KindXattr, unix.SYS_LGETXATTR: KindXattr, unix.SYS_FGETXATTR: KindXattr,
		unix.SYS_SETXATTR: KindXattr, unix.SYS_LSETXATTR: KindXattr, unix.SYS_FSETXATTR: KindXattr,
		unix.SYS_REMOVEXATTR: KindXattr, unix.SYS_LREMOVEXATTR: KindXattr, unix.SYS_FREMOVEXATTR: KindXattr,
		setxattrat: KindXattr, getxattrat: KindXattr, removexattrat: KindXattr,
		unix.SYS_TRUNCATE: KindSetattr,
		// What opens a path without naming it so.
		unix.SYS_OPEN_TREE: KindMount,
		// What asks for attributes on the way to something else.
		fileSetattr: KindSetattr, unix.SYS_IOCTL: KindClose,
	}
	for nr, kind := range oldSyscalls() {
		kinds[nr] = kind
	}
	return kinds
}

// lockedDown says whether lockdown=confidentiality is in force: every kernel that
// has a ring buffer has bpf_probe_read_kernel, unless lockdown takes it away.
func lockedDown() bool {
	err := features.HaveProgramHelper(ebpf.Kprobe, asm.FnProbeReadKernel)
	// The library's own rewriting of the helper keeps it from recognising the
	// refusal on 6.12, and gives the bare EINVAL.
	return errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EINVAL)
}

// ringSize is the next size that the kernel accepts: a power of two of pages.
func ringSize(n int) uint32 {
	n = max(n, os.Getpagesize())
	return uint32(1) << bits.Len32(uint32(n-1))
}
