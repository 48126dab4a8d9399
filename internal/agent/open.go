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

// OpenSensor attaches to the kernel; see bpf.Open for its errors.
func OpenSensor(o SensorOptions) (Sensor, error) {
	mode, err := bpf.ParseMode(o.Mode)
	if err != nil {
		return nil, err
	}
	s, err := bpf.Open(bpf.Options{Mode: mode, RingBytes: o.RingBytes, MaxWatches: o.MaxWatches})
	if err != nil {
		return nil, err
	}
	return FromBPF(s), nil
}

// ModeAttempt is the outcome of trying to attach in one mode; Err is nil where
// it works.
type ModeAttempt struct {
	Mode string
	Err  error
}

// ProbeSensor tries every mode, best first, and leaves none attached. o.Mode
// plays no part.
func ProbeSensor(o SensorOptions) []ModeAttempt {
	var out []ModeAttempt
	for _, a := range bpf.Probe(bpf.Options{RingBytes: o.RingBytes, MaxWatches: o.MaxWatches}) {
		out = append(out, ModeAttempt{Mode: string(a.Mode), Err: a.Err})
	}
	return out
}

// IsWatched reports whether err of [Core.Arm] says that the file is watched
// already, for another placement.
func IsWatched(err error) bool {
	var watched *bpf.WatchedError
	return errors.As(err, &watched)
}
