package agent

import "time"

// Clock tells the time twice over.
type Clock struct {
	// Now is the wall clock.
	Now func() time.Time
	// Boot is CLOCK_BOOTTIME, the clock of kernel events: the time since boot,
	// suspended time included.
	Boot func() (time.Duration, error)
}

// wall turns times of the boot clock into wall-clock times. It is made for one
// event, as the wall clock can be set at any time.
type wall struct {
	now  time.Time
	boot time.Duration
}

func (c Clock) sample() (wall, error) {
	boot, err := c.Boot()
	if err != nil {
		return wall{}, err
	}
	return wall{now: c.Now().Round(0), boot: boot}, nil // Round drops the monotonic reading
}

// at gives the zero time for zero, which in an event means unknown.
func (w wall) at(t time.Duration) time.Time {
	if t == 0 {
		return time.Time{}
	}
	return w.now.Add(t - w.boot)
}
