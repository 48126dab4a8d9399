//go:build !linux || (!amd64 && !arm64)

package bpf

import "os"

// Sensor can't be had on this platform: Open always returns ErrUnsupported, so
// none of its methods is ever reached with a sensor that works.
type Sensor struct{}

// Watch is one watched inode.
type Watch struct{}

// Open returns ErrUnsupported.
func Open(Options) (*Sensor, error) { return nil, ErrUnsupported }

// Probe returns every mode with ErrUnsupported.
func Probe(Options) []Attempt {
	attempts := make([]Attempt, 0, len(Modes()))
	for _, mode := range Modes() {
		attempts = append(attempts, Attempt{Mode: mode, Err: ErrUnsupported})
	}
	return attempts
}

// Mode returns ModeAuto.
func (*Sensor) Mode() Mode { return ModeAuto }

// Refused returns nothing.
func (*Sensor) Refused() []Attempt { return nil }

// Watch returns ErrUnsupported.
func (*Sensor) Watch(*os.File, uint64) (*Watch, error) { return nil, ErrUnsupported }

// Read returns ErrUnsupported.
func (*Sensor) Read() (Event, error) { return Event{}, ErrUnsupported }

// Retain does nothing.
func (*Sensor) Retain(bool) {}

// Flush returns ErrUnsupported.
func (*Sensor) Flush() error { return ErrUnsupported }

// Count returns ErrUnsupported.
func (*Sensor) Count(uint64) (Count, error) { return Count{}, ErrUnsupported }

// Account returns ErrUnsupported.
func (*Sensor) Account(uint64) (Account, error) { return Account{}, ErrUnsupported }

// SetAccount returns ErrUnsupported.
func (*Sensor) SetAccount(uint64, Account) error { return ErrUnsupported }

// Placements returns ErrUnsupported.
func (*Sensor) Placements() ([]uint64, error) { return nil, ErrUnsupported }

// Forget returns ErrUnsupported.
func (*Sensor) Forget(uint64) error { return ErrUnsupported }

// Repeats returns ErrUnsupported.
func (*Sensor) Repeats() ([]Repeat, error) { return nil, ErrUnsupported }

// WatchCovered returns ErrUnsupported.
func (*Sensor) WatchCovered(*os.File, uint64) (*Watch, error) { return nil, ErrUnsupported }

// WatchDirectory returns ErrUnsupported.
func (*Sensor) WatchDirectory(*os.File, uint64) (*Watch, error) { return nil, ErrUnsupported }

// FollowOpens returns ErrUnsupported.
func (*Sensor) FollowOpens(uint64) error { return ErrUnsupported }

// Exempt returns ErrUnsupported.
func (*Sensor) Exempt(*os.File, Actor) (*Watch, error) { return nil, ErrUnsupported }

// ExemptCgroup returns ErrUnsupported.
func (*Sensor) ExemptCgroup(uint64) error { return ErrUnsupported }

// ForgetEarlier returns ErrUnsupported.
func (*Sensor) ForgetEarlier() error { return ErrUnsupported }

// WatchName returns ErrUnsupported.
func (*Sensor) WatchName(string) error { return ErrUnsupported }

// ForgetName returns ErrUnsupported.
func (*Sensor) ForgetName(string) error { return ErrUnsupported }

// Tier returns TierDefault.
func (*Sensor) Tier() Tier { return TierDefault }

// Resumed returns nothing.
func (*Sensor) Resumed() (Resumed, bool) { return Resumed{}, false }

// SignOfLife does nothing.
func (*Sensor) SignOfLife() {}

// Pinned returns false.
func (*Sensor) Pinned() bool { return false }

// Coverage returns nothing.
func (*Sensor) Coverage() []KindSupport { return nil }

// Uninstall returns ErrUnsupported.
func Uninstall(string) ([]string, error) { return nil, ErrUnsupported }

// Pinned returns nothing: nothing can be pinned.
func Pinned(string) ([]string, error) { return nil, nil }

// Stats returns ErrUnsupported.
func (*Sensor) Stats() (Stats, error) { return Stats{}, ErrUnsupported }

// Close does nothing.
func (*Sensor) Close() error { return nil }

// Placement returns zero.
func (*Watch) Placement() uint64 { return 0 }

// Close does nothing.
func (*Watch) Close() error { return nil }
