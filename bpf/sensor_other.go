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

// Flush returns ErrUnsupported.
func (*Sensor) Flush() error { return ErrUnsupported }

// Count returns ErrUnsupported.
func (*Sensor) Count(uint64) (Count, error) { return Count{}, ErrUnsupported }

// Stats returns ErrUnsupported.
func (*Sensor) Stats() (Stats, error) { return Stats{}, ErrUnsupported }

// Close does nothing.
func (*Sensor) Close() error { return nil }

// Placement returns zero.
func (*Watch) Placement() uint64 { return 0 }

// Close does nothing.
func (*Watch) Close() error { return nil }
