package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/state"
	"github.com/beesting-otel/beesting/nri"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestPlantAndStart(t *testing.T) {
	n := newNode(t)
	c := testContainer("c1")
	mounts := n.create(&c)
	if len(mounts) != 1 || mounts[0].Destination != "/root/.aws/credentials" || mounts[0].Type != "bind" ||
		!slices.Equal(mounts[0].Options, []string{"bind", "ro", "nosuid", "nodev", "noexec", "rprivate"}) {
		t.Fatalf("mounts %+v", mounts)
	}
	fi, err := os.Stat(mounts[0].Source)
	if err != nil {
		t.Fatal(err)
	}
	if fi.Mode() != 0o640 {
		t.Errorf("mode %v", fi.Mode())
	}
	c.User = &nri.User{UID: 1000, GID: 1001}
	if f := stateFile(c, awsToken()); f.UID != 1000 || f.GID != 1001 {
		t.Errorf("owner: %+v", f)
	}
	c.User = nil
	if f := stateFile(c, awsToken()); f.UID != 0 || f.GID != 0 {
		t.Errorf("owner where the runtime doesn't tell: %+v", f)
	}
	if b, err := os.ReadFile(mounts[0].Source); err != nil || string(b) != "secret" {
		t.Errorf("content %q, %v", b, err)
	}
	id := n.agent.identity.PlacementID("c1", "aws")
	if n.core.Armed(id) {
		t.Error("armed before the start: what the runtime does would be an access")
	}

	n.run(&c, 7)
	n.agent.Start(t.Context(), c)
	if watched := n.sensor.Watches(id); watched == nil || !os.SameFile(watched, fi) {
		t.Error("the planted file is not what is watched")
	}
	p := n.core.Placements()[0]
	if p.Token.Name != "aws" || p.Token.Content != nil || p.TokenID == "" || p.Container.PID != 7 || p.Container.Pod.Name != "web-0" || p.PlantedAt.IsZero() {
		t.Errorf("placement %+v", p)
	}
	touch := event(uint64(p.ID))
	n.sensor.Act(touch, false)
	n.sensor.Act(touch, false)
	s := n.agent.Status()
	if s.Containers != 1 || s.Planted != 1 || s.Armed != 1 || s.Lacking != 0 || len(s.Failures) != 0 || s.Mode != "lsm" ||
		s.Placements[0].Seen != 2 || s.Placements[0].Lost != 1 || s.Placements[0].Kinds["open"] != (KindCount{Seen: 2}) || s.Events.Lost["ring_full"] != 7 {
		t.Errorf("status %+v", s)
	}
}

// Another policy holds for what is created from then on, and for what starts.
func TestSetPolicy(t *testing.T) {
	n := newNode(t)
	before, after := testContainer("c1"), testContainer("c2")
	if mounts := n.create(&before); len(mounts) != 1 {
		t.Fatalf("mounts %+v", mounts)
	}
	var wg sync.WaitGroup
	for range 4 { // also while others ask
		wg.Go(func() { n.agent.selector(before.Container) })
		wg.Go(func() {
			n.agent.SetPolicy(func(c beesting.Container) []beesting.Token {
				other := awsToken()
				other.Name, other.Path = "other", "/"+c.ID
				return []beesting.Token{other}
			})
		})
	}
	wg.Wait()
	if mounts := n.create(&after); len(mounts) != 1 || mounts[0].Destination != "/c2" {
		t.Errorf("mounts %+v", mounts)
	}
	n.run(&before, 7)
	n.agent.Start(t.Context(), before)
	identity := n.agent.identity
	if n.core.Armed(identity.PlacementID("c1", "aws")) || !n.core.Armed(identity.PlacementID("c1", "other")) {
		t.Errorf("armed: %+v", n.core.Placements())
	}
}

func TestStopKeepsAndRemoveRemoves(t *testing.T) {
	n := newNode(t)
	c := testContainer("c1")
	id := n.launch(&c, 7)
	for range 2 {
		n.agent.Stop(t.Context(), c)
	}
	if !n.core.Armed(id) || len(n.files()) != 1 {
		t.Error("stopped container: not armed, or its file is gone")
	}
	n.agent.Start(t.Context(), c) // as podman does
	if !n.core.Armed(id) || len(n.reasons()) != 0 {
		t.Errorf("started again: %v", n.agent.Status().Failures)
	}
	for range 2 {
		n.agent.Remove(t.Context(), c)
	}
	if n.core.Armed(id) || len(n.files()) != 0 {
		t.Error("removed container: armed, or its file is there")
	}
	if left := n.agent.state.Stats().Containers; left != 0 {
		t.Errorf("%d records left", left)
	}
	if s := n.agent.Status(); s.Containers != 0 || s.Planted != 0 || len(s.FailureCounts) != 0 {
		t.Errorf("status %+v", s)
	}
}

