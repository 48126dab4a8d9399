package agent

import (
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
// knows what is planted, and what the state directory has a record of: of
// containers that are long gone, too.
func (a *Agent) Trace(ids []string) []TraceResult {
	out, taken := []TraceResult{}, map[string]bool{}
	for _, id := range ids {
		if len(id) < minTraced {
			continue
		}
		found, err := a.state.ByTokenID(id)
		if err != nil {
			a.log.Warn("records were not searched for a token's id", "error", err)
		}
		for _, f := range found {
			if taken[f.Token.ID] {
				continue
			}
			taken[f.Token.ID] = true
			out = append(out, traceResult(beesting.Placement{
				Token: beesting.Token{Name: f.Token.Name, Kind: f.Token.Kind, Path: f.Token.Path}, TokenID: f.Token.ID,
				Container: recordedContainer(f.Record), PlantedAt: f.Token.PlantedAt,
			}, a.core.Armed(f.Token.PlacementID)))
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
