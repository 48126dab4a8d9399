package agent

import (
	"log/slog"
	"maps"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
)

// CoreStats are counters since the start.
type CoreStats struct {
	// Delivered accesses were taken by the sink; Coalesced touches were counted
	// in one of those, beside the one that it tells. SinkErrors counts what the
	// sink refused.
	Delivered  uint64 `json:"delivered"`
	Coalesced  uint64 `json:"coalesced"`
	SinkErrors uint64 `json:"sink_errors"`
	// Deferred accesses were refused by the sink when they happened; each is
	// counted once, however often it refuses to be told of them afterwards.
	// Their touches are told later, as repeats or in Gaps. (What it refuses and
	// the kernel doesn't count is lost: see Lost.)
	Deferred uint64 `json:"deferred"`
	// Surveyed touches are the runtime's stock-taking and not told, see survey.
	Surveyed uint64 `json:"surveyed"`
	// Gaps are touches that the kernel counted and nobody could tell any more,
	// by cause; the stream says so too.
	Gaps map[string]uint64 `json:"gaps"`
	// Partial accesses lacked something; WithoutPlacement among them came for
	// a placement that nobody knew. Held are those events that had to wait for
	// their placement to be armed again after a start.
	Partial          uint64 `json:"partial"`
	WithoutPlacement uint64 `json:"without_placement"`
	Held             uint64 `json:"held"`
	// Waited accesses were kept back for a moment, until the API server would have
	// told of a pod of theirs. Unresolved ones were told without what it says of the
	// token's pod, or without a part of that, by reason.
	Waited     uint64            `json:"waited"`
	Unresolved map[string]uint64 `json:"unresolved"`
	// OpenFiles is how many opens' ends are waited for at the moment. Ends were
	// told, EndsUnseen given up; EndsUnmatched came for an open that was given
	// up, or told by an earlier agent.
	OpenFiles     int    `json:"open_files"`
	Ends          uint64 `json:"ends"`
	EndsUnseen    uint64 `json:"ends_unseen"`
	EndsUnmatched uint64 `json:"ends_unmatched"`
	// OtherSymlinks have a target that is named like a token and isn't one;
	// UnresolvedSymlinks could not be followed in time.
	OtherSymlinks      uint64 `json:"other_symlinks"`
	UnresolvedSymlinks uint64 `json:"unresolved_symlinks"`
	// AccountErrors says how often the kernel's counters could not be read or
	// the account beside them not be written.
	AccountErrors uint64 `json:"account_errors"`
	// DecodeErrors are records of the kernel side that made no sense.
	DecodeErrors uint64 `json:"decode_errors"`
	// Lost are the events that were lost, by cause. The touches are counted all
	// the same, and told later or in Gaps, except those of LostRefused.
	Lost map[string]uint64 `json:"lost"`
}

// LostRefused is the cause in CoreStats.Lost that the sink refused an event of a
// touch that the kernel doesn't count, such as one of a link by its name: nobody
// can tell that later.
const LostRefused = "refused"

// Stats returns the counters. Those of the kernel side are as they were last
// known when it can't be asked, and the error says why.
func (c *Core) Stats() (CoreStats, error) {
	kernel, err := c.sensor.Stats()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.kernel = kernel
	}
	s := c.stats
	s.DecodeErrors = c.kernel.DecodeErrors
	s.Lost = maps.Clone(c.kernel.Lost)
	if c.refused > 0 {
		if s.Lost == nil {
			s.Lost = map[string]uint64{}
		}
		s.Lost[LostRefused] = c.refused
	}
	s.Gaps, s.Unresolved = maps.Clone(c.stats.Gaps), maps.Clone(c.stats.Unresolved)
	return s, err
}

// Deferred is CoreStats.Deferred, for those who want nothing else.
func (c *Core) Deferred() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats.Deferred
}

// Mode is how the sensor is attached.
func (c *Core) Mode() bpf.Mode { return c.sensor.Mode() }

// Tier is which kinds of access the sensor was asked for.
func (c *Core) Tier() string { return string(c.sensor.Tier()) }

// Coverage says which kinds of access the sensor sees.
func (c *Core) Coverage() []KindSupport { return kindSupports(c.sensor.Coverage()) }

// AddContainer makes a container known, or replaces what is known of it, so
// that its processes can be told from others. container must not be changed
// afterwards.
func (c *Core) AddContainer(container *beesting.Container) {
	if !c.containers.add(container) {
		c.log.Debug("container's cgroup not found", slog.String("container", container.ID))
	}
}

// RemoveContainer forgets a container, when the events of its processes have
// been delivered.
func (c *Core) RemoveContainer(id string) { c.containers.remove(id) }

// MaxPlacements is how many placements can be armed at a time.
func (c *Core) MaxPlacements() int { return c.table.limit }

// knowsRuntime reports whether a binary of the container runtime is recognised.
func (c *Core) knowsRuntime() bool { return c.exempt.recognised(bpf.ActorRuntime) > 0 }
