//go:build linux && (amd64 || arm64)

package bpf

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// Open loads and attaches the programs in the mode that the options name, or in
// the first that works, and proves that they run. It needs CAP_BPF, CAP_PERFMON
// and, before 5.11, CAP_SYS_RESOURCE to lift the limit on locked memory.
//
// With Options.Pin it takes over what an earlier process left there: see
// [Sensor.Resumed].
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
// leaves none attached. It takes the limits of o; o.Mode and o.Pin play no part.
func Probe(o Options) []Attempt {
	preempts := kernelPreempts()
	attempts := make([]Attempt, 0, len(Modes()))
	o.Pin = ""
	for _, mode := range inOrder(preempts) {
		o.Mode = mode
		var coverage []KindSupport
		s, err := Open(o)
		if err == nil {
			coverage = s.Coverage()
			err = s.Close()
		}
		var oe *OpenError
		if errors.As(err, &oe) && len(oe.Attempts) == 1 {
			err = oe.Attempts[0].Err
		}
		a := Attempt{Mode: mode, Err: err, Coverage: coverage}
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
	spec, absent, err := specOf(mode, o)
	if err != nil {
		return nil, err
	}
	// Before the verifier goes through all of them.
	if err := tryMode(mode); err != nil {
		return nil, err
	}
	s := &Sensor{
		mode: mode, tier: o.Tier, absent: absent, locked: lockedDown(),
		watches: map[*Watch]struct{}{}, byPlacement: map[uint64]*Watch{}, names: map[string]int{},
	}
	var left *leftover
	if o.Pin != "" {
		if s.pins, left, err = findPins(o.Pin, spec); err != nil {
			return nil, err
		}
		defer left.close()
	}
	if !s.adopt(o, spec, left) {
		if err := s.attachNew(o, spec, left); err != nil {
			return nil, err
		}
		if err := s.activate(left); err != nil {
			return nil, errors.Join(err, s.abandon(left))
		}
	}
	s.followCopyUps()
	return s, nil
}

// attachNew loads this process's own programs and attaches them. After an error the
// sensor is closed.
func (s *Sensor) attachNew(o Options, spec *ebpf.CollectionSpec, left *leftover) error {
	if err := s.load(spec, left); err != nil {
		return errors.Join(err, s.Close())
	}
	links, nowhere, err := attachAll(spec, s.coll.Programs)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	s.links, s.absent = links, append(s.absent, nowhere...)
	s.build = buildOf(s.mode, o, spec, slices.Collect(maps.Keys(links)))
	return nil
}

// load brings the programs into the kernel, over the maps of an earlier process
// where there are any.
func (s *Sensor) load(spec *ebpf.CollectionSpec, left *leftover) error {
	s.generation = left.generation() + 1
	if s.pins != nil {
		s.generation = max(s.generation, s.pins.last+1)
	}
	if err := spec.Variables["generation"].Set(s.generation); err != nil {
		return fmt.Errorf("constant generation: %w", err)
	}
	// Of the ring that there is: an earlier process' has another size perhaps.
	forRepeats := uint64(spec.Maps["events"].MaxEntries) / 4 * 3
	if err := spec.Variables["ring_full_for_repeats"].Set(forRepeats); err != nil {
		return fmt.Errorf("constant ring_full_for_repeats: %w", err)
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: left.replacements()})
	if err != nil {
		return explain("load", err)
	}
	s.coll = coll
	return s.openMaps(spec)
}

// openMaps prepares what is read from maps.
func (s *Sensor) openMaps(spec *ebpf.CollectionSpec) (err error) {
	if s.filterOffset, err = offsetOf(spec, "filter"); err != nil {
		return err
	}
	if s.ring, err = newRing(s.coll.Maps["events"]); err != nil {
		return fmt.Errorf("event ring: %w", err)
	}
	return nil
}

// activate hands the work to this generation of programs, proves that they do
// it, and pins them.
func (s *Sensor) activate(left *leftover) error {
	s.resumed = left.describe()
	if err := s.identify(); err != nil {
		return err
	}
	// Who is killed from here on leaves a generation that may lack something.
	if err := s.coll.Variables["build"].Set(uint64(0)); err != nil {
		return fmt.Errorf("activation: %w", err)
	}
	if err := s.coll.Variables["active"].Set(s.generation); err != nil {
		return fmt.Errorf("activation: %w", err)
	}
	if err := s.prove(); err != nil || s.pins == nil {
		return err
	}
	return s.pins.keep(s)
}

// prove has the active programs show that they run, and takes over what they were
// told by an earlier process.
func (s *Sensor) prove() error {
	if err := s.selfTest(); err != nil || s.resumed == nil {
		return err
	}
	return s.takeOverSettings()
}

// identify tells the programs who this process is: its pid, and the namespace in
// which it has that pid.
func (s *Sensor) identify() error {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &st); err != nil {
		return fmt.Errorf("own pid namespace: %w", err)
	}
	me := lsmIdentity{
		// The kernel's dev_t, not user space's (include/linux/kdev_t.h).
		NsDev:  uint64(unix.Major(st.Dev))<<20 | uint64(unix.Minor(st.Dev)),
		NsIno:  st.Ino,
		NsTgid: uint32(os.Getpid()),
	}
	if err := s.coll.Variables["self"].Set(&me); err != nil {
		return fmt.Errorf("own identity: %w", err)
	}
	return nil
}

// selfTest makes this process known to the programs, then watches and lets go of
// a file that nobody else can see. All of it goes through the hook of opens, so
// it fails when that does not run.
func (s *Sensor) selfTest() error {
	fd, err := unix.MemfdCreate("beesting", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	f := os.NewFile(uintptr(fd), "self-test")
	defer f.Close()
	again, result, err := s.enrol(f, lsmEnrolment{Op: enrolClaim})
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	if err := again.Close(); err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	switch {
	case result.Done == 0 && s.mode == ModeLSM:
		return fmt.Errorf("%w: put bpf into the kernel's lsm= list (see /sys/kernel/security/lsm)", ErrHookSilent)
	case result.Done == 0:
		return fmt.Errorf("self-test: %w", ErrHookSilent)
	}
	w, err := s.Watch(f, ^uint64(0))
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
