//go:build !linux

package agent

import (
	"errors"
	"time"
)

// SystemClock has no boot clock on this platform.
func SystemClock() Clock {
	return Clock{Now: time.Now, Boot: func() (time.Duration, error) { return 0, errors.ErrUnsupported }}
}
