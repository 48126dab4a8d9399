package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/live"
	"github.com/beesting-otel/beesting/nri"
)

// inside is where the node's container has a path.
func (n *testNode) inside(c nri.Container, path string) string {
	return filepath.Join(n.proc.dir, itoa(c.PID), "root", path)
}

// running is a container that the agent did not see being made.
func (n *testNode) running() nri.Container {
	n.t.Helper()
	c := testContainer("c1")
	n.run(&c, 7)
	c.State = nri.StateRunning
	return c
}

func (n *testNode) content(c nri.Container, path string) string {
	n.t.Helper()
	b, err := os.ReadFile(n.inside(c, path))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		n.t.Error(err)
	}
	return string(b)
}

func TestRunningContainerIsPlanted(t *testing.T) {
	n := newNode(t)
	c := n.running()
	n.synchronize(c)
	s := n.agent.Status()
	if n.content(c, awsToken().Path) != "secret" || s.Armed != 1 || s.Lacking != 0 || len(n.reasons()) != 0 {
		t.Fatalf("status %+v", s)
	}
	if p := s.Placements[0]; p.Strategy != beesting.StrategyLive || p.StrategyReason != whyRunning {
		t.Errorf("placement %+v", p)
	}
	r, err := n.agent.state.Record("c1")
	if err != nil || len(r.Tokens) != 1 || r.Tokens[0].Strategy != beesting.StrategyLive || len(r.Tokens[0].Made) != 1 {
		t.Errorf("record %+v, %v", r, err)
	}
	// Once is enough, for this agent and for the next.
	n.synchronize(c)
	n.restart()
	n.synchronize(c)
	if s := n.agent.Status(); n.attacher.attached != 1 || s.Armed != 1 || len(n.reasons()) != 0 || len(n.files()) != 1 {
		t.Errorf("attached %d times; status %+v", n.attacher.attached, s)
	}
	n.agent.Remove(t.Context(), c)
	if len(n.files()) != 0 || n.agent.Status().Armed != 0 {
		t.Errorf("left: %v", n.files())
	}
}

// An agent that is killed between attaching and writing it down.
func TestAttachedAndNotWrittenDown(t *testing.T) {
	n := newNode(t)
	c := n.running()
	n.synchronize(c)
	if err := n.agent.state.RemoveRecord("c1"); err != nil {
		t.Fatal(err)
	}
	n.restart()
	n.synchronize(c)
	if s := n.agent.Status(); n.attacher.attached != 1 || s.Armed != 1 || len(n.reasons()) != 0 {
		t.Errorf("attached %d times; status %+v", n.attacher.attached, s)
	}
	if r, err := n.agent.state.Record("c1"); err != nil || len(r.Tokens) != 1 {
		t.Errorf("record %+v, %v", r, err)
	}
}

// The same of a token that the policy doesn't want any more: nothing but its mount
// tells of it.
func TestAttachedAndForgotten(t *testing.T) {
	n := newNode(t)
	c := n.running()
	n.synchronize(c)
	if err := n.agent.state.RemoveRecord("c1"); err != nil {
		t.Fatal(err)
	}
	n.tokens = nil
	n.restart()
	// What can't be taken out stays where it is, and is tried again.
	n.attacher.refuse = errors.New("busy")
	n.synchronize(c)
	if n.content(c, awsToken().Path) == "" || len(n.files()) != 1 || n.reasons()[ReasonLive] != 1 {
		t.Errorf("files %v, failures %v", n.files(), n.reasons())
	}
	n.attacher.refuse = nil
	n.synchronize(c)
	if s := n.agent.Status(); n.content(c, awsToken().Path) != "" || len(n.files()) != 0 || s.Armed != 0 {
		t.Errorf("files %v, status %+v", n.files(), s)
	}
}

func TestLiveAtStart(t *testing.T) {
	n := newNode(t)
	n.tokens[0].Strategy = beesting.StrategyLive
	c := testContainer("c1")
	if mounts := n.create(&c); len(mounts) != 0 {
		t.Errorf("the runtime was asked to mount %v", mounts)
	}
	n.run(&c, 7)
	n.agent.Start(t.Context(), c)
	if s := n.agent.Status(); s.Armed != 1 || s.Placements[0].StrategyReason != whyConfigured || n.content(c, awsToken().Path) != "secret" {
		t.Errorf("status %+v", s)
	}
}

// The one in whose place a container did not start gets its tokens when nothing
// can keep it from starting any more.
func TestLiveAfterFailedStart(t *testing.T) {
	n := newNode(t)
	first, second := testContainer("c1"), testContainer("c2")
	second.Pod = first.Pod
	n.create(&first)
	n.agent.Remove(t.Context(), first)
	if mounts := n.create(&second); len(mounts) != 0 {
		t.Fatalf("mounted again: %v", mounts)
	}
	n.run(&second, 7)
	n.agent.Start(t.Context(), second)
	if s := n.agent.Status(); s.Armed != 1 || s.Lacking != 0 {
		t.Errorf("status %+v", s)
	}
}

