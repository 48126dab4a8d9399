//go:build linux && (amd64 || arm64)

package fanotify

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// bootTime is the clock of events: time since boot, suspended time included.
func bootTime() (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0, fmt.Errorf("boot clock: %w", err)
	}
	return time.Duration(t.Nano()), nil
}
