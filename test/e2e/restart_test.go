//go:build e2e

package e2e

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/internal/config"
	"github.com/beesting-otel/beesting/test/runtime/agentproc"
)

// agentRestart: an upgraded agent finds the containers of the one before it and
// watches them again, under the same token ids.
func (s *suite) agentRestart(t *testing.T) {
	b := s.runForever(t, pod{ns: "shop", name: "survivor"})
	s.exec(t, b, "cat", awsPath)
	before := s.expect(t, 1, b.owns)[0].Text("honeytoken.id")

	s.stopAgent(t)
	missed := s.runForever(t, pod{ns: "shop", name: "missed"})
	s.absent(t, missed, awsPath)
	s.startAgent(t)
	s.stayedAttached(t)

	s.exec(t, b, "cat", awsPath)
	after := s.expect(t, 1, b.owns)
	s.complete(t, after[0], b, "aws", awsPath, cat(awsPath))
	if id := after[0].Text("honeytoken.id"); id != before {
		t.Errorf("honeytoken.id is %s after the restart, was %s", id, before)
	}
	// A container of the time without an agent has got its tokens by now.
	s.caughtUp(t, missed)
	next := s.runForever(t, pod{ns: "shop", name: "next"})
	s.exec(t, next, "cat", dbPath)
	s.expect(t, 1, next.owns)
}

// caughtUp checks that a container whose creation no agent saw has all tokens,
// mounted while it runs.
func (s *suite) caughtUp(t *testing.T, b *box) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := s.agent.WaitStatus(ctx, "the tokens of container "+b.spec.Name, func(st agentproc.Status) bool {
		n := 0
		for _, p := range st.Placements {
			if p.Container == b.id && p.Strategy == "live" {
				n++
			}
		}
		_, lacks := st.Lacks(b.id)
		return n == tokenCount && !lacks
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, s.agent.LogTail())
	}
	s.exec(t, b, "cat", awsPath)
	got := s.expect(t, 1, b.owns)
	s.complete(t, got[0], b, "aws", awsPath, cat(awsPath))
}

// agentKilled: as after a crash or the OOM killer. What went away meanwhile
// leaves no files behind. The runtime removes the file that each token was
// mounted over, which an agent that is there disarms before; so that is told, as
// the runtime's doing.
func (s *suite) agentKilled(t *testing.T) {
	b := s.runForever(t, pod{ns: "bank", name: "witness"})
	files := s.stateFiles(t)
	leaver := s.runForever(t, pod{ns: "bank", name: "leaver"})
	if n := s.stateFiles(t); n <= files {
		t.Errorf("%d files in the state directory with another container, %d without", n, files)
	}
	s.nothingUnclaimed(t)
	if err := s.agent.Kill(); err != nil {
		t.Fatal(err)
	}
	s.remove(t, leaver)
	s.startAgent(t)
	s.stayedAttached(t)
	for _, r := range s.expect(t, tokenCount, leaver.owns) {
		if r.Text("honeytoken.access.kind") != "unlink" || r.Text("honeytoken.actor.class") != "runtime" ||
			r.SeverityNumber != 9 || r.Text("k8s.pod.name") != "leaver" || r.Text("honeytoken.name") == "" {
			t.Errorf("the runtime's removal of a mount point: %+v", r)
		}
	}
	s.bookedLate(t)
	s.exec(t, b, "cat", awsPath)
	got := s.expect(t, 1, b.owns)
	s.complete(t, got[0], b, "aws", awsPath, cat(awsPath))
	eventually(t, "the files of the pod that went away to be removed", func() bool {
		return s.stateFiles(t) == files
	})
}

// stayedAttached checks that the agent found the programs of the one before it
// attached, and that no token was unwatched meanwhile.
func (s *suite) stayedAttached(t *testing.T) {
	t.Helper()
	status, err := s.agent.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !status.Resumed || status.UnwatchedSeconds != 0 {
		t.Errorf("resumed is %t, %v s unwatched, want programs that stayed attached", status.Resumed, status.UnwatchedSeconds)
	}
	t.Logf("no agent read what the programs saw for %.1f s", status.AwaySeconds)
}

// killedAmidTouches: the agent is killed while processes of a container touch a
// token, one process after the other, and comes back while they go on. Each of
// them is told, as whole as ever, by one agent or the other, or by both under the
// same id: that was in the hands of the agent that was killed.
func (s *suite) killedAmidTouches(t *testing.T) {
	const before, after = 20, 10
	b := s.runForever(t, pod{ns: "shop", name: "striker"})
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	touching := s.touchUntilTold(ctx, b)
	if _, err := s.agent.Wait(ctx, before, b.owns); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // between two touches, as far as that can be had
	if err := s.agent.Kill(); err != nil {
		t.Fatal(err)
	}
	got, err := s.agent.All(b.owns)
	if err != nil {
		t.Fatal(err)
	}
	first := len(got)
	s.startAgent(t)
	s.stayedAttached(t)
	status, err := s.agent.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	seen := status.Touches(b.id, "db", "open").Seen
	if _, err := s.agent.Wait(ctx, int(seen)-first+after, b.owns); err != nil {
		t.Fatal(err)
	}
	s.exec(t, b, "touch", enough)
	n, err := strconv.Atoi(<-touching)
	if err != nil {
		t.Fatal(err)
	}
	s.balanced(t, b, n)
	rest, err := s.agent.All(b.owns)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d touches: %d told before the agent was killed, %d afterwards, %d of those made by the time it was back", n, first, len(rest), int(seen)-first)
	s.eachOnce(t, b, append(got, rest...), n)
}

