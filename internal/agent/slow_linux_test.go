package agent

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/live"
	"github.com/beesting-otel/beesting/nri"
)

// stuckAttacher never comes back until it is released.
type stuckAttacher struct {
	fakeAttacher
	entered, release chan struct{}
}

func (s *stuckAttacher) Attach(live.Process, *os.File, string, live.Options) (live.Attached, error) {
	s.entered <- struct{}{}
	<-s.release
	return live.Attached{}, errors.New("too late")
}

// A container whose file system doesn't answer, found by a synchronization, holds
// up no request about another one: their own locks are all that these wait for.
func TestStuckContainerHoldsNobodyUp(t *testing.T) {
	n := newNode(t)
	stuck := &stuckAttacher{entered: make(chan struct{}, 10), release: make(chan struct{})}
	n.agent.attacher, n.agent.attaches = stuck, newPatience(8, time.Hour)
	old := testContainer("old")
	old.PID, old.State = 7, nri.StateRunning
	n.proc.process(t, 7, "sh", 100, "0::/kubepods/old\n")
	synchronized := make(chan struct{})
	go func() { n.synchronize(old); close(synchronized) }()
	<-stuck.entered

	c := testContainer("new")
	id := n.launch(&c, 8)
	if !n.core.Armed(id) {
		t.Error("the other container's token is not watched")
	}
	n.agent.Stop(t.Context(), c)
	n.agent.Remove(t.Context(), c)
	select {
	case <-synchronized:
		t.Error("the synchronization was over: nothing was shown")
	default:
	}
	close(stuck.release)
	<-synchronized
}

func TestWantCostlyContent(t *testing.T) {
	costly := beesting.Token{Kind: "gcp-service-account", Generate: true}
	given, templated, other := costly, costly, costly
	given.Generate, templated.Template, other.Kind = false, "x", "aws-credentials"
	if !WantCostlyContent([]beesting.Token{other, costly}) || WantCostlyContent([]beesting.Token{given, templated, other}) {
		t.Error("costly content not told from other")
	}
}

func TestLackingSince(t *testing.T) {
	n := newNode(t)
	n.attacher.refuse = errors.New("no")
	c := testContainer("c1")
	c.PID, c.State = 7, nri.StateRunning
	n.run(&c, 7)
	began := time.Now()
	n.synchronize(c)
	first := n.agent.Status().Unplanted
	n.synchronize(c)
	again := n.agent.Status().Unplanted
	if len(first) != 1 || first[0].Since.Before(began) || len(again) != 1 || !again[0].Since.Equal(first[0].Since) {
		t.Errorf("first %+v, then %+v", first, again)
	}
	n.attacher.refuse = nil
	n.synchronize(c)
	if tenant, _ := n.agent.tenant("c1"); len(tenant.planted) != 1 || !tenant.lackedSince.IsZero() {
		t.Errorf("planted, and lacking since %v", tenant.lackedSince)
	}
}
