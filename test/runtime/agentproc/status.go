package agentproc

import "slices"

// Status is the part of `beesting status --json` that the scenarios look at.
// It is spelled out here, not imported: what operators' scripts read must not
// change without a test noticing.
type Status struct {
	Mode  string `json:"mode"`
	Ready bool   `json:"ready"`
	// Resumed and AwaySeconds tell of programs that were found attached.
	Resumed          bool    `json:"resumed"`
	AwaySeconds      float64 `json:"away_seconds"`
	UnwatchedSeconds float64 `json:"unwatched_seconds"`
	Config           struct {
		LastError string            `json:"last_error"`
		Reloads   map[string]uint64 `json:"reloads"`
	} `json:"config"`
	NRI struct {
		Connected  bool   `json:"connected"`
		Reconnects uint64 `json:"reconnects"`
		// Durations are of the agent's answers, by request.
		Durations map[string]struct {
			Longest float64 `json:"longest"`
		} `json:"durations"`
	} `json:"nri"`
	Containers    int               `json:"containers"`
	Planted       int               `json:"planted"`
	Armed         int               `json:"armed"`
	Placements    []Placement       `json:"placements"`
	Lacking       int               `json:"lacking"`
	Unplanted     []Unplanted       `json:"unplanted"`
	Failures      []Failure         `json:"failures"`
	FailureCounts map[string]uint64 `json:"failure_counts"`
	Events        struct {
		Delivered    uint64            `json:"delivered"`
		SinkErrors   uint64            `json:"sink_errors"`
		Partial      uint64            `json:"partial"`
		DecodeErrors uint64            `json:"decode_errors"`
		Lost         map[string]uint64 `json:"lost"`
	} `json:"events"`
}

// Unplanted is a container that has fewer tokens than it should.
type Unplanted struct {
	Container string `json:"container"`
	Wanted    int    `json:"wanted"`
	Planted   int    `json:"planted"`
	Why       string `json:"why"`
}

// Placement is a watched token.
type Placement struct {
	Token     string             `json:"token"`
	TokenID   string             `json:"token_id"`
	Path      string             `json:"path"`
	Container string             `json:"container"`
	Strategy  string             `json:"strategy"`
	Reason    string             `json:"strategy_reason"`
	PlantedAt string             `json:"planted_at"`
	Kinds     map[string]Touches `json:"kinds"`
}

// Failure is a token that is not as it should be.
type Failure struct {
	Container string `json:"container"`
	Token     string `json:"token"`
	Reason    string `json:"reason"`
	Error     string `json:"error"`
}

// Touches are what the kernel counted of one kind, and what became of them.
type Touches struct {
	Seen      uint64 `json:"seen"`
	Delivered uint64 `json:"delivered"`
	Coalesced uint64 `json:"coalesced"`
	Lost      uint64 `json:"lost"`
}

// Touches returns the touches of one kind of a container's token.
func (s Status) Touches(container, token, kind string) Touches {
	for _, p := range s.Placements {
		if p.Container == container && p.Token == token {
			return p.Kinds[kind]
		}
	}
	return Touches{}
}

// Placement returns what the status says of a container's token; ok is false if
// it is not watched.
func (s Status) Placement(container, token string) (p Placement, ok bool) {
	for _, p := range s.Placements {
		if p.Container == container && p.Token == token {
			return p, true
		}
	}
	return Placement{}, false
}

// WhyNot returns what the status said last of a container's token that is not as
// it should be; all of it is empty if it said nothing.
func (s Status) WhyNot(container, token string) Failure {
	for _, f := range slices.Backward(s.Failures) {
		if f.Container == container && f.Token == token {
			return f
		}
	}
	return Failure{}
}

// Lacks returns what the status says of a container that lacks tokens; ok is
// false if it says nothing.
func (s Status) Lacks(container string) (u Unplanted, ok bool) {
	for _, u := range s.Unplanted {
		if u.Container == container {
			return u, true
		}
	}
	return Unplanted{}, false
}

// connected says that the runtime has accepted the agent's plugin, and that the
// containers which ran before are dealt with.
func (s Status) connected() bool { return s.NRI.Connected && s.Ready }
