package agent

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// SystemClock is the machine's.
func SystemClock() Clock {
	return Clock{Now: time.Now, Boot: func() (time.Duration, error) {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
			return 0, fmt.Errorf("boot clock: %w", err)
		}
		return time.Duration(ts.Nano()), nil
	}}
}
