//go:build e2e

package e2e

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/test/runtime/agentproc"
)

// lifecycleCount is for TestLifecycles, which takes half an hour where nobody
// else slows the emulated CPU down: a run of its own.
var lifecycleCount = flag.Int("lifecycles", 0, "how many containers come and go in TestLifecycles")

// lifecyclePatience is for one container and its exec, on a busy machine; alone
// they take 1.4 to 1.8 s.
const lifecyclePatience = 20 * time.Second

// TestLifecycles lets many containers with tokens come and go, each with an exec
// into it, and wants no access by anybody, a workload or not. Of every hundredth
// the token is read: that has to be told, or silence would mean nothing.
func TestLifecycles(t *testing.T) {
	n := *lifecycleCount
	if n == 0 {
		t.Fatal("no -lifecycles: run this test with `make test-lifecycles`")
	}
	s := newSuite(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n)*lifecyclePatience+patience)
	defer cancel()
	begin, read := time.Now(), 0
	s.lifecycles(ctx, t, n, func(i int, b *box) {
		if i%100 != 99 && i != n-1 {
			return
		}
		s.nothingUnclaimed(t)
		s.exec(t, b, "cat", awsPath)
		got := s.expect(t, 1, b.owns)
		if class := got[0].Text("honeytoken.actor.class"); class != "workload" {
			t.Errorf("the read of container %d is by class %s", i+1, class)
		}
		read++
		t.Logf("%d containers and execs, %.0f s: no access beside %d reads", i+1, time.Since(begin).Seconds(), read)
	})
	s.nothingUnclaimed(t)
	s.tally(t, n, read)
	if s.pinned(t) {
		s.uninstall(t)
	}
}

// tally checks that the agent counts what a workload did and nothing more, that
// it lost nothing, and that the containers had their tokens: an agent that gets
// no processor in time lets the runtime go on without, of which there may be few.
func (s *suite) tally(t *testing.T, n, read int) {
	t.Helper()
	workload, err := s.agent.All(func(r agentproc.Record) bool { return r.Text("honeytoken.actor.class") == "workload" })
	if err != nil {
		t.Fatal(err)
	}
	if len(workload) != read {
		t.Errorf("%d accesses of class workload, want the %d that were made: %s", len(workload), read, bodies(workload))
	}
	status, err := s.agent.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lost := uint64(0)
	for _, n := range status.Events.Lost {
		lost += n
	}
	late := status.FailureCounts["late"]
	delete(status.FailureCounts, "late")
	if lost > 0 || status.Lacking > 0 || len(status.FailureCounts) > 0 || late > uint64(n/10) {
		t.Errorf("lost %v, %d containers lack tokens, %d times too late for any, other failures %v",
			status.Events.Lost, status.Lacking, late, status.FailureCounts)
	}
	t.Logf("%d times too late for tokens", late)
}

// lifecycles lets n containers of one pod come and go, each with an exec into it;
// then, which may be nil, is called while each is running.
func (s *suite) lifecycles(ctx context.Context, t *testing.T, n int, then func(i int, b *box)) {
	t.Helper()
	defer timed(t, fmt.Sprintf("%d containers", n))()
	b := s.runForever(t, pod{ns: "shop", name: "churn"})
	rt := s.node.CRI()
	spent := map[string]time.Duration{}
	step := func(name string, do func() error) {
		begin := time.Now()
		if err := do(); err != nil {
			t.Fatal(err)
		}
		spent[name] += time.Since(begin).Round(time.Millisecond)
	}
	for i := range n {
		b.name = fmt.Sprintf("c%d", i)
		step("create", func() error {
			b.id = s.addContainer(ctx, t, b, pod{command: []string{"sleep", "36000"}})
			return nil
		})
		step("start", func() error { return rt.StartContainer(ctx, b.id) })
		step("exec", func() error {
			_, err := rt.Exec(ctx, b.id, "true")
			return err
		})
		if then != nil {
			then(i, b)
		}
		step("stop", func() error { return rt.StopContainer(ctx, b.id) })
		step("remove", func() error { return rt.RemoveContainer(ctx, b.id) })
	}
	t.Logf("of that: %v", spent)
}
