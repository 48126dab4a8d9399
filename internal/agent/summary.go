package agent

import (
	"maps"

	"github.com/beesting-otel/beesting/nri"
)

// Summary is how the agent fares in numbers: what is counted in a Status, for
// those who ask often.
type Summary struct {
	// Mode is how the sensor is attached, as in Status.
	Mode string
	// Wanted counts the tokens that the policy wants in the containers that
	// run, and those that containers have which don't run yet or any more.
	// Armed counts the watched ones.
	Wanted, Armed int
	// Lacking counts the containers that run with fewer tokens than wanted.
	Lacking int
	// Failures are counted since the start, by reason.
	Failures map[Reason]uint64
	// Connected, Reconnects and BlindSeconds are as in nri.Status.
	Connected    bool
	Reconnects   uint64
	BlindSeconds float64
	// Durations are how long the runtime waited for its answers, by request.
	Durations map[string]Durations
	// UnwatchedSeconds is as in Status.
	UnwatchedSeconds float64
	Events           CoreStats
}

// Durations is a histogram: Bounds are the upper ones of the buckets, in seconds;
// the last bucket has none. Seconds is the sum.
type Durations struct {
	Bounds  []float64
	Buckets []uint64
	Seconds float64
}

func durationsOf(all map[nri.Request]nri.Histogram) map[string]Durations {
	if len(all) == 0 {
		return nil
	}
	var bounds []float64
	for _, bound := range nri.DurationBounds() {
		bounds = append(bounds, bound.Seconds())
	}
	out := make(map[string]Durations, len(all))
	for request, h := range all {
		out[string(request)] = Durations{Bounds: bounds, Buckets: h.Buckets[:], Seconds: h.Seconds}
	}
	return out
}

// Summary returns how the agent fares. Unlike Status it asks the kernel for two
// numbers, however many placements there are. The error says why these are not
// the latest; the summary is good all the same. It may be called at any time,
// also after Run has returned.
func (a *Agent) Summary() (Summary, error) {
	n := a.plugin.Status()
	s := Summary{Mode: string(a.core.Mode()), Armed: a.core.armedTotal(), Connected: n.Connected, Reconnects: n.Reconnects, BlindSeconds: n.BlindSeconds, Durations: durationsOf(n.Durations)}
	a.failures.mu.Lock()
	s.Failures = maps.Clone(a.failures.counts)
	a.failures.mu.Unlock()
	var err error
	s.Events, err = a.core.Stats()
	a.mu.Lock()
	defer a.mu.Unlock()
	s.UnwatchedSeconds = a.unwatched.Seconds()
	for _, t := range a.tenants {
		if t.running() {
			s.Wanted += t.wanted
		} else {
			s.Wanted += min(t.wanted, len(t.planted))
		}
		if t.lacks() {
			s.Lacking++
		}
	}
	return s, err
}
