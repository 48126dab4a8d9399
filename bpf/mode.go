package bpf

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Mode is a way to attach to the kernel.
type Mode string

// The modes. Their text is what command lines and configuration say.
const (
	// ModeAuto takes the first of the others that works, in their order.
	ModeAuto   Mode = "auto"
	ModeLSM    Mode = "lsm"
	ModeFentry Mode = "fentry"
	ModeKprobe Mode = "kprobe"
	// ModeFanotify is no eBPF at all and not of this package: internal/fanotify.
	ModeFanotify Mode = "fanotify"
)

// Modes returns the modes that attach, best first. On a kernel that preempts
// tasks inside the kernel ModeAuto tries kprobe before fentry: see NotePreempts.
func Modes() []Mode {
	return []Mode{ModeLSM, ModeFentry, ModeKprobe}
}

// ParseMode accepts the text of a mode; an empty text is ModeAuto.
func ParseMode(s string) (Mode, error) {
	switch m := Mode(s); m {
	case "":
		return ModeAuto, nil
	case ModeAuto, ModeLSM, ModeFentry, ModeKprobe:
		return m, nil
	default:
		return "", fmt.Errorf("attach mode %q: want auto, lsm, fentry or kprobe", s)
	}
}

// Errors to tell apart with errors.Is.
var (
	// ErrNoBTF: the kernel doesn't describe its types, so no mode can be loaded.
	ErrNoBTF = errors.New("no kernel BTF (needs CONFIG_DEBUG_INFO_BTF=y and a readable /sys/kernel/btf/vmlinux)")
	// ErrHookSilent: the program is attached and does not run.
	ErrHookSilent = errors.New("attached, but the hook does not run")
	// ErrLockedDown: lockdown=confidentiality closes kprobes.
	ErrLockedDown = errors.New("closed by lockdown=confidentiality")
	// ErrTooOld: LSM and fentry programs use bpf_get_current_task_btf.
	ErrTooOld = errors.New("needs Linux 5.11 or newer")
	// ErrUnsupported: not Linux on amd64 or arm64.
	ErrUnsupported = errors.New("needs Linux on amd64 or arm64")
	// ErrFlushed ends a series of Reads after Flush.
	ErrFlushed = errors.New("events flushed")
	// ErrNotRegular: only regular files can be watched, and the directories that
	// hold them.
	ErrNotRegular = errors.New("not a regular file")
	// ErrUnpinnable: this mode's programs can't stay attached without a process
	// on this kernel; without Options.Pin they work.
	ErrUnpinnable = errors.New("programs of this mode can't be pinned (kprobes can since Linux 5.15)")
	// ErrNotBPFFS: a directory for pinning has to be in a bpf file system.
	ErrNotBPFFS = errors.New("not in a bpf file system (mount -t bpf bpf /sys/fs/bpf)")
	// ErrTooMany: MaxWatches are set.
	ErrTooMany = errors.New("no room for another watch")
)

// WatchedError is returned for an inode that another placement watches.
type WatchedError struct {
	Placement uint64
}

func (e *WatchedError) Error() string {
	return fmt.Sprintf("inode already watched by placement %#x", e.Placement)
}

// NotePreempts is the Note of an fentry program that works on a kernel which
// preempts, or may (PREEMPT_DYNAMIC without a readable debugfs). The kernel
// skips a tracing program that is already running on the same CPU, even when it
// is another task's that was preempted inside; LSM programs aren't concerned,
// kprobes only during a change of a map on the same processor (docs/sensor.md).
// 5 of 200 parallel opens were skipped on 7.3.
const NotePreempts = "this kernel preempts, so opens can be missed under load (counted as " + LostRecursion + ")"

// Attempt is the outcome of trying one mode; Err is nil where it works. Note
// says what such a mode falls short of, if anything.
type Attempt struct {
	Mode Mode
	Err  error
	Note string
	// Coverage is that of a mode that Probe found to work: see Sensor.Coverage.
	Coverage []KindSupport
}

// OpenError says why none of the modes could be had.
type OpenError struct {
	Attempts []Attempt
}

func (e *OpenError) Error() string {
	var b strings.Builder
	b.WriteString("no attach mode works: ")
	for i, a := range e.Attempts {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %v", a.Mode, a.Err)
	}
	return b.String()
}

// Unwrap gives errors.Is and errors.As each attempt's error.
func (e *OpenError) Unwrap() []error {
	errs := make([]error, len(e.Attempts))
	for i, a := range e.Attempts {
		errs[i] = a.Err
	}
	return errs
}

// DecodeError is a record that the decoder refused; it has been counted.
type DecodeError struct {
	Reason string
}

func (e *DecodeError) Error() string { return "event record: " + e.Reason }

// Tier says how much a sensor may cost those who touch no token.
type Tier string

