package agent

import (
	"errors"
	"time"

	"github.com/beesting-otel/beesting/bpf"
)

// SensorOptions are those of the kernel side, for callers that know nothing of
// it. Zero values mean its defaults.
type SensorOptions struct {
	Mode                  string // "auto", "lsm", "fentry", "kprobe" or "fanotify"
	Tier                  string // "default" or "recon"
	RingBytes, MaxWatches int
	// Pin is a directory in a bpf file system under which everything stays
	// attached when the process ends; nothing does if empty.
	Pin string
	// RepeatInterval is how often repeats by one process are told while they go
	// on.
	RepeatInterval time.Duration
	// ReportExempt makes touches by exempt actors accesses, of class allowed.
	ReportExempt bool
}

func (o SensorOptions) forBPF() (bpf.Options, error) {
	mode, err := bpf.ParseMode(o.Mode)
	if err != nil {
		return bpf.Options{}, err
	}
	tier, err := bpf.ParseTier(o.Tier)
	if err != nil {
		return bpf.Options{}, err
	}
	return bpf.Options{
		Mode: mode, Tier: tier, RingBytes: o.RingBytes, MaxWatches: o.MaxWatches,
		Pin: o.Pin, RepeatInterval: o.RepeatInterval, ReportExempt: o.ReportExempt,
	}, nil
}

// OpenSensor attaches to the kernel; see bpf.Open for its errors. refused are
// the modes that were tried before the one that works.
func OpenSensor(o SensorOptions) (s Sensor, refused []ModeAttempt, err error) {
	options, err := o.forBPF()
	if err != nil {
		return nil, nil, err
	}
	sensor, err := bpf.Open(options)
	if err != nil {
		return nil, nil, err
	}
	return FromBPF(sensor), modeAttempts(sensor.Refused()), nil
}

// UninstallSensor detaches what was left attached under a pin directory, and
// removes it. A directory that isn't there is no error.
func UninstallSensor(pin string) error { return bpf.Uninstall(pin) }

// ModeAttempt is the outcome of trying to attach in one mode; Err is nil where
// it works, and Note says what it falls short of, if anything.
type ModeAttempt struct {
	Mode string
	Err  error
	Note string
}

// ProbeSensor tries every mode in the order that "auto" does, and leaves none
// attached. o.Mode plays no part.
func ProbeSensor(o SensorOptions) []ModeAttempt {
	o.Mode, o.Pin = "", ""
	options, err := o.forBPF()
	if err != nil { // the tier
		return []ModeAttempt{{Mode: string(bpf.ModeAuto), Err: err}}
	}
	return modeAttempts(bpf.Probe(options))
}

func modeAttempts(attempts []bpf.Attempt) []ModeAttempt {
	out := make([]ModeAttempt, 0, len(attempts))
	for _, a := range attempts {
		out = append(out, ModeAttempt{Mode: string(a.Mode), Err: a.Err, Note: a.Note})
	}
	return out
}

// KindSupport says whether an access kind is seen, and if not, why. A kind that
// is seen can have a note as well.
type KindSupport struct {
	Kind string `json:"kind"`
	Seen bool   `json:"seen"`
	Note string `json:"note,omitempty"`
}

// CoverageOf returns which access kinds a mode sees in a tier.
func CoverageOf(mode, tier string) ([]KindSupport, error) {
	o, err := SensorOptions{Mode: mode, Tier: tier}.forBPF()
	if err != nil {
		return nil, err
	}
	return kindSupports(bpf.CoverageOf(o.Mode, o.Tier)), nil
}

func kindSupports(all []bpf.KindSupport) []KindSupport {
	out := make([]KindSupport, 0, len(all))
	for _, k := range all {
		out = append(out, KindSupport{Kind: k.Kind.String(), Seen: k.Seen, Note: k.Note})
	}
	return out
}

// IsWatched reports whether err of [Core.Arm] says that the file is watched
// already, for another placement.
func IsWatched(err error) bool {
	var watched *bpf.WatchedError
	return errors.As(err, &watched)
}
