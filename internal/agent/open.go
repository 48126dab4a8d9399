package agent

import (
	"errors"

	"github.com/beesting-otel/beesting/bpf"
)

// SensorOptions are those of the kernel side, for callers that know nothing of
// it. Zero values mean its defaults.
type SensorOptions struct {
	Mode                  string // "auto", "lsm", "fentry" or "kprobe"
	RingBytes, MaxWatches int
}

// OpenSensor attaches to the kernel; see bpf.Open for its errors. refused are
// the modes that were tried before the one that works.
func OpenSensor(o SensorOptions) (s Sensor, refused []ModeAttempt, err error) {
	mode, err := bpf.ParseMode(o.Mode)
	if err != nil {
		return nil, nil, err
	}
	sensor, err := bpf.Open(bpf.Options{Mode: mode, RingBytes: o.RingBytes, MaxWatches: o.MaxWatches})
	if err != nil {
		return nil, nil, err
	}
	return FromBPF(sensor), modeAttempts(sensor.Refused()), nil
}

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
	return modeAttempts(bpf.Probe(bpf.Options{RingBytes: o.RingBytes, MaxWatches: o.MaxWatches}))
}

func modeAttempts(attempts []bpf.Attempt) []ModeAttempt {
	out := make([]ModeAttempt, 0, len(attempts))
	for _, a := range attempts {
		out = append(out, ModeAttempt{Mode: string(a.Mode), Err: a.Err, Note: a.Note})
	}
	return out
}

// IsWatched reports whether err of [Core.Arm] says that the file is watched
// already, for another placement.
func IsWatched(err error) bool {
	var watched *bpf.WatchedError
	return errors.As(err, &watched)
}