func TestLiveRefused(t *testing.T) {
	for reason, err := range map[Reason]error{ReasonLive: live.ErrReadOnly, ReasonExists: live.ErrExists} {
		n := newNode(t)
		n.attacher.refuse = err
		c := n.running()
		n.synchronize(c)
		n.synchronize(c)
		s := n.agent.Status()
		if n.reasons()[reason] != 1 || s.Armed != 0 || s.Lacking != 1 || len(n.files()) != 0 || s.Unplanted[0].Why != err.Error() {
			t.Errorf("%v: %+v", err, s)
		}
		// It goes as soon as it can.
		n.attacher.refuse = nil
		n.synchronize(c)
		if s := n.agent.Status(); s.Armed != 1 || s.Lacking != 0 {
			t.Errorf("after %v: %+v", err, s)
		}
	}
	n := newNode(t)
	n.tokens[0].Strategy = beesting.StrategyBind
	c := n.running()
	n.synchronize(c)
	if s := n.agent.Status(); n.attacher.attached != 0 || s.Lacking != 1 {
		t.Errorf("strategy bind: %+v", s)
	}
}

// policy changes the policy as a new configuration does.
func (n *testNode) policy(tokens ...beesting.Token) {
	n.t.Helper()
	n.tokens = tokens
	n.agent.SetPolicy(n.options().Select)
	ctx, cancel := context.WithTimeout(n.t.Context(), time.Minute)
	defer cancel()
	n.agent.apply(ctx)
}

func TestPolicyChanges(t *testing.T) {
	for _, made := range []string{"running", "with its tokens"} {
		n := newNode(t)
		var c nri.Container
		if made == "running" {
			c = n.running()
			n.synchronize(c)
		} else {
			c = testContainer("c1")
			n.launch(&c, 7)
		}
		npm := beesting.Token{Name: "npm", Kind: "npmrc", Path: "/root/.npmrc", Content: []byte("npm"), Mode: 0o644}
		n.policy(awsToken(), npm)
		if n.content(c, npm.Path) != "npm" || n.content(c, awsToken().Path) != "secret" || n.agent.Status().Armed != 2 {
			t.Errorf("%s, one more: %+v", made, n.agent.Status())
		}
		// Other content, another place, another mode.
		other := awsToken()
		other.Content = []byte("another")
		moved := npm
		moved.Path = "/home/.npmrc"
		n.policy(other, moved)
		if n.content(c, other.Path) != "another" || n.content(c, npm.Path) != "" || n.content(c, moved.Path) != "npm" || n.agent.Status().Armed != 2 {
			t.Errorf("%s, changed: %+v", made, n.agent.Status())
		}
		n.policy()
		if s := n.agent.Status(); n.content(c, other.Path) != "" || s.Armed != 0 || s.Lacking != 0 || len(n.files()) != 0 || len(n.reasons()) != 0 {
			t.Errorf("%s, none: %+v", made, s)
		}
		// What was there once can still be traced.
		r, err := n.agent.state.Record("c1")
		if err != nil || len(r.Tokens) != 2 || r.Tokens[0].RemovedAt.IsZero() {
			t.Errorf("%s: record %+v, %v", made, r, err)
		}
		// And it stays away over a restart, although the runtime still lists the
		// mount.
		n.tokens = nil
		n.restart()
		n.synchronize(c)
		if s := n.agent.Status(); s.Armed != 0 || len(n.reasons()) != 0 {
			t.Errorf("%s, restarted: %+v", made, s)
		}
	}
}

// One that can't be taken out stays watched.
func TestUprootRefused(t *testing.T) {
	n := newNode(t)
	c := n.running()
	n.synchronize(c)
	n.attacher.refuse = errors.New("busy")
	n.policy()
	if s := n.agent.Status(); s.Armed != 1 || n.reasons()[ReasonLive] != 1 || len(n.files()) != 1 {
		t.Errorf("status %+v", s)
	}
}

// A machine can be too slow for an answer in time.
func TestSlowAnswerIsAskedForAgain(t *testing.T) {
	n := newNode(t)
	c := n.running()
	attached := make(chan struct{})
	n.agent.attacher = lateAttacher{n.attacher, attached}
	n.agent.attaches = newQueue(8, time.Millisecond)
	n.synchronize(c)
	if s := n.agent.Status(); n.reasons()[ReasonLive] != 1 || s.Lacking != 1 || !n.agent.anyAgain() {
		t.Fatalf("status %+v", s)
	}
	close(attached)
	until(t, "attached after all", func() bool { return n.content(c, awsToken().Path) == "secret" })
	n.agent.adoptAgain(t.Context())
	if s := n.agent.Status(); s.Armed != 1 || s.Lacking != 0 || n.agent.anyAgain() {
		t.Errorf("status %+v", s)
	}
}

// lateAttacher takes its time.
type lateAttacher struct {
	*fakeAttacher
	until <-chan struct{}
}

func (l lateAttacher) Attach(p live.Process, source *os.File, path string, o live.Options) (live.Attached, error) {
	<-l.until
	return l.fakeAttacher.Attach(p, source, path, o)
}
