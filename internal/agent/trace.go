package agent

import (
	"strings"
	"time"

	"github.com/beesting-otel/beesting"
)

// minTraced is the shortest beginning of a token id that is looked for, in
// characters: 80 bits, which nobody has by accident.
const minTraced = 16

// TraceResult is a placement of this node that a token id names.
type TraceResult struct {
	TokenID       string    `json:"token_id"`
	Token         string    `json:"token"`
	Kind          string    `json:"kind,omitempty"`
	Path          string    `json:"path"`
	Namespace     string    `json:"namespace,omitempty"`
	Pod           string    `json:"pod,omitempty"`
	ContainerName string    `json:"container_name,omitempty"`
	Container     string    `json:"container"`
	PlantedAt     time.Time `json:"planted_at,omitzero"`
	// Present says that the token is still there, and watched.
	Present bool `json:"present"`
}

// Trace returns the placements whose token id is one of ids or begins with one;
// ids are of [a-z2-7] and have at least 16 characters, others are left out. It
// knows what is planted, and what the state directory still has a record of.
func (a *Agent) Trace(ids []string) []TraceResult {
	wanted := newTraced(ids)
	out := []TraceResult{}
	for _, p := range a.core.Placements() {
		if wanted.take(p.TokenID) {
			out = append(out, traceResult(p, true))
		}
	}
	_, containers, err := a.state.Leftovers()
	if err != nil {
		a.log.Warn("records of containers could not be listed", "error", err)
	}
	for _, id := range containers {
		r, err := a.state.Record(id)
		if err != nil {
			continue // removed meanwhile, or damaged
		}
		for _, t := range r.Tokens {
			if tokenID := a.identity.TokenID(r.Container, t.Name); wanted.take(tokenID) {
				out = append(out, traceResult(beesting.Placement{
					Token: beesting.Token{Name: t.Name, Kind: t.Kind, Path: t.Path}, TokenID: tokenID,
					Container: recordedContainer(r), PlantedAt: t.PlantedAt,
				}, false))
			}
		}
	}
	return out
}

func traceResult(p beesting.Placement, present bool) TraceResult {
	r := TraceResult{
		TokenID: p.TokenID, Token: p.Token.Name, Kind: p.Token.Kind, Path: p.Token.Path, PlantedAt: p.PlantedAt, Present: present,
	}
	if c := p.Container; c != nil {
		r.Namespace, r.Pod, r.ContainerName, r.Container = c.Pod.Namespace, c.Pod.Name, c.Name, c.ID
	}
	return r
}

// traced are the ids that are asked for, by their first characters.
type traced struct {
	ids   map[string][]string
	taken map[string]bool
}

func newTraced(ids []string) traced {
	t := traced{ids: map[string][]string{}, taken: map[string]bool{}}
	for _, id := range ids {
		if len(id) >= minTraced {
			t.ids[id[:minTraced]] = append(t.ids[id[:minTraced]], id)
		}
	}
	return t
}

// take says whether the id is asked for, once.
func (t traced) take(id string) bool {
	if len(id) < minTraced || t.taken[id] {
		return false
	}
	for _, prefix := range t.ids[id[:minTraced]] {
		if strings.HasPrefix(id, prefix) {
			t.taken[id] = true
			return true
		}
	}
	return false
}
