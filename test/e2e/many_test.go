//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/test/runtime/agentproc"
)

// How many containers TestMany has, and in how many pods: more than a node's 110
// pods have as a rule.
const (
	manyPods = 25
	manyEach = 20
	many     = manyPods * manyEach
)

// manyTokens are two for each container.
const manyTokens = `tokens:
  - {name: aws, kind: aws-credentials, path: ` + awsPath + `}
  - {name: db, path: ` + dbPath + `, content: hunter2}
match: {namespaces: [shop]}
`

// answerIn bounds the agent's answer to Synchronize: the runtime cuts a plugin off
// that takes two seconds, and starts no container until then.
const answerIn = 500 * time.Millisecond

// TestMany: hundreds of containers run when the agent is started. It answers the
// runtime's Synchronize at once, and plants in all of them beside that; when it
// is started again, it finds all of that. `make test-many` runs it.
//
// On a machine without eBPF the agent is there first, and the containers come
// then: such a machine may not let a mount namespace be looked into either, and
// then nothing can be planted in what runs.
func TestMany(t *testing.T) {
	s := suiteOf(t, manyTokens)
	s.fencePaths = []string{awsPath, dbPath}
	ctx, cancel := context.WithTimeout(t.Context(), many*lifecyclePatience)
	defer cancel()
	begin, what := time.Now(), "planted in the new"
	s.startAgent(t)
	t.Cleanup(func() { _ = s.agent.Kill() })
	s.attached(t)
	late := s.pinned(t)
	if late {
		if err := s.agent.Stop(); err != nil { // it has reported nothing yet
			t.Fatal(err)
		}
	}
	boxes := s.crowd(ctx, t)
	if late {
		begin, what = time.Now(), "planted in the running"
		s.startAgent(t)
	}
	s.allHave(ctx, t, begin, what)
	s.startFence(t)
	s.touchSome(t, boxes)
	s.stopAgent(t)
	begin = time.Now()
	s.startAgent(t)
	s.allHave(ctx, t, begin, "found again in the")
	s.touchSome(t, boxes)
	s.nothingUnclaimed(t)
	if s.pinned(t) {
		s.uninstall(t)
	}
}

// pinned says whether the agent's programs stay when it ends, which those of no
// eBPF don't.
func (s *suite) pinned(t *testing.T) bool {
	t.Helper()
	status, err := s.agent.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return status.Mode != "fanotify"
}

// crowd starts the containers, without an agent.
func (s *suite) crowd(ctx context.Context, t *testing.T) []*box {
	t.Helper()
	defer timed(t, fmt.Sprintf("start of %d containers in %d pods", many, manyPods))()
	var boxes []*box
	for i := range manyPods {
		first := s.runForever(t, pod{ns: "shop", name: fmt.Sprintf("crowd-%d", i)})
		boxes = append(boxes, first)
		for j := 1; j < manyEach; j++ {
			b := *first
			b.name = fmt.Sprintf("c%d", j)
			b.id = s.addContainer(ctx, t, &b, pod{command: []string{"sleep", "36000"}})
			if err := s.node.CRI().StartContainer(ctx, b.id); err != nil {
				t.Fatal(err)
			}
			boxes = append(boxes, &b)
		}
		t.Logf("%d containers run", len(boxes))
	}
	return boxes
}

// allHave waits until no container lacks a token, and checks how long the runtime
// had to wait for the agent.
func (s *suite) allHave(ctx context.Context, t *testing.T, begin time.Time, what string) {
	t.Helper()
	var last agentproc.Status
	err := s.agent.WaitStatus(ctx, fmt.Sprintf("two tokens in each of %d containers", many), func(st agentproc.Status) bool {
		last = st
		return st.Armed >= 2*many && st.Lacking == 0
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, s.agent.LogTail())
	}
	answer, ok := last.NRI.Durations["synchronize"]
	if took := time.Duration(answer.Longest * float64(time.Second)); !ok || took > answerIn {
		t.Errorf("the answer to Synchronize took %v, want %v at most (%v)", took, answerIn, last.NRI.Durations)
	}
	if len(last.FailureCounts) > 0 {
		t.Errorf("failures %v", last.FailureCounts)
	}
	t.Logf("%d tokens %s containers %.1f s after the agent's start; Synchronize was answered in %.0f ms",
		last.Armed, what, time.Since(begin).Seconds(), 1000*answer.Longest)
}

// touchSome reads a token in some of the containers, which is told once each.
func (s *suite) touchSome(t *testing.T, boxes []*box) {
	t.Helper()
	for _, i := range []int{0, 1, len(boxes) / 2, len(boxes) - 1} {
		b := boxes[i]
		s.exec(t, b, "cat", awsPath)
		got := s.expect(t, 1, b.owns)
		if class := got[0].Text("honeytoken.actor.class"); class != "workload" {
			t.Errorf("the read in container %d is by class %s", i, class)
		}
	}
}
