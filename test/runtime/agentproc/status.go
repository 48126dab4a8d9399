package agentproc

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
	NRI              struct {
		Connected  bool   `json:"connected"`
		Reconnects uint64 `json:"reconnects"`
	} `json:"nri"`
	Containers    int               `json:"containers"`
	Planted       int               `json:"planted"`
	Armed         int               `json:"armed"`
	Placements    []Placement       `json:"placements"`
	Lacking       int               `json:"lacking"`
	Unplanted     []Unplanted       `json:"unplanted"`
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
	Container string             `json:"container"`
	Kinds     map[string]Touches `json:"kinds"`
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