// enough is a file whose appearance ends touchUntilTold.
const enough = "/enough"

// touchUntilTold has processes of a container touch the db token, one after the
// other, and returns how many there were, or else what was wrong.
func (s *suite) touchUntilTold(ctx context.Context, b *box) <-chan string {
	script := "n=0; until [ -e " + enough + " ]; do cat " + dbPath + " >/dev/null & wait; usleep 100000; n=$((n+1)); done; echo $n"
	count := make(chan string, 1)
	go func() {
		r, err := s.node.CRI().Exec(ctx, b.id, "sh", "-c", script)
		if err != nil {
			count <- err.Error()
			return
		}
		count <- strings.TrimSpace(string(r.Stdout))
	}()
	return count
}

// balanced waits until the books of a container's db token say that n opens
// were seen, and accounted for.
func (s *suite) balanced(t *testing.T, b *box, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var last agentproc.Touches
	err := s.agent.WaitStatus(ctx, "the books to balance", func(st agentproc.Status) bool {
		last = st.Touches(b.id, "db", "open")
		return last.Seen >= uint64(n) && last.Seen == last.Delivered+last.Coalesced+last.Lost
	})
	if err != nil {
		t.Fatal(err)
	}
	if last.Seen != uint64(n) || last.Coalesced != 0 || last.Lost != 0 {
		t.Errorf("the books have %+v, want %d touches, each delivered", last, n)
	}
}

// eachOnce checks that there is a whole record for each of n processes, and under
// one id where there are two.
func (s *suite) eachOnce(t *testing.T, b *box, recs []agentproc.Record, n int) {
	t.Helper()
	ids := map[string]string{}
	for _, r := range recs {
		if r.EventName == "honeytoken.gap" {
			t.Errorf("a gap: %+v", r)
			continue
		}
		s.complete(t, r, b, "db", dbPath, cat(dbPath))
		pid, _ := r.Int("process.pid")
		process := strconv.FormatInt(pid, 10) + " " + r.Text("process.creation.time")
		if id, told := ids[process]; !told {
			ids[process] = uid(r)
			s.claim(t, []agentproc.Record{r})
		} else if id != uid(r) {
			t.Errorf("process %s is told as %s and as %s", process, id, uid(r))
		}
		if t.Failed() {
			t.Fatalf("the record that is not right: %+v", r)
		}
	}
	if len(ids) != n {
		t.Errorf("%d of %d processes are told", len(ids), n)
	}
}

// uninstall ends the agent for good: what it left attached can be removed.
func (s *suite) uninstall(t *testing.T) {
	t.Helper()
	if err := s.agent.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(config.DefaultPin); err != nil {
		t.Errorf("nothing stays attached: %v", err)
	}
	if err := s.agent.Uninstall(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(config.DefaultPin); err == nil {
		t.Errorf("%s is there after uninstall", config.DefaultPin)
	}
}

// stateFiles counts the files in the agent's state directory.
func (s *suite) stateFiles(t *testing.T) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(filepath.Join(s.config.Dir, "state"), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// containerdRestart: the plugin comes back by itself, old containers stay
// watched, new ones get tokens.
func (s *suite) containerdRestart(t *testing.T) {
	old := s.runForever(t, pod{ns: "shop", name: "old"})
	done := timed(t, "containerd's restart")
	if err := s.node.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	done()
	done = timed(t, "reconnection")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.agent.WaitConnected(ctx); err != nil {
		t.Fatalf("%v\n%s", err, s.agent.LogTail())
	}
	done()
	for _, b := range []*box{old, s.runForever(t, pod{ns: "shop", name: "new"})} {
		s.exec(t, b, "cat", dbPath)
		got := s.expect(t, 1, b.owns)
		s.complete(t, got[0], b, "db", dbPath, cat(dbPath))
	}
}

// bookedLate takes a gap of one touch as known: what was told just before the
// agent was killed, and not booked in the kernel yet, counts as lost.
func (s *suite) bookedLate(t *testing.T) {
	t.Helper()
	s.barrier(t)
	gaps, err := s.agent.All(func(r agentproc.Record) bool {
		return r.EventName == "honeytoken.gap" && !s.claimed[uid(r)]
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(gaps) > 1 {
		t.Errorf("%d gaps after one agent was killed: %s", len(gaps), bodies(gaps))
	}
	for _, r := range gaps {
		if n, _ := r.Int("honeytoken.gap.count"); n != 1 {
			t.Errorf("%d touches in a gap: %s", n, r.Body)
		}
	}
	s.claim(t, gaps)
}
