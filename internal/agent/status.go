package agent

import (
	"cmp"
	"slices"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/internal/state"
	"github.com/beesting-otel/beesting/nri"
)

// maxListed bounds each list of a Status; the counts beside it are of all.
const maxListed = 1000

// Status says how the agent fares. It is a copy, made for JSON.
type Status struct {
	Since time.Time `json:"since"`
	// Mode is how the sensor is attached: "lsm", "fentry", "kprobe" or
	// "fanotify". Tier is "default" or "recon"; Coverage says which kinds of
	// access it sees.
	Mode     string        `json:"mode"`
	Tier     string        `json:"tier"`
	Coverage []KindSupport `json:"coverage"`
	// Resumed says that an earlier agent's programs were found attached, and
	// AwaySeconds for how long no agent had read what they saw.
	Resumed     bool    `json:"resumed"`
	AwaySeconds float64 `json:"away_seconds"`

	Ready    bool   `json:"ready"`
	StateDir string `json:"state_dir"`
	// FilesDir has the planted files.
	FilesDir string `json:"files_dir"`
	// Records are what is written of containers into the state directory.
	Records state.Stats `json:"records"`
	NRI     nri.Status  `json:"nri"`
	Hooks   HookStatus  `json:"hooks"`
	Sweep   SweepStats  `json:"sweep"`

	// Containers are all that the runtime has, Planted those with a token.
	Containers int `json:"containers"`
	Planted    int `json:"planted"`
	// Armed counts the watched tokens; Placements lists them.
	Armed      int               `json:"armed"`
	Placements []PlacementStatus `json:"placements"`
	// Lacking counts the containers that have fewer tokens than the policy
	// wants; Unplanted lists them.
	Lacking   int               `json:"lacking"`
	Unplanted []UnplantedStatus `json:"unplanted"`

	// Failures are the latest, oldest first; FailureCounts are since the start.
	Failures      []Failure         `json:"failures"`
	FailureCounts map[Reason]uint64 `json:"failure_counts"`

	// UnwatchedSeconds is for how long at most, before this start, tokens were
	// planted and no agent watched them; 0 if there were none.
	UnwatchedSeconds float64 `json:"unwatched_seconds"`

	Events CoreStats `json:"events"`
	// Error says why a part of this could not be had.
	Error string `json:"error,omitempty"`
}

// PlacementStatus is a watched token. Seen, Lost and Exempt are the kernel's
// counts of touches, of the events that it had no room for, and of the touches
// by exempt actors, which are not in Seen. Kinds has the kinds with any touch.
type PlacementStatus struct {
	Token         string `json:"token"`
	TokenID       string `json:"token_id"`
	Path          string `json:"path"`
	Namespace     string `json:"namespace,omitempty"`
	Pod           string `json:"pod,omitempty"`
	ContainerName string `json:"container_name,omitempty"`
	Container     string `json:"container,omitempty"`
	// PID is the container's first process; 0 if it doesn't run.
	PID       int       `json:"pid,omitempty"`
	PlantedAt time.Time `json:"planted_at,omitzero"`
	// Strategy is how it was planted, and why so.
	Strategy       beesting.Strategy `json:"strategy,omitempty"`
	StrategyReason string            `json:"strategy_reason,omitempty"`

	Seen   uint64 `json:"seen"`
	Lost   uint64 `json:"lost"`
	Exempt uint64 `json:"exempt"`

	Kinds map[string]KindCount `json:"kinds,omitempty"`
}

// KindCount are the touches of one kind. Once everything has been read, Seen is
// the sum of the others: touches that were delivered, that were counted in one
// that was, and that were told as missing.
type KindCount struct {
	Seen      uint64 `json:"seen"`
	Delivered uint64 `json:"delivered"`
	Coalesced uint64 `json:"coalesced"`
	Lost      uint64 `json:"lost"`
}

// UnplantedStatus is a container that lacks tokens.
type UnplantedStatus struct {
	Namespace     string `json:"namespace,omitempty"`
	Pod           string `json:"pod,omitempty"`
	ContainerName string `json:"container_name,omitempty"`
	Container     string `json:"container"`
	Wanted        int    `json:"wanted"`
	Planted       int    `json:"planted"`
	Why           string `json:"why"`
	// Since is when it began to lack tokens, or when the agent heard of it.
	Since time.Time `json:"since"`
}

