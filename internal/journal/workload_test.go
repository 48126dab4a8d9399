package journal

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
)

// An entry from before the API server was asked is read as one that lacks its part,
// and what it said survives the disk.
func TestWorkloadsInEntries(t *testing.T) {
	c := must(newCodec())
	old, err := c.enc.Marshal(map[string]any{
		"Recorded": time.Unix(1, 0),
		"Access":   map[string]any{"Kind": "open", "Placement": map[string]any{"Container": map[string]any{"ID": "c", "Pod": map[string]any{"Name": "p", "UID": "u"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	access := &beesting.Access{Kind: beesting.AccessOpen, Placement: beesting.Placement{Container: &beesting.Container{ID: "c", Pod: beesting.Pod{
		Name: "p", UID: "u", Workload: &beesting.Workload{
			StartTime: time.Unix(7, 0), Owners: []beesting.Owner{{Group: "apps", Kind: "Deployment", Name: "d", UID: "u"}},
			Labels: map[string]string{"team": "a"}, NodeUID: "n", ClusterUID: "c", Unresolved: beesting.UnresolvedLate,
		},
	}}}}
	now, err := c.encode(nil, &Entry{Access: access})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := c.decode(frame{first: 1, count: 2, raw: slices.Concat(make([]byte, headerBytes), old, now)})
	if err != nil || len(entries) != 2 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	if p := entries[0].Access.Placement.Container.Pod; p.Name != "p" || p.Workload != nil {
		t.Errorf("old entry: %+v", p)
	}
	got, want := entries[1].Access.Placement.Container.Pod.Workload, access.Placement.Container.Pod.Workload
	if got == nil || !got.StartTime.Equal(want.StartTime) {
		t.Fatalf("got %+v", got)
	}
	got.StartTime = want.StartTime // the same moment, in another zone
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
