package fanotify

import (
	"fmt"
	"time"

	"github.com/beesting-otel/beesting/bpf"
)

// Options set up a sensor. The zero value means the defaults.
type Options struct {
	// Tier is kept for Tier and Coverage; fanotify sees no more in the other one.
	Tier bpf.Tier
	// ProcRoot is the proc file system of this process' own pid namespace, the
	// one that fanotify gives ids of; "/proc" if empty.
	ProcRoot string
	// CgroupRoot is where the cgroups are; "/sys/fs/cgroup" if empty.
	CgroupRoot string
	// MaxWatches bounds the watches at a time; 16384 if zero, 1<<20 at most.
	MaxWatches int
	// MaxEvents bounds the events that wait for Read; 4096 if zero, 1<<20 at
	// most. One takes about 2 KiB.
	MaxEvents int
	// RepeatInterval is how often the repeats of one process are told; 1 s if
	// zero, 1 ms at least.
	RepeatInterval time.Duration
	// ReportExempt tells of touches by ActorAllowed, too.
	ReportExempt bool
}

const maxLimit = 1 << 20

func (o Options) withDefaults() (Options, error) {
	text := func(s *string, d string) {
		if *s == "" {
			*s = d
		}
	}
	text(&o.ProcRoot, "/proc")
	text(&o.CgroupRoot, "/sys/fs/cgroup")
	tier, err := bpf.ParseTier(string(o.Tier))
	if err != nil {
		return o, fmt.Errorf("tier: %w", err)
	}
	o.Tier = tier
	if o.MaxWatches == 0 {
		o.MaxWatches = 1 << 14
	}
	if o.MaxEvents == 0 {
		o.MaxEvents = 1 << 12
	}
	if o.RepeatInterval == 0 {
		o.RepeatInterval = time.Second
	}
	switch {
	case o.MaxWatches < 1 || o.MaxWatches > maxLimit:
		return o, fmt.Errorf("watch limit %d: want 1 to %d", o.MaxWatches, maxLimit)
	case o.MaxEvents < 4 || o.MaxEvents > maxLimit:
		return o, fmt.Errorf("event limit %d: want 4 to %d", o.MaxEvents, maxLimit)
	case o.RepeatInterval < time.Millisecond:
		return o, fmt.Errorf("repeat interval %v: want 1ms or more", o.RepeatInterval)
	}
	return o, nil
}

// The causes in Stats.Lost beside bpf.LostRingFull, which here means that the
// events waiting for Read were as many as may be.
const (
	// LostQueueOverflow counts how often the kernel's queue (16384 events) was
	// full. What was lost isn't known: at least one touch each time.
	LostQueueOverflow = "queue_overflow"
	// LostUnanswered counts touches that the guard could not tell this process
	// of, because it was stopped or slow. Those of known placements are in
	// Count.Lost, too.
	LostUnanswered = "unanswered"
	// LostGuard counts the guards that ended before their time. What happened
	// until the next one had set its marks wasn't seen.
	LostGuard = "guard_restart"
)

// counter is what was counted of a placement.
type counter struct {
	count   bpf.Count
	account bpf.Account
	watches int
}