func TestHiddenTokenIsReportedAndWatched(t *testing.T) {
	for name, hide := range map[string]func(file string) error{
		"another file": func(file string) error { return errors.Join(os.Remove(file), os.WriteFile(file, nil, 0o600)) },
		"no file":      os.Remove,
	} {
		n := newNode(t)
		c := testContainer("c1")
		n.create(&c)
		n.run(&c, 7)
		if err := hide(filepath.Join(n.proc.dir, "7/root/root/.aws/credentials")); err != nil {
			t.Fatal(err)
		}
		n.agent.Start(t.Context(), c)
		if !n.core.Armed(n.agent.identity.PlacementID("c1", "aws")) || n.reasons()[ReasonHidden] != 1 {
			t.Errorf("%s: %v", name, n.agent.Status().Failures)
		}
	}
}

// /root is a link in the image, absolute as in a chroot.
func TestVisibleThroughLink(t *testing.T) {
	n := newNode(t)
	c := testContainer("c1")
	n.create(&c)
	n.run(&c, 7)
	root, err := os.Readlink(filepath.Join(n.proc.dir, "7/root"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Rename(root+"/root", root+"/home"), os.Symlink("/home", root+"/root")); err != nil {
		t.Fatal(err)
	}
	n.agent.Start(t.Context(), c)
	if len(n.reasons()) != 0 {
		t.Errorf("failures %v", n.agent.Status().Failures)
	}
}

func TestPolicyDecides(t *testing.T) {
	n := newNode(t)
	c := testContainer("c1")
	c.Pod.Namespace = "other"
	if n.create(&c) != nil {
		t.Error("planted against the policy")
	}
	n.run(&c, 7)
	n.agent.Start(t.Context(), c)
	if s := n.agent.Status(); s.Containers != 1 || s.Planted != 0 || s.Lacking != 0 || len(s.Failures) != 0 {
		t.Errorf("status %+v", s)
	}
}

func TestHazardousTokenIsLeftOut(t *testing.T) {
	n := newNode(t)
	below := awsToken()
	below.Name, below.Path = "below", "/root/.aws/credentials/deeper" // the first token's mount is there by then
	ro := awsToken()
	ro.Name, ro.Path = "ro", "/run/secrets/kubernetes.io/serviceaccount/api"
	n.tokens = append(n.tokens, below, ro)
	c := testContainer("c1")
	if mounts := n.create(&c); len(mounts) != 1 {
		t.Errorf("mounts %+v", mounts)
	}
	n.run(&c, 7)
	n.agent.Start(t.Context(), c)
	s := n.agent.Status()
	if s.FailureCounts[ReasonMountPoint] != 2 || s.Armed != 1 || s.Lacking != 1 || s.Unplanted[0].Planted != 1 || s.Unplanted[0].Wanted != 3 {
		t.Errorf("status %+v", s)
	}
	if f := s.Failures[1]; f.Token != "ro" || f.Pod != "web-0" || f.Container != "c1" || f.Error == "" || f.Time.IsZero() {
		t.Errorf("failure %+v", f)
	}
}

func TestPredecessorThatDidNotStart(t *testing.T) {
	n := newNode(t)
	first, second := testContainer("c1"), testContainer("c2")
	second.Pod.UID = first.Pod.UID
	n.create(&first)
	n.agent.Remove(t.Context(), first)
	if n.reasons()[ReasonNotStarted] != 1 {
		t.Errorf("removed without a start: %v", n.agent.Status().Failures)
	}
	if n.create(&second) != nil || n.reasons()[ReasonPredecessor] != 1 {
		t.Errorf("planted again: %v", n.agent.Status().Failures)
	}
}

func TestLimit(t *testing.T) {
	n := newNode(t, func(o *CoreOptions) { o.MaxPlacements = 1 })
	one, two := testContainer("c1"), testContainer("c2")
	n.launch(&one, 7)
	if n.create(&two) != nil || n.reasons()[ReasonFull] != 1 {
		t.Errorf("planted over the limit: %v", n.agent.Status().Failures)
	}
	n.agent.Remove(t.Context(), one)
	if three := testContainer("c3"); n.create(&three) == nil {
		t.Error("no room after a removal")
	}
}

func TestLatePlantLeavesNothing(t *testing.T) {
	n := newNode(t)
	c := testContainer("c1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n.agent.Plant(ctx, c).Mounts != nil || len(n.files()) != 0 {
		t.Error("planted without time")
	}
	n.agent.locks.acquire(t.Context(), c.ID) // busy
	if n.agent.Plant(ctx, c).Mounts != nil {
		t.Error("planted without its turn")
	}
	n.agent.locks.release(c.ID)
	if left := n.agent.state.Stats().Containers; left != 0 {
		t.Errorf("%d records left", left)
	}
}

// The answer came too late, or another plugin took the mount away.
func TestPlantedAndNotMounted(t *testing.T) {
	n := newNode(t)
	c := testContainer("c1")
	n.create(&c)
	c.Mounts = usual()
	n.run(&c, 7)
	n.agent.Start(t.Context(), c)
	if s := n.agent.Status(); s.FailureCounts[ReasonNotMounted] != 1 || s.Armed != 1 || s.Lacking != 0 || len(n.files()) != 1 {
		t.Errorf("not made good: %+v, files %v", s, n.files())
	}
	n.agent.Remove(t.Context(), c)
	// Where only the runtime may mount there is nothing to be done.
	n.tokens[0].Strategy = beesting.StrategyBind
	c = testContainer("c2")
	n.create(&c)
	c.Mounts = usual()
	n.run(&c, 8)
	n.agent.Start(t.Context(), c)
	if s := n.agent.Status(); s.FailureCounts[ReasonNotMounted] != 2 || s.Armed != 0 || s.Lacking != 1 || len(n.files()) != 0 {
		t.Errorf("status %+v, files %v", s, n.files())
	}
	n.agent.Remove(t.Context(), c)
	if left := n.agent.state.Stats().Containers; left != 0 {
		t.Errorf("%d records left", left)
	}
}

func TestDiskErrorsFailOpen(t *testing.T) {
	n := newNode(t)
	pods := filepath.Join(n.stateDir, "pods")
	if err := os.WriteFile(pods, nil, 0o600); err != nil { // where a directory should be
		t.Fatal(err)
	}
	c := testContainer("c1")
	if n.create(&c) != nil || n.reasons()[ReasonStateDir] != 1 {
		t.Errorf("no directory: %v", n.agent.Status().Failures)
	}
	if err := os.Remove(pods); err != nil {
		t.Fatal(err)
	}
	// The record can't be written: nothing is planted, nothing stays.
	if err := n.agent.state.Close(); err != nil {
		t.Fatal(err)
	}
	if n.create(&c) != nil || n.reasons()[ReasonStateDir] < 2 || len(n.files()) != 0 {
		t.Errorf("no record: %v, files %v", n.agent.Status().Failures, n.files())
	}
}

func TestSensorRefuses(t *testing.T) {
	n := newNode(t)
	n.sensor.Refuse(errors.New("no room"))
	c := testContainer("c1")
	n.launch(&c, 7)
	if s := n.agent.Status(); s.FailureCounts[ReasonWatch] != 1 || s.Armed != 0 {
		t.Errorf("status %+v", s)
	}
}

func TestMissed(t *testing.T) {
	n := newNode(t)
	for range maxFailures + 5 {
		n.agent.Missed(testContainer("c1"), nri.RequestStart, nri.ErrLate)
	}
	n.agent.Missed(testContainer("c1"), nri.RequestCreate, &nri.PanicError{Value: "boom"})
	s := n.agent.Status()
	want := map[Reason]uint64{ReasonLate: maxFailures + 5, ReasonInternal: 1}
	if !reflect.DeepEqual(s.FailureCounts, want) || len(s.Failures) != maxFailures || s.Failures[maxFailures-1].Reason != ReasonInternal {
		t.Errorf("counts %v, %d kept", s.FailureCounts, len(s.Failures))
	}
}

func TestOneAgentPerNode(t *testing.T) {
	n := newNode(t)
	if _, err := New(n.core, n.options()); !errors.Is(err, state.ErrLocked) {
		t.Errorf("same state directory: %v", err)
	}
	o := n.options()
	o.StateDir = t.TempDir()
	if _, err := New(n.core, o); !errors.Is(err, state.ErrLocked) {
		t.Errorf("same runtime: %v", err)
	}
	o.NRISocket = filepath.Join(t.TempDir(), "none.sock")
	if _, err := New(n.core, o); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no runtime: %v", err)
	}
	if _, err := New(n.core, Options{}); err == nil {
		t.Error("no options accepted")
	}
}

func TestManyAtOnce(t *testing.T) {
	n := newNode(t)
	var containers []nri.Container
	for i := range 20 {
		c := testContainer(fmt.Sprint("c", i))
		c.Pod.UID = "pod"
		c.Name = fmt.Sprint("web", i)
		n.create(&c)
		n.run(&c, 100+i)
		containers = append(containers, c)
	}
	var wg sync.WaitGroup
	wg.Go(func() { n.synchronize(containers...) })
	wg.Go(func() { n.agent.Status() })
	for i, c := range containers {
		wg.Go(func() {
			n.agent.Start(context.Background(), c)
			if i%2 == 0 {
				n.agent.Stop(context.Background(), c)
				n.agent.Remove(context.Background(), c)
			}
		})
	}
	wg.Wait()
	if s := n.agent.Status(); s.Containers != 10 || s.Armed != 10 || len(s.Failures) != 0 || len(n.files()) != 10 {
		t.Errorf("%d containers, %d armed, %d files, failures %v", s.Containers, s.Armed, len(n.files()), s.Failures)
	}
}

func TestRunWithoutRuntime(t *testing.T) {
	n := newNode(t)
	if err := os.Remove(n.socket); err != nil {
		t.Fatal(err)
	}
	if err := n.agent.Run(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