// Status returns how the agent fares. It asks the kernel for each placement's
// counts.
func (a *Agent) Status() Status {
	s := Status{
		Since: a.since, Mode: string(a.core.Mode()), Tier: a.core.Tier(), Coverage: a.core.Coverage(),
		StateDir: a.state.Path(), FilesDir: a.state.FilesPath(), Records: a.state.Stats(), NRI: a.plugin.Status(),
		Hooks: a.hooks.status(), Sweep: a.sweep.status(),
	}
	away, resumed := a.core.Resumed()
	s.Resumed, s.AwaySeconds = resumed, away.Seconds()
	select {
	case <-a.ready:
		s.Ready = true
	default:
	}
	s.Failures, s.FailureCounts = a.failures.copy()
	a.mu.Lock()
	s.UnwatchedSeconds = a.unwatched.Seconds()
	a.mu.Unlock()
	var err error
	if s.Events, err = a.core.Stats(); err != nil {
		s.Error = err.Error()
	}
	placements := a.core.Placements()
	s.Armed = len(placements)
	s.Placements = make([]PlacementStatus, 0, min(s.Armed, maxListed))
	for _, p := range placements[:min(s.Armed, maxListed)] {
		s.Placements = append(s.Placements, a.placementStatus(p))
	}
	slices.SortFunc(s.Placements, func(x, y PlacementStatus) int {
		return cmp.Or(cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Pod, y.Pod),
			cmp.Compare(x.ContainerName, y.ContainerName), cmp.Compare(x.Token, y.Token), cmp.Compare(x.Container, y.Container))
	})
	a.tenantStatus(&s)
	return s
}

func (a *Agent) placementStatus(p beesting.Placement) PlacementStatus {
	s := PlacementStatus{Token: p.Token.Name, TokenID: p.TokenID, Path: p.Token.Path, PlantedAt: p.PlantedAt}
	if c := p.Container; c != nil {
		s.Namespace, s.Pod, s.ContainerName, s.Container = c.Pod.Namespace, c.Pod.Name, c.Name, c.ID
		if t, ok := a.tenant(c.ID); ok {
			s.PID = t.container.PID
			for _, q := range t.planted {
				if q.token.Name == p.Token.Name {
					s.Strategy, s.StrategyReason = q.strategy, q.reason
				}
			}
		}
	}
	// Without an entry the placement has just been disarmed.
	count, err := a.core.sensor.Count(uint64(p.ID))
	account, accountErr := a.core.sensor.Account(uint64(p.ID))
	if err != nil || accountErr != nil {
		return s
	}
	s.Exempt, s.Kinds = count.Exempt, map[string]KindCount{}
	for k := range bpf.Kinds {
		s.Seen += count.Seen[k]
		s.Lost += count.Lost[k]
		c := KindCount{Seen: count.Seen[k], Delivered: account.Delivered[k], Coalesced: account.Coalesced[k], Lost: account.Lost[k]}
		if c != (KindCount{}) {
			s.Kinds[bpf.Kind(k).String()] = c
		}
	}
	return s
}

func (a *Agent) tenantStatus(s *Status) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.Containers = len(a.tenants)
	s.Unplanted = []UnplantedStatus{}
	for _, t := range a.tenants {
		if len(t.planted) > 0 {
			s.Planted++
		}
		if !t.lacks() {
			continue
		}
		s.Lacking++
		if len(s.Unplanted) == maxListed {
			continue
		}
		c := t.container
		s.Unplanted = append(s.Unplanted, UnplantedStatus{
			Namespace: c.Pod.Namespace, Pod: c.Pod.Name, ContainerName: c.Name, Container: c.ID,
			Wanted: t.wanted, Planted: len(t.planted), Why: t.why, Since: t.lackedSince,
		})
	}
	slices.SortFunc(s.Unplanted, func(x, y UnplantedStatus) int {
		return cmp.Or(cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Pod, y.Pod), cmp.Compare(x.Container, y.Container))
	})
}
