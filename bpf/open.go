//go:build linux && (amd64 || arm64)

package bpf

import (
	"errors"
	"fmt"
	"math/bits"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// Open loads and attaches a program in the mode that the options name, or in
// the first that works, and proves that it runs. It needs CAP_BPF, CAP_PERFMON
// and, before 5.11, CAP_SYS_RESOURCE to lift the limit on locked memory.
//
// The error is an *OpenError when modes were tried; ErrNoBTF before that.
func Open(o Options) (*Sensor, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := prepare(); err != nil {
		return nil, err
	}

	modes := []Mode{o.Mode}
	if o.Mode == ModeAuto {
		modes = inOrder(kernelPreempts())
	}
	var refused []Attempt
	for _, mode := range modes {
		s, err := openMode(mode, o)
		if err == nil {
			s.refused = refused
			return s, nil
		}
		refused = append(refused, Attempt{Mode: mode, Err: err})
	}
	return nil, &OpenError{Attempts: refused}
}

// Probe tries every mode for real, in the order of ModeAuto on this kernel, and
// leaves none attached. It takes the limits of o; o.Mode plays no part.
func Probe(o Options) []Attempt {
	preempts := kernelPreempts()
	attempts := make([]Attempt, 0, len(Modes()))
	for _, mode := range inOrder(preempts) {
		o.Mode = mode
		s, err := Open(o)
		if err == nil {
			err = s.Close()
		}
		var oe *OpenError
		if errors.As(err, &oe) && len(oe.Attempts) == 1 {
			err = oe.Attempts[0].Err
		}
		a := Attempt{Mode: mode, Err: err}
		if err == nil && mode == ModeFentry && preempts {
			a.Note = NotePreempts
		}
		attempts = append(attempts, a)
	}
	return attempts
}

func prepare() error {
	if _, err := btf.LoadKernelSpec(); err != nil {
		if errors.Is(err, btf.ErrNotSupported) || errors.Is(err, os.ErrNotExist) {
			return ErrNoBTF
		}
		return fmt.Errorf("kernel BTF: %w", err)
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("limit on locked memory: %w", err)
	}
	return nil
}

// openMode gives a sensor that has been seen to work.
func openMode(mode Mode, o Options) (*Sensor, error) {
	spec, err := specOf(mode, o)
	if err != nil {
		return nil, err
	}
	s := &Sensor{mode: mode, watches: make(map[*Watch]struct{})}
	if err := spec.LoadAndAssign(&s.objs, nil); err != nil {
		return nil, explain("load", err)
	}
	s.reader, err = ringbuf.NewReader(s.objs.Events)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("event ring: %w", err), s.objs.close())
	}
	s.link, err = attach(mode, s.objs.FileOpen)
	if err != nil {
		return nil, errors.Join(explain("attach", err), s.Close())
	}
	if err := s.selfTest(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func specOf(mode Mode, o Options) (*ebpf.CollectionSpec, error) {
	var spec *ebpf.CollectionSpec
	var err error
	watches := uint32(2 * o.MaxWatches) // an overlay file is two inodes
	switch mode {
	case ModeLSM:
		spec, err = loadLsm()
		watches = 0 // inode storage is as large as it has to be
	case ModeFentry:
		spec, err = loadFentry()
	case ModeKprobe:
		spec, err = loadKprobe()
	default:
		err = fmt.Errorf("attach mode %q", mode)
	}
	if err != nil {
		return nil, err
	}
	if mode != ModeKprobe && errors.Is(features.HaveProgramHelper(ebpf.Kprobe, asm.FnGetCurrentTaskBtf), ebpf.ErrNotSupported) {
		return nil, ErrTooOld
	}
	spec.Maps["watches"].MaxEntries = watches
	spec.Maps["counts"].MaxEntries = uint32(o.MaxWatches)
	spec.Maps["events"].MaxEntries = ringSize(o.RingBytes)
	if lockedDown() {
		if mode == ModeKprobe {
			return nil, ErrLockedDown
		}
		if err := spec.Variables["read_args"].Set(false); err != nil {
			return nil, err
		}
	}
	return spec, identify(spec)
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

// identify tells the program who this process is: its pid, and the namespace in
// which it has that pid.
func identify(spec *ebpf.CollectionSpec) error {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &st); err != nil {
		return fmt.Errorf("own pid namespace: %w", err)
	}
	// The kernel's dev_t, not user space's (include/linux/kdev_t.h).
	dev := uint64(unix.Major(st.Dev))<<20 | uint64(unix.Minor(st.Dev))
	return errors.Join(
		spec.Variables["self_ns_dev"].Set(dev),
		spec.Variables["self_ns_ino"].Set(st.Ino),
		spec.Variables["self_tgid"].Set(uint32(os.Getpid())),
	)
}

func attach(mode Mode, prog *ebpf.Program) (link.Link, error) {
	switch mode {
	case ModeLSM:
		return link.AttachLSM(link.LSMOptions{Program: prog})
	case ModeFentry:
		return link.AttachTracing(link.TracingOptions{Program: prog})
	default:
		return link.Kprobe("security_file_open", prog, nil)
	}
}

// selfTest watches and lets go of a file that nobody else can see. Both go
// through the hook, so they fail when it does not run.
func (s *Sensor) selfTest() error {
	fd, err := unix.MemfdCreate("beesting", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	f := os.NewFile(uintptr(fd), "self-test")
	defer f.Close()
	w, err := s.Watch(f, ^uint64(0))
	if errors.Is(err, ErrHookSilent) && s.mode == ModeLSM {
		return fmt.Errorf("%w: put bpf into the kernel's lsm= list (see /sys/kernel/security/lsm)", ErrHookSilent)
	}
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	return nil
}

// explain adds what to do to the errors that users meet.
func explain(step string, err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES) && !isVerifier(err):
		// The library's text guesses at the memlock limit, which has been lifted.
		return fmt.Errorf("%s: %w (needs root, or CAP_BPF and CAP_PERFMON; some hosts refuse it even then)", step, unix.EPERM)
	case errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("%s: %w by this kernel", step, err)
	}
	return fmt.Errorf("%s: %w", step, err)
}

func isVerifier(err error) bool {
	var ve *ebpf.VerifierError
	return errors.As(err, &ve)
}
