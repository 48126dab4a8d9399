//go:build e2e

package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/test/runtime/agentproc"
	"github.com/beesting-otel/beesting/test/runtime/ctd"
)

// The parts, made by test/e2e/cmd/e2e.
var (
	bundleDir    = flag.String("bundle", "", "directory with containerd, runc and images")
	beestingFile = flag.String("beesting", "", "the beesting executable")
	collectorExe = flag.String("collector", "", "the OpenTelemetry Collector that stands for a back end")
	receiverExe  = flag.String("receiver", "", "the OpenTelemetry Collector with the receiver, as ocb builds it")
	attachMode   = flag.String("mode", "auto", "how the agent attaches")
)

// patience is how long a single step may take under an emulated CPU before it
// counts as stuck.
const patience = 2 * time.Minute

// The tokens of the suite's agent.
const (
	awsPath = "/root/.aws/credentials"
	dbPath  = "/etc/app/db-password"
	// linkPath goes through /var/run, an absolute link in the busybox image.
	linkPath = "/var/run/secrets/cloud/token"
	// oddPath goes through /opt, in that image a link to /data.
	oddPath = "/opt/vault/key"
)

const tokens = `tokens:
  - name: aws
    kind: aws-credentials
    path: ` + awsPath + `
    content: |
      [default]
      aws_access_key_id = AKIAIOSFODNN7EXAMPLE
  - name: db
    path: ` + dbPath + `
    content: hunter2
  - name: cloud
    kind: service-account
    path: ` + linkPath + `
    content: eyJhbGciOiJub25lIn0
  - name: vault
    path: ` + oddPath + `
    content: s.3Tq0cPzYk7
match:
  namespaces: [shop, bank]
  labelSelector:
    matchExpressions:
      - {key: tokens, operator: NotIn, values: ["off"]}
`

// tokenCount is how many there are.
const tokenCount = 4

// suite is what the tests share: one containerd, one agent.
type suite struct {
	node   *ctd.Node
	agent  *agentproc.Agent
	config agentproc.Config
	// fence is a container whose touches say that all earlier ones are through.
	fence *box
	// fencePaths lead to its tokens without a symbolic link, which from the host's
	// side would lead elsewhere.
	fencePaths []string
	claimed    map[string]bool
	pods       int
	marks      int // touches of the fence
}

// TestContainerd runs every scenario, in this order, on one containerd.
func TestContainerd(t *testing.T) {
	s := newSuite(t)
	scenarios := []struct {
		name string
		run  func(*suite, *testing.T)
	}{
		{"Touch", (*suite).touch},
		{"Probes", (*suite).probes},
		{"ProcessIdentity", (*suite).processIdentity},
		{"FirstInstruction", (*suite).firstInstruction},
		{"TwoPods", (*suite).twoPods},
		{"UnmatchedPod", (*suite).unmatchedPod},
		{"Parallel200", (*suite).parallel},
		{"Churn50", (*suite).churn},
		{"AbsoluteSymlink", (*suite).absoluteSymlink},
		{"ReadOnlyVolume", (*suite).readOnlyVolume},
		{"LinkToReadOnlyVolume", (*suite).linkToReadOnlyVolume},
		{"AgentRestart", (*suite).agentRestart},
		{"AgentKilled", (*suite).agentKilled},
		{"KilledAmidTouches", (*suite).killedAmidTouches},
		{"ContainerdRestart", (*suite).containerdRestart},
		{"SlowAgent", (*suite).slowAgent},
		{"TwoAgents", (*suite).twoAgents},
		{"StateDirReadOnly", (*suite).stateDirReadOnly},
		{"StateDirFull", (*suite).stateDirFull},
		{"Collector", (*suite).collector},
		{"Journal", (*suite).journal},
	}
	for _, sc := range scenarios {
		ok := t.Run(sc.name, func(t *testing.T) {
			begin := time.Now()
			sc.run(s, t)
			s.nothingUnclaimed(t)
			t.Logf("took %.1f s", time.Since(begin).Seconds())
		})
		if !ok {
			t.Log(s.agent.LogTail())
			s.forgive(t)
		}
	}
	s.uninstall(t)
}

// need returns a flag that the runner sets. Without it a test fails: a scenario
// that did not run proves nothing.
func need(t *testing.T, name string, value *string) string {
	t.Helper()
	if *value == "" {
		t.Fatalf("no -%s: run these tests with `make test-e2e`", name)
	}
	return *value
}

// startNode starts a containerd that goes away with the test.
func startNode(t *testing.T) *ctd.Node {
	t.Helper()
	bundle := ctd.Bundle(need(t, "bundle", bundleDir))
	if swept, err := ctd.Sweep("/tmp"); err != nil {
		t.Fatal(err)
	} else if len(swept) > 0 {
		t.Logf("removed what earlier runs had left: %v", swept)
	}
	begin := time.Now()
	node, err := ctd.Start(t.Context(), bundle, "/tmp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Kill(); err != nil {
			t.Error(err)
		}
	})
	t.Logf("containerd ready after %.1f s", time.Since(begin).Seconds())
	return node
}

func newSuite(t *testing.T) *suite {
	t.Helper()
	s := suiteOf(t, tokens)
	s.fencePaths = []string{awsPath, dbPath, "/run/secrets/cloud/token", "/data/vault/key"}
	s.config.HTTP = probesAddress
	begin := time.Now()
	s.startAgent(t)
	t.Cleanup(func() { _ = s.agent.Kill() })
	t.Logf("agent connected after %.1f s", time.Since(begin).Seconds())
	s.startFence(t)
	return s
}

