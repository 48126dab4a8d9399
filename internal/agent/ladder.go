package agent

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/internal/fanotify"
	"github.com/beesting-otel/beesting/internal/state"
)

// ModeAttempt is the outcome of trying to attach in one mode; Err is nil where
// it works, and Note says what it falls short of, if anything.
type ModeAttempt struct {
	Mode string
	Err  error
	Note string
	// Kinds says which kinds of access a mode that works sees.
	Kinds []KindSupport
}

// OpenSensor attaches to the kernel in the mode that the options name. "auto" is
// a ladder: eBPF in the first of its modes that works, else fanotify, which sees
// less and can't be pinned. refused are the modes that were tried before. The
// error is a *bpf.OpenError when modes were tried.
//
// A pin directory is locked for as long as the sensor is open: an error that is
// state.ErrLocked says that another process has it.
func OpenSensor(o SensorOptions) (s Sensor, refused []ModeAttempt, err error) {
	return kernelLadder().open(o)
}

// ProbeSensor tries every mode in the order that "auto" does, and leaves none
// attached. o.Mode plays no part.
func ProbeSensor(o SensorOptions) []ModeAttempt { return kernelLadder().probe(o) }

// ladder is the ways to attach.
type ladder struct {
	ebpf      func(bpf.Options) (Sensor, []bpf.Attempt, error)
	probeEBPF func(bpf.Options) []bpf.Attempt
	fanotify  func(fanotify.Options) (Sensor, error)
}

func kernelLadder() ladder {
	return ladder{
		ebpf: openEBPF, probeEBPF: bpf.Probe,
		fanotify: func(o fanotify.Options) (Sensor, error) {
			s, err := fanotify.Open(o)
			if err != nil {
				return nil, err
			}
			return s, nil
		},
	}
}

func (l ladder) open(o SensorOptions) (Sensor, []ModeAttempt, error) {
	if o.Mode == string(bpf.ModeFanotify) {
		s, err := l.openFanotify(o)
		return s, nil, err
	}
	options, err := o.forBPF()
	if err != nil {
		return nil, nil, err
	}
	s, refused, err := l.ebpf(options)
	switch {
	case err == nil:
		return s, modeAttempts(refused), nil
	case options.Mode != bpf.ModeAuto, errors.Is(err, bpf.ErrNotBPFFS), errors.Is(err, state.ErrLocked):
		return nil, nil, err
	}
	refused = attemptsIn(err)
	s, err = l.openFanotify(o)
	if err != nil {
		return nil, nil, &bpf.OpenError{Attempts: append(refused, bpf.Attempt{Mode: bpf.ModeFanotify, Err: err})}
	}
	return s, modeAttempts(refused), nil
}

// attemptsIn says of each eBPF mode why it could not be had: none is tried where
// something is missing that all of them need.
func attemptsIn(err error) []bpf.Attempt {
	var tried *bpf.OpenError
	if errors.As(err, &tried) {
		return slices.Clone(tried.Attempts)
	}
	var all []bpf.Attempt
	for _, m := range bpf.Modes() {
		all = append(all, bpf.Attempt{Mode: m, Err: err})
	}
	return all
}

// fanotifyEvent is about what an event takes in memory.
const fanotifyEvent = 2 << 10

func (l ladder) openFanotify(o SensorOptions) (Sensor, error) {
	tier, err := bpf.ParseTier(o.Tier)
	if err != nil {
		return nil, err
	}
	f := fanotify.Options{
		Tier: tier, MaxWatches: o.MaxWatches, RepeatInterval: o.RepeatInterval, ReportExempt: o.ReportExempt,
	}
	if o.RingBytes > 0 {
		f.MaxEvents = max(o.RingBytes/fanotifyEvent, 64)
	}
	return l.fanotify(f)
}

// openEBPF opens a sensor and, if it is to be pinned, locks the place.
func openEBPF(o bpf.Options) (Sensor, []bpf.Attempt, error) {
	if o.Pin == "" {
		s, err := bpf.Open(o)
		if err != nil {
			return nil, nil, err
		}
		return FromBPF(s), s.Refused(), nil
	}
	lock, err := lockPin(o.Pin)
	if err != nil {
		return nil, nil, err
	}
	s, err := bpf.Open(o)
	if err != nil {
		err = errors.Join(err, removeEmpty(o.Pin), lock.Close())
	}
	switch {
	case errors.Is(err, bpf.ErrUnpinnable):
		// Watched while this process runs is better than by a lesser mode, or
		// not at all; callers see it in Pinned.
		o.Pin = ""
		return openEBPF(o)
	case err != nil:
		return nil, nil, err
	}
	return pinnedSensor{bpfSensor: bpfSensor{s}, lock: lock}, s.Refused(), nil
}

// lockPin makes the directory and locks it: two sensors over the same maps would
// take each other's events.
func lockPin(dir string) (*os.File, error) {
	err := os.MkdirAll(dir, 0o700)
	var lock *os.File
	if err == nil {
		lock, err = state.Lock(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("pin directory: %w", err)
	}
	return lock, nil
}

// pinnedSensor holds the lock of its directory.
type pinnedSensor struct {
	bpfSensor
	lock *os.File
}

// Close lets the next one in when the sensor is closed.
func (s pinnedSensor) Close() error {
	err := s.bpfSensor.Close()
	if errLock := s.lock.Close(); !errors.Is(errLock, os.ErrClosed) { // it may be closed twice
		err = errors.Join(err, errLock)
	}
	return err
}

func (l ladder) probe(o SensorOptions) []ModeAttempt {
	o.Mode, o.Pin = "", ""
	options, err := o.forBPF()
	if err != nil { // the tier
		return []ModeAttempt{{Mode: string(bpf.ModeAuto), Err: err}}
	}
	all := modeAttempts(l.probeEBPF(options))
	last := ModeAttempt{Mode: string(bpf.ModeFanotify)}
	var s Sensor
	if s, last.Err = l.openFanotify(o); last.Err == nil {
		last.Kinds = CoverageBy(s)
		last.Err = s.Close()
	}
	return append(all, last)
}

func modeAttempts(attempts []bpf.Attempt) []ModeAttempt {
	out := make([]ModeAttempt, 0, len(attempts))
	for _, a := range attempts {
		out = append(out, ModeAttempt{Mode: string(a.Mode), Err: a.Err, Note: a.Note, Kinds: kindSupports(a.Coverage)})
	}
	return out
}
