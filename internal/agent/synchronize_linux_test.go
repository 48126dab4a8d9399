package agent

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/internal/state"
	"github.com/beesting-otel/beesting/nri"
)

func TestRestart(t *testing.T) {
	n := newNode(t)
	kept, removed := testContainer("c1"), testContainer("c2")
	id := n.launch(&kept, 7)
	n.launch(&removed, 8)
	before := n.core.Placements()

	n.restart()
	n.tokens[0].WatchDirectory = true // what was planted stays
	unseen := testContainer("c3")
	unseen.PID, unseen.State = 9, nri.StateRunning
	kept.State = nri.StateRunning
	n.synchronize(kept, unseen)

	after := n.core.Placements()
	if len(after) != 1 || after[0].ID != id || n.sensor.Watches(id) == nil {
		t.Fatalf("placements %+v", after)
	}
	for _, p := range before {
		if p.ID != id {
			continue
		}
		if got := after[0]; got.TokenID != p.TokenID || got.Token.Kind != "aws-credentials" || !got.PlantedAt.Equal(p.PlantedAt) || got.HostPath != p.HostPath {
			t.Errorf("before %+v\nafter  %+v", p, got)
		}
	}
	if files := n.files(); len(files) != 1 || files[0] != after[0].HostPath {
		t.Errorf("files %v", files)
	}
	s := n.agent.Status()
	if !s.Ready || s.Containers != 2 || s.Planted != 1 || s.Lacking != 1 || s.Unplanted[0].Container != "c3" || s.Unplanted[0].Why != whyUnseen || len(s.Failures) != 0 {
		t.Errorf("status %+v", s)
	}
}

// An agent says for how long nobody watched what it found planted.
func TestUnwatched(t *testing.T) {
	n := newNode(t)
	c := testContainer("c1")
	n.launch(&c, 7)
	c.State = nri.StateRunning
	n.synchronize(c)
	if s := n.agent.Status(); s.UnwatchedSeconds != 0 {
		t.Errorf("the first agent: %v s", s.UnwatchedSeconds)
	}
	boot, err := n.core.clock.Boot()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n.agent.keepMark(ctx) // as at the end of Run
	n.restart()
	clock := n.core.clock
	n.core.clock.Boot = func() (time.Duration, error) { return boot + 42*time.Second, nil }
	n.synchronize(c)
	n.core.clock = clock
	if s := n.agent.Status(); s.UnwatchedSeconds < 41 || s.UnwatchedSeconds > 42 {
		t.Errorf("%v s, want 42 at most", s.UnwatchedSeconds)
	}
	if s, _ := n.agent.Summary(); s.UnwatchedSeconds != n.agent.Status().UnwatchedSeconds {
		t.Errorf("summary %+v", s)
	}
}

// Tokens that stayed watched while the agent was away: no time without a watch,
// and what was touched meanwhile has its placement.
func TestStayedWatched(t *testing.T) {
	n := newNode(t)
	c := testContainer("c1")
	id := n.launch(&c, 7)
	c.State = nri.StateRunning
	n.synchronize(c)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n.agent.keepMark(ctx) // as at the end of Run
	sensor := n.sensor
	touch := event(uint64(id))
	n.proc.process(t, 40, "cat", 8000, "0::/kubepods/c1\n")
	sensor.Act(touch, true)
	sensor.Resume(50 * time.Second)
	n.restart(func(o *CoreOptions) { o.Sensor = sensor })
	n.core.take(t.Context(), <-sensor.Events)
	if len(n.sink.got) != 0 {
		t.Error("went out without placement")
	}
	n.synchronize(c)
	if s := n.agent.Status(); s.UnwatchedSeconds != 0 || s.Armed != 1 {
		t.Errorf("status %+v", s)
	}
	if got := n.sink.got; len(got) != 1 || got[0].Placement.ID != id || got[0].Placement.Container.ID != "c1" || got[0].Partial != nil {
		t.Errorf("got %+v", got)
	}
	if s := n.agent.Status(); s.Placements[0].Kinds["open"] != (KindCount{Seen: 1, Delivered: 1}) {
		t.Errorf("status %+v", s.Placements)
	}
}