// suiteOf starts a containerd, and no agent yet.
func suiteOf(t *testing.T, tokens string) *suite {
	t.Helper()
	node := startNode(t)
	return &suite{node: node, claimed: map[string]bool{}, config: agentproc.Config{
		Binary:    need(t, "beesting", beestingFile),
		Dir:       filepath.Join(node.Dir(), "agent"),
		NRISocket: node.NRISocket(),
		Tokens:    "sensor: {mode: " + *attachMode + "}\n" + tokens,
	}}
}

func (s *suite) startFence(t *testing.T) {
	t.Helper()
	s.fence = s.runForever(t, pod{ns: "shop", name: "fence"})
	var err error
	if s.fence.pid, _, err = s.findProcess(s.fence, "sleep\x0036000\x00"); err != nil {
		t.Fatal(err)
	}
}

// startAgent starts the suite's agent, the first time or again.
func (s *suite) startAgent(t *testing.T) {
	t.Helper()
	agent, err := agentproc.Start(t.Context(), s.config)
	if err != nil {
		t.Fatal(err)
	}
	s.agent = agent
}

// attached checks that the agent attaches in the mode that it was told to.
func (s *suite) attached(t *testing.T) {
	t.Helper()
	status, err := s.agent.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if *attachMode != "auto" && status.Mode != *attachMode {
		t.Errorf("the agent is attached as %q, want %q", status.Mode, *attachMode)
	}
	t.Logf("attached as %s", status.Mode)
}

// stopAgent ends the suite's agent in the way of an operator; all it reported
// has to be accounted for by then.
func (s *suite) stopAgent(t *testing.T) {
	t.Helper()
	s.nothingUnclaimed(t)
	if err := s.agent.Stop(); err != nil {
		t.Fatal(err)
	}
}

// barrier waits until everything that happened before it has been reported:
// the kernel delivers events in order, and so does the agent. The touch that
// marks the place is this process's own, from the host's side.
func (s *suite) barrier(t *testing.T) {
	t.Helper()
	mark := func(r agentproc.Record) bool {
		pid, _ := r.Int("process.pid")
		return s.fence.owns(r) && pid == int64(os.Getpid()) && !s.claimed[uid(r)]
	}
	within := patience
	if *attachMode == "fentry" {
		within = 5 * time.Second // see skipped: the mark itself may be
	}
	var got []agentproc.Record
	var err error
	for begin := time.Now(); len(got) == 0; {
		// One token after the other: of one that this process has touched a
		// moment ago the next touch is told with a second's delay.
		path := s.fencePaths[s.marks%len(s.fencePaths)]
		s.marks++
		if err := s.fence.openFromHost(path); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), within)
		got, err = s.agent.Wait(ctx, 1, mark)
		cancel()
		if err != nil && time.Since(begin) >= patience {
			t.Fatalf("touch from the host: %v\n%s", err, s.agent.LogTail())
		}
	}
	s.claim(t, got)
	if got[0].Text("honeytoken.actor.class") != "host" || got[0].SeverityNumber != 19 {
		t.Errorf("touch from the host: %+v", got[0])
	}
}

// expect waits for n records that keep holds for and makes sure that there are
// no more. They count as accounted for.
func (s *suite) expect(t *testing.T, n int, keep func(agentproc.Record) bool) []agentproc.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	fresh := func(r agentproc.Record) bool { return keep(r) && !s.claimed[uid(r)] }
	if _, err := s.agent.Wait(ctx, n, fresh); err != nil {
		t.Fatalf("%v\n%s", err, s.agent.LogTail())
	}
	s.barrier(t)
	got, err := s.agent.All(fresh)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != n {
		t.Fatalf("%d records, want %d: %s", len(got), n, bodies(got))
	}
	s.claim(t, got)
	return got
}

func (s *suite) claim(t *testing.T, recs []agentproc.Record) {
	t.Helper()
	for _, r := range recs {
		if uid(r) == "" {
			t.Errorf("a record without log.record.uid: %s", r.Body)
		}
		if s.claimed[uid(r)] {
			t.Errorf("log.record.uid %s stands on two records: %s", uid(r), r.Body)
		}
		s.claimed[uid(r)] = true
	}
}

// nothingUnclaimed fails when the agent has reported anything that no test
// expected, its own work and the runtime's above all.
func (s *suite) nothingUnclaimed(t *testing.T) {
	t.Helper()
	if t.Failed() {
		return
	}
	s.barrier(t)
	rest, err := s.agent.All(func(r agentproc.Record) bool { return !s.claimed[uid(r)] })
	if err != nil {
		t.Error(err)
	}
	if len(rest) > 0 {
		t.Errorf("%d accesses that nobody made: %s", len(rest), bodies(rest))
	}
}

// forgive takes what a scenario that failed has left unaccounted for as known:
// it is not the next one's.
func (s *suite) forgive(t *testing.T) {
	t.Helper()
	rest, err := s.agent.All(func(r agentproc.Record) bool { return !s.claimed[uid(r)] })
	if err != nil {
		t.Error(err)
	}
	s.claim(t, rest)
}

func uid(r agentproc.Record) string { return r.Text("log.record.uid") }

func bodies(recs []agentproc.Record) string {
	out := ""
	for i, r := range recs {
		if i == 10 {
			return out + fmt.Sprintf("\n… and %d more", len(recs)-i)
		}
		out += fmt.Sprintf("\n%s (at %s, inode %s on %s)", r.Body, r.Timestamp, r.Text("file.inode"), r.Text("honeytoken.file.device"))
	}
	return out
}