// The tiers. Their text is what command lines and configuration say.
const (
	// TierDefault sees what can be seen at almost no cost.
	TierDefault Tier = "default"
	// TierRecon also sees O_PATH, readlink(2), access(2) and what the mode of a
	// file forbids, from functions that run in nearly every system call with a
	// path.
	TierRecon Tier = "recon"
)

// Tiers returns the tiers, the cheapest first.
func Tiers() []Tier { return []Tier{TierDefault, TierRecon} }

// ParseTier accepts the text of a tier; an empty text is TierDefault.
func ParseTier(s string) (Tier, error) {
	switch t := Tier(s); t {
	case "":
		return TierDefault, nil
	case TierDefault, TierRecon:
		return t, nil
	default:
		return "", fmt.Errorf("tier %q: want default or recon", s)
	}
}

// Options set the size of a sensor. The zero value means the defaults.
type Options struct {
	// Mode to attach in; ModeAuto if empty.
	Mode Mode
	// Tier is TierDefault if empty.
	Tier Tier
	// Pin is a directory of a bpf file system under which programs and maps are
	// pinned, so that they go on when this process ends and the next one takes
	// them over; not pinned if empty. One sensor at a time may use it.
	Pin string
	// RepeatInterval is how often repeats by the same process are told; 1 s if
	// zero.
	RepeatInterval time.Duration
	// ReportExempt makes the touches by exempt actors events, of ActorAllowed,
	// instead of only counting them.
	ReportExempt bool
	// RingBytes is the size of the event ring, rounded up to a power of two of
	// at least one page; 32 MiB if zero, 1 GiB at most. An event takes 3.3 KiB.
	RingBytes int
	// MaxWatches bounds the watches at a time; 16384 if zero, 1<<20 at most.
	MaxWatches int
}

const (
	defaultRingBytes  = 32 << 20
	maxRingBytes      = 1 << 30
	defaultMaxWatches = 1 << 14
	maxMaxWatches     = 1 << 20
)

func (o Options) withDefaults() (Options, error) {
	mode, err := ParseMode(string(o.Mode))
	if err != nil {
		return o, err
	}
	o.Mode = mode
	if o.Tier, err = ParseTier(string(o.Tier)); err != nil {
		return o, err
	}
	if o.RepeatInterval == 0 {
		o.RepeatInterval = time.Second
	}
	if o.RepeatInterval < 0 {
		return o, fmt.Errorf("repeat interval %v: want more than zero", o.RepeatInterval)
	}
	if o.RingBytes == 0 {
		o.RingBytes = defaultRingBytes
	}
	if o.RingBytes < 0 || o.RingBytes > maxRingBytes {
		return o, fmt.Errorf("ring size %d: want 1 to %d bytes", o.RingBytes, maxRingBytes)
	}
	if o.MaxWatches == 0 {
		o.MaxWatches = defaultMaxWatches
	}
	if o.MaxWatches < 0 || o.MaxWatches > maxMaxWatches {
		return o, fmt.Errorf("watch limit %d: want 1 to %d", o.MaxWatches, maxMaxWatches)
	}
	return o, nil
}

// Count is what the kernel counted for one placement, by kind.
type Count struct {
	// Seen are all touches; Lost those of them whose event found no room in the
	// ring although it was a process's first or due.
	Seen, Lost [Kinds]uint64
	// Exempt are the touches by exempt actors, which are not in Seen.
	Exempt uint64
}

// Account is what user space made of a placement's touches, kept beside the
// kernel's counters so that it outlives the process: Seen = Delivered +
// Coalesced + Lost once everything has been read.
type Account struct {
	Delivered, Coalesced, Lost [Kinds]uint64
	// Position is the highest of the events that are in it: those up to there, of
	// this placement, have been dealt with.
	Position uint64
}

// The causes in Stats.Lost.
const (
	// LostRingFull: the event ring had no room.
	LostRingFull = "ring_full"
	// LostRecursion: the kernel skipped the program because it was already
	// running on that CPU (fentry, kprobe). Counts what was done to all files, so it is
	// an upper bound of what was lost.
	LostRecursion = "recursion"
)

// Resumed describes what an earlier process left in Options.Pin.
type Resumed struct {
	// Since is when that process last gave a sign of life, since boot.
	Since time.Duration
	// Placements are those that were being watched.
	Placements int
	// Kept are the maps that have another size than the options ask for, by name:
	// a map can't be resized. They get the new one when nothing is pinned.
	Kept []KeptSize
}

// KeptSize is the size of a map: in bytes for the ring, which is called events, in
// entries for the others.
type KeptSize struct {
	Map          string
	Size, Wanted uint32
}

// Stats are counters since Open.
type Stats struct {
	// Lost holds every cause, also those at zero.
	Lost map[string]uint64
	// DecodeErrors are the records that Read refused.
	DecodeErrors uint64
}
