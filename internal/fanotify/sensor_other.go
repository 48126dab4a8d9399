//go:build !linux || (!amd64 && !arm64)

package fanotify

import (
	"io"
	"os"

	"github.com/beesting-otel/beesting/bpf"
)

// Sensor can't be had on this platform: Open always returns bpf.ErrUnsupported,
// so none of its methods is ever reached with a sensor that works.
type Sensor struct{}

// Open returns bpf.ErrUnsupported.
func Open(Options) (*Sensor, error) { return nil, bpf.ErrUnsupported }

// Probe returns bpf.ErrUnsupported.
func Probe(Options) error { return bpf.ErrUnsupported }

// Mode returns bpf.ModeFanotify.
func (*Sensor) Mode() bpf.Mode { return bpf.ModeFanotify }

// Tier returns bpf.TierDefault.
func (*Sensor) Tier() bpf.Tier { return bpf.TierDefault }

// Watch returns bpf.ErrUnsupported.
func (*Sensor) Watch(*os.File, uint64) (io.Closer, error) { return nil, bpf.ErrUnsupported }

// Exempt returns bpf.ErrUnsupported.
func (*Sensor) Exempt(*os.File, bpf.Actor) (io.Closer, error) { return nil, bpf.ErrUnsupported }

// ExemptCgroup returns bpf.ErrUnsupported.
func (*Sensor) ExemptCgroup(uint64) error { return bpf.ErrUnsupported }

// ForgetEarlier returns bpf.ErrUnsupported.
func (*Sensor) ForgetEarlier() error { return bpf.ErrUnsupported }

// Retain does nothing.
func (*Sensor) Retain(bool) {}

// Read returns bpf.ErrUnsupported.
func (*Sensor) Read() (bpf.Event, error) { return bpf.Event{}, bpf.ErrUnsupported }

// Flush returns bpf.ErrUnsupported.
func (*Sensor) Flush() error { return bpf.ErrUnsupported }

// Count returns bpf.ErrUnsupported.
func (*Sensor) Count(uint64) (bpf.Count, error) { return bpf.Count{}, bpf.ErrUnsupported }

// Account returns bpf.ErrUnsupported.
func (*Sensor) Account(uint64) (bpf.Account, error) { return bpf.Account{}, bpf.ErrUnsupported }

// SetAccount returns bpf.ErrUnsupported.
func (*Sensor) SetAccount(uint64, bpf.Account) error { return bpf.ErrUnsupported }

// Repeats returns bpf.ErrUnsupported.
func (*Sensor) Repeats() ([]bpf.Repeat, error) { return nil, bpf.ErrUnsupported }

// Placements returns bpf.ErrUnsupported.
func (*Sensor) Placements() ([]uint64, error) { return nil, bpf.ErrUnsupported }

// Forget returns bpf.ErrUnsupported.
func (*Sensor) Forget(uint64) error { return bpf.ErrUnsupported }

// SignOfLife does nothing: nobody takes over from this process.
func (*Sensor) SignOfLife() {}

// Resumed returns false.
func (*Sensor) Resumed() (bpf.Resumed, bool) { return bpf.Resumed{}, false }

// Stats returns bpf.ErrUnsupported.
func (*Sensor) Stats() (bpf.Stats, error) { return bpf.Stats{}, bpf.ErrUnsupported }

// Late returns zero.
func (*Sensor) Late() uint64 { return 0 }

// Coverage returns nothing.
func (*Sensor) Coverage() []bpf.KindSupport { return nil }

// Close does nothing.
func (*Sensor) Close() error { return nil }
