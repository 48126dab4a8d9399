package agent

import (
	"slices"
	"testing"

	"github.com/beesting-otel/beesting/nri"
)

// A container that an agent before this one planted, and that has no process yet:
// the runtime's mounts are to come, and its start.
func TestCreatedWithoutProcess(t *testing.T) {
	for name, forget := range map[string]bool{"recorded": false, "without a record": true} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			c := testContainer("c1")
			n.create(&c)
			if forget {
				if err := n.agent.state.RemoveRecord(c.ID); err != nil {
					t.Fatal(err)
				}
			}
			files := n.files()
			n.restart()
			n.agent.setUp = 0
			c.State = nri.StateCreated
			n.synchronize(c)
			id := n.agent.identity.PlacementID(c.ID, "aws")
			if n.core.Armed(id) {
				t.Error("watched before the runtime has mounted it")
			}
			if got := n.files(); len(got) != 1 || !slices.Equal(got, files) {
				t.Errorf("files %v, want %v", got, files)
			}
			n.run(&c, 7)
			n.agent.Start(t.Context(), c)
			if !n.core.Armed(id) {
				t.Errorf("not watched after its start: %+v", n.agent.Status())
			}
		})
	}
}
