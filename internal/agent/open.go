package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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

// IsPinned says whether s stays attached when the process ends: not every mode
// can on every kernel.
func IsPinned(s Sensor) bool {
	p, ok := s.(interface{ Pinned() bool })
	return ok && p.Pinned()
}

// UninstallSensor detaches what sensors left attached under a pin directory, and
// removes that and the directory. A directory that isn't there is no error.
func UninstallSensor(pin string) error {
	if _, err := bpf.Uninstall(pin); err != nil {
		return err
	}
	return removeEmpty(pin)
}

// removeEmpty removes the directories that a sensor which got no further has
// left; one with anything in it stays.
func removeEmpty(dir string) error {
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, dir := range slices.Backward(dirs) {
		_ = os.Remove(dir)
	}
	return err
}

// PinnedSensor lists what sensors left under a pin directory, sorted, as paths
// relative to it. A directory that isn't there has nothing.
func PinnedSensor(pin string) ([]string, error) { return bpf.Pinned(pin) }

// KindSupport says whether an access kind is seen, and if not, why. A kind that
// is seen can have a note as well.
type KindSupport struct {
	Kind string `json:"kind"`
	Seen bool   `json:"seen"`
	Note string `json:"note,omitempty"`
}

// CoverageBy returns which access kinds a sensor sees.
func CoverageBy(s Sensor) []KindSupport { return kindSupports(s.Coverage()) }

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