// A container that went away while no agent was there: what was touched before
// is told as its token's, as far as that is written down.
func TestGoneWhileAway(t *testing.T) {
	n := newNode(t)
	c := testContainer("c1")
	id := n.launch(&c, 7)
	before := n.core.Placements()[0]
	c.State = nri.StateRunning
	n.synchronize(c)
	sensor := n.sensor
	sensor.Act(event(uint64(id)), true)
	sensor.Resume(50 * time.Second)
	if err := os.RemoveAll(filepath.Join(n.proc.dir, "7")); err != nil {
		t.Fatal(err)
	}
	n.restart(func(o *CoreOptions) { o.Sensor = sensor })
	n.core.take(t.Context(), <-sensor.Events)
	n.synchronize()
	n.core.settleIn(t.Context())
	if len(n.sink.got) != 1 {
		t.Fatalf("got %+v", n.sink.got)
	}
	got := n.sink.got[0].Placement
	if got.ID != id || got.TokenID != before.TokenID || got.Token.Name != "aws" || got.Token.Path != before.Token.Path || got.Container == nil ||
		got.Container.ID != "c1" || got.Container.Name != before.Container.Name || got.Container.Pod.Name != before.Container.Pod.Name ||
		got.Container.Pod.Namespace != before.Container.Pod.Namespace || got.Container.Pod.UID != before.Container.Pod.UID {
		t.Errorf("placement %+v, was %+v", got, before)
	}
	if left := n.agent.state.Stats().Containers; left != 0 {
		t.Errorf("%d records left", left)
	}
}

// An agent that steps in another one's place, with the same core: what is armed
// stays armed all the time, and what was removed meanwhile is let go of.
func TestAfter(t *testing.T) {
	n := newNode(t)
	kept, removed := testContainer("c1"), testContainer("c2")
	id := n.launch(&kept, 7)
	gone := n.launch(&removed, 8)
	if err := os.RemoveAll(filepath.Join(n.proc.dir, "8")); err != nil {
		t.Fatal(err)
	}
	n.agent.failures.add(removed.Container, "aws", ReasonHidden, errHidden)
	old := n.agent
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	o := n.options()
	o.After = old
	a, err := New(n.core, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	n.agent = a
	if !n.core.Armed(id) || !n.core.Armed(gone) {
		t.Error("disarmed in between")
	}
	kept.State = nri.StateRunning
	n.synchronize(kept)
	if !n.core.Armed(id) || n.core.Armed(gone) || n.sensor.Watches(gone) != nil {
		t.Errorf("placements %+v, want that of the container that is there", n.core.Placements())
	}
	if s := a.Status(); !s.Since.Equal(old.since) || s.FailureCounts[ReasonHidden] != 1 || s.Planted != 1 || s.Lacking != 0 {
		t.Errorf("status %+v", s)
	}
}

// The record is lost: path and policy say which token it was.
func TestRestartWithoutRecord(t *testing.T) {
	for name, damage := range map[string]func(string) error{
		"gone":    os.Remove,
		"damaged": func(name string) error { return os.WriteFile(name, []byte("{"), 0o600) },
	} {
		n := newNode(t)
		c := testContainer("c1")
		id := n.launch(&c, 7)
		before, err := n.agent.state.Record("c1")
		if err != nil {
			t.Fatal(err)
		}
		if err := n.agent.state.Close(); err != nil {
			t.Fatal(err)
		}
		if err := damage(filepath.Join(n.stateDir, "records.db")); err != nil {
			t.Fatal(err)
		}
		n.restart()
		n.synchronize(c)
		if s := n.agent.Status(); !n.core.Armed(id) || n.reasons()[ReasonStateDir] != 1 || len(n.files()) != 1 || (s.Records.SetAside != "") != (name == "damaged") {
			t.Errorf("%s: %+v", name, s)
		}
		// It is written again: all but the time can be found out.
		n.restart()
		n.synchronize(c)
		r, err := n.agent.state.Record("c1")
		if err != nil || len(r.Tokens) != 1 || len(n.reasons()) != 0 {
			t.Fatalf("%s: record %+v, %v", name, r, err)
		}
		before.Tokens[0].PlantedAt = r.Tokens[0].PlantedAt
		if !reflect.DeepEqual(r.Tokens[0], before.Tokens[0]) || r.Tokens[0].Inode == 0 || r.Tokens[0].PlacementID != id {
			t.Errorf("%s: found out %+v, was %+v", name, r.Tokens[0], before.Tokens[0])
		}
	}
}

func TestForeignMount(t *testing.T) {
	n := newNode(t)
	victim, thief := testContainer("c1"), testContainer("c2")
	id := n.launch(&victim, 7)
	thief.Mounts = append(thief.Mounts, nri.Mount{Source: victim.Mounts[len(victim.Mounts)-1].Source, Destination: "/root/.aws/credentials", Type: "bind"})
	n.run(&thief, 8)
	n.agent.Start(t.Context(), thief)
	if s := n.agent.Status(); s.FailureCounts[ReasonForeign] != 1 || s.Armed != 1 {
		t.Errorf("status %+v", s)
	}
	n.agent.Remove(t.Context(), thief)
	if !n.core.Armed(id) || len(n.files()) != 1 {
		t.Error("another container's token went with it")
	}
}

// The snapshot was taken before the removal and is handled after it.
func TestRemovedContainerStaysRemoved(t *testing.T) {
	n := newNode(t)
	c := testContainer("c1")
	n.launch(&c, 7)
	n.agent.Remove(t.Context(), c)
	n.synchronize(c)
	if s := n.agent.Status(); s.Containers != 0 || s.Armed != 0 || len(s.Failures) != 0 {
		t.Errorf("status %+v", s)
	}
}

// Removed right after the restart, before the agent has come to it.
func TestRemoveOfUnknownContainer(t *testing.T) {
	n := newNode(t)
	c := testContainer("c1")
	n.launch(&c, 7)
	n.restart()
	n.agent.Remove(t.Context(), c)
	if len(n.files()) != 0 {
		t.Errorf("files left: %v", n.files())
	}
}

// The snapshot is older than what a request has told since.
func TestSnapshotDoesNotOverwriteLaterNews(t *testing.T) {
	n := newNode(t)
	taken := time.Now()
	stopped, created := testContainer("c1"), testContainer("c2")
	n.launch(&stopped, 7)
	old := stopped
	n.agent.Stop(t.Context(), stopped)
	id := n.launch(&created, 8)
	n.agent.Synchronize(t.Context(), nri.Snapshot{Received: taken, Containers: []nri.Container{old}})
	if got, ok := n.agent.tenant("c1"); !ok || got.state != nri.StateStopped || got.container.PID != 0 {
		t.Errorf("stopped container: %+v", got)
	}
	if !n.core.Armed(id) || len(n.files()) != 2 {
		t.Error("a container that was created after the snapshot was dropped")
	}
}

func TestContainersThatWentAwayUnseen(t *testing.T) {
	n := newNode(t)
	dead, alive := testContainer("c1"), testContainer("c2")
	deadID, aliveID := n.launch(&dead, 7), n.launch(&alive, 8)
	if err := os.RemoveAll(filepath.Join(n.proc.dir, "7")); err != nil {
		t.Fatal(err)
	}
	n.synchronize()
	if n.core.Armed(deadID) {
		t.Error("container that is gone is still armed")
	}
	if !n.core.Armed(aliveID) || len(n.files()) != 1 {
		t.Error("running container was dropped because the runtime forgot it")
	}
	// The pid is another process' now.
	n.proc.process(t, 8, "bash", 900, "0::/user.slice\n")
	n.synchronize()
	if n.core.Armed(aliveID) || len(n.files()) != 0 {
		t.Error("container that is gone is still armed")
	}
}

func TestOrphansAreCollected(t *testing.T) {
	n := newNode(t)
	c := testContainer("c1")
	n.launch(&c, 7)
	orphan := filepath.Join(n.stateDir, "pods/gone/containers/web/0badcafe")
	partial := filepath.Join(filepath.Dir(c.Mounts[len(c.Mounts)-1].Source), ".tmp-1")
	if err := n.agent.state.WriteRecord(state.Record{Container: "gone"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{orphan, partial} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n.synchronize(c)
	for _, name := range []string{orphan, partial, filepath.Dir(filepath.Dir(filepath.Dir(orphan)))} {
		if _, err := os.Stat(name); !os.IsNotExist(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s := n.agent.Status(); len(n.files()) != 1 || len(n.reasons()) != 0 || s.Records.Containers != 1 {
		t.Errorf("files %v, failures %v, records %+v", n.files(), s.Failures, s.Records)
	}
}
