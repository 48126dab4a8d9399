//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/test/runtime/collectorproc"
)

type collectorMetrics = collectorproc.Metrics

// pace is that of the touches made while something is reloaded: less than what
// two Collectors can take on one emulated processor that others slow down. With
// more the queue grows, and Shutdown cuts off what it can't deliver in its time.
const pace = 100 * time.Millisecond

// moreTokens is a token that a reload adds.
const (
	extraPath  = "/etc/app/extra"
	moreTokens = "  - name: extra\n    path: " + extraPath + "\n    content: s3cr3t\n"
)

// restart: the Collector ends with SIGTERM and exit code 0 and is started
// again. Running containers' tokens are watched as before; one that started
// meanwhile gets its own while it runs. Where programs are pinned, each touch
// of the time between, and around a kill, arrives or is in a gap.
func (s *receiverSuite) restart(t *testing.T) {
	survivor := s.runForever(t, pod{ns: "shop", name: "survivor"})
	s.touched(t, survivor, "aws", "cat", awsPath)
	s.stop(t)
	missed := s.runForever(t, pod{ns: "shop", name: "missed"})
	s.start(t, usual())
	s.touched(t, survivor, "db", "cat", dbPath)
	s.noneLacks(t)
	s.touched(t, missed, "aws", "cat", awsPath)
	s.remove(t, missed)
	next := s.runForever(t, pod{ns: "shop", name: "next"})
	s.touched(t, next, "aws", "cat", awsPath)
	if !s.pinned() {
		t.Log("nothing is pinned: what is touched while the Collector is away is not seen")
		return
	}
	s.allArrived(t, s.touches(), s.touches())
	touching := s.startTouching(t, pace, 0)
	time.Sleep(time.Second)
	s.stop(t)
	s.backWhileTouched(t, touching)
	// What is on its way out as the Collector is killed is in memory only, so
	// nothing is.
	s.allArrived(t, s.touches(), s.touches())
	s.crashes++
	if err := s.col.Kill(); err != nil {
		t.Fatal(err)
	}
	s.backWhileTouched(t, s.startTouching(t, pace, 0))
}

// noneLacks waits until every container has its tokens.
func (s *receiverSuite) noneLacks(t *testing.T) {
	t.Helper()
	s.waitMetrics(t, "no container to lack tokens", func(m collectorMetrics) bool {
		n, ok := m.Sum(metricLacking)
		return ok && n == 0
	})
}

// backWhileTouched starts the Collector again under touches.
func (s *receiverSuite) backWhileTouched(t *testing.T, touching *touching) {
	t.Helper()
	time.Sleep(2 * time.Second)
	s.start(t, usual())
	time.Sleep(time.Second)
	from, to := touching.end(t)
	s.toldOrMissing(t, from, to)
}

// fullReload: five times SIGHUP, which stops every component and makes new
// ones, with tokens, arguments and queue changed and with nothing changed, while
// a token is touched all the time; once the pipeline refuses meanwhile. Every
// touch arrives once and in order. Open files, threads and goroutines don't
// become more. That the plugin is away from the runtime for a moment is counted.
func (s *receiverSuite) fullReload(t *testing.T) {
	old := s.runForever(t, pod{ns: "shop", name: "old"})
	s.reload(t, usual(), collectorproc.Full) // what is allocated once is, after this
	s.noneLacks(t)
	before := s.steady(t)
	blind := blindTime(t, s.connected(t))
	registered := s.col.Count("registered with the runtime")
	changed := usual()
	changed.args, changed.more, changed.queue = "redacted", moreTokens, 20000
	touching := s.startTouching(t, pace, 0)
	begin := time.Now()
	for i, v := range []setting{changed, changed, usual(), changed, usual()} {
		s.refuseIf(t, i == 2) // what is queued has to go from one receiver to the next
		m := s.reload(t, v, collectorproc.Full)
		now := blindTime(t, m)
		if again := s.col.Count("registered with the runtime"); again > registered && now <= blind {
			t.Errorf("the plugin has registered again, and the blind time is %v s, was %v s", now, blind)
		}
		t.Logf("blind time so far %.3f s", now)
		blind = now
	}
	if spent := time.Since(begin).Seconds(); blind > spent {
		t.Errorf("%v s of blind time are counted in %v s", blind, spent)
	}
	from, to := touching.end(t)
	s.allArrived(t, from, to)
	t.Logf("%d touches during five reloads in %.1f s, longest pause between two %v", to-from, time.Since(begin).Seconds(), touching.longest)
	if v, _ := s.connected(t).Sum(metricLost); v != 0 {
		t.Errorf("%v events lost in the kernel", v)
	}
	s.noMore(t, before) // the token that was added is in no container any more
	s.touched(t, old, "aws", "cat", awsPath)
	s.reload(t, changed, collectorproc.Full)
	s.touched(t, s.runForever(t, pod{ns: "shop", name: "young"}), "extra", "cat", extraPath)
	s.goroutines(t)
}

// containersMeanwhile: containers are started all the time during full reloads.
// Each has its tokens, at the latest a moment after the plugin has been away from
// the runtime.
func (s *receiverSuite) containersMeanwhile(t *testing.T) {
	const reloads = 5
	s.noneLacks(t)
	blind := blindTime(t, s.connected(t))
	b := s.suite.runForever(t, pod{ns: "shop", name: "crowd"})
	reloaded := make(chan error, 1)
	go func() {
		for range reloads {
			if kind, _, err := s.col.Reload(t.Context()); err != nil || kind != collectorproc.Full {
				reloaded <- fmt.Errorf("reload: %q, %w", kind, err)
				return
			}
			time.Sleep(time.Second)
		}
		reloaded <- nil
	}()
	ids := []string{b.id}
	for done := false; !done; {
		ids = append(ids, s.startAnother(t, b, len(ids)))
		select {
		case err := <-reloaded:
			if done = true; err != nil {
				t.Fatal(err)
			}
		default:
		}
	}
	s.noneLacks(t)
	for _, id := range ids {
		if !s.hasToken(t, id) {
			t.Errorf("container %s has no token", id)
		}
	}
	t.Logf("%d containers were started during %d reloads, %.3f s of blind time", len(ids), reloads, blindTime(t, s.connected(t))-blind)
	s.remove(t, b)
	s.allArrived(t, s.touches(), s.touches())
}

// startAnother starts a container more in a pod.
func (s *receiverSuite) startAnother(t *testing.T, b *box, n int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	more := *b
	more.name = fmt.Sprintf("c%d", n)
	id := s.addContainer(ctx, t, &more, pod{command: []string{"sleep", "36000"}})
	if err := s.node.CRI().StartContainer(ctx, id); err != nil {
		t.Fatal(err)
	}
	return id
}

// hasToken says whether a container has a token, without touching it.
func (s *receiverSuite) hasToken(t *testing.T, container string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := s.node.CRI().Exec(ctx, container, "grep", "-q", " "+awsPath+" ", "/proc/mounts")
	if err != nil {
		t.Fatal(err)
	}
	return r.ExitCode == 0
}

// refuseIf makes the pipeline refuse, or take what has been queued, down to what
// it can take in a Shutdown.
func (s *receiverSuite) refuseIf(t *testing.T, refuse bool) {
	t.Helper()
	s.back.SetAway(refuse)
	if !refuse {
		s.waitMetrics(t, "what was queued to be delivered", func(m collectorMetrics) bool {
			n, ok := m.Sum(metricQueued)
			return ok && n < 200
		})
	}
}

// holds is what the Collector has open, once it is at rest.
type holds struct {
	usage collectorproc.Usage
	files map[string]int
}

func (s *receiverSuite) holds(t *testing.T) holds {
	t.Helper()
	var h holds
	var err error
	if h.usage, err = s.col.Usage(); err != nil {
		t.Fatal(err)
	}
	if h.files, err = s.col.Files(); err != nil {
		t.Fatal(err)
	}
	t.Logf("the Collector has %d files open, %d threads, %d KiB RSS", h.usage.FDs, h.usage.Threads, h.usage.RSSKiB)
	return h
}

// steady waits until the Collector has held as many files for a while: it tells
// of what its containers lack a few seconds after the fact.
func (s *receiverSuite) steady(t *testing.T) holds {
	t.Helper()
	const enough = 8 * time.Second
	h, since := s.holds(t), time.Now()
	for begin := since; time.Since(since) < enough && time.Since(begin) < time.Minute; time.Sleep(time.Second) {
		now := s.holds(t)
		if now.usage.FDs > h.usage.FDs+moreFiles || now.usage.FDs < h.usage.FDs-moreFiles {
			h, since = now, time.Now()
		}
	}
	return h
}

// Go keeps a thread once it has made one, and makes one when all are in a
// system call: a few more prove nothing, one for each reload would. Connections
// of HTTP are made and closed as they are needed.
const (
	moreThreads = 4
	moreFiles   = 2
)

// noMore checks that the Collector holds no more than before, once connections
// that are idle had the time to end.
func (s *receiverSuite) noMore(t *testing.T, before holds) {
	t.Helper()
	var after holds
	for begin := time.Now(); ; time.Sleep(time.Second) {
		after = s.holds(t)
		if after.usage.FDs <= before.usage.FDs+moreFiles || time.Since(begin) > 10*time.Second {
			break
		}
	}
	if after.usage.FDs > before.usage.FDs+moreFiles {
		t.Errorf("%d open files, were %d: %s", after.usage.FDs, before.usage.FDs, more(before.files, after.files))
	}
	if after.usage.Threads > before.usage.Threads+moreThreads {
		t.Errorf("%d threads, were %d", after.usage.Threads, before.usage.Threads)
	}
}

// more says what there is more of.
func more(before, after map[string]int) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if after[name] > before[name] {
			out = append(out, fmt.Sprintf("%d of %s, were %d", after[name], name, before[name]))
		}
	}
	return strings.Join(out, "; ")
}

// goroutines compares what runs in the Collector after its reloads with what
// runs in one that has just been started, the receiver's and its libraries'
// above all. Both are ended with SIGQUIT, as a crash would: the receiver has to
// find its tokens again after that too.
func (s *receiverSuite) goroutines(t *testing.T, args ...string) {
	t.Helper()
	used := s.dump(t)
	s.start(t, usual(), args...)
	fresh := s.dump(t)
	s.start(t, usual(), args...)
	for _, prefix := range []string{"github.com/", "go.opentelemetry.io/"} {
		if now, then := used.Of(prefix), fresh.Of(prefix); now > then {
			t.Errorf("%d goroutines of %s after the reloads, %d of a new process: %v and %v", now, prefix, then, describe(used), describe(fresh))
		}
	}
	own := used.Of("github.com/beesting-otel/beesting/")
	if own == 0 {
		t.Errorf("none of the receiver's goroutines is among %v", describe(used))
	}
	t.Logf("%d goroutines of the receiver, %d of all modules", own, used.Of("github.com/")+used.Of("go.opentelemetry.io/"))
	s.allArrived(t, s.touches(), s.touches())
}

func (s *receiverSuite) dump(t *testing.T) collectorproc.Goroutines {
	t.Helper()
	s.crashes++
	g, err := s.col.Dump(t.Context())
	if err != nil {
		t.Fatalf("%v\n%s", err, s.col.Tail())
	}
	return g
}

func describe(g collectorproc.Goroutines) []string {
	var out []string
	for _, entry := range slices.Sorted(maps.Keys(g)) {
		if !strings.HasPrefix(entry, "runtime.") {
			out = append(out, strings.Repeat(entry+" ", g[entry]))
		}
	}
	return out
}

// mistake: SIGHUP with a configuration that is wrong. The Collector of 0.165
// stops every component before it reads, and ends with exit code 1; what was
// touched before that has been delivered, and the next start watches again.
func (s *receiverSuite) mistake(t *testing.T) {
	from, to := s.touchMany(t, 50, pace)
	bad := usual()
	bad.args = "everything"
	if err := s.col.Configure(s.configuration(bad)); err != nil {
		t.Fatal(err)
	}
	kind, took, err := s.col.Reload(t.Context())
	if !errors.Is(err, collectorproc.ErrEnded) {
		t.Fatalf("%q, %v\n%s", kind, err, s.col.Tail())
	}
	code, err := s.col.WaitExit(t.Context())
	if code != 1 || err != nil {
		t.Errorf("exit code %d, %v, want 1", code, err)
	}
	if !strings.Contains(s.col.From(0), "command_args") {
		t.Errorf("nothing is said of the key that is wrong: %s", s.col.Tail())
	}
	t.Logf("ended with exit code %d after %.1f s", code, took.Seconds())
	s.start(t, usual())
	s.allArrived(t, from, to)
}

// partialReload: with the gate service.partialReload, a change of the receiver
// alone makes a new one in the same process while containers run and a token is
// touched all the time, once with a pipeline that refuses. Nothing is missed,
// and nothing becomes more.
func (s *receiverSuite) partialReload(t *testing.T) {
	s.partial(t)
	b := s.runForever(t, pod{ns: "bank", name: "teller"})
	changed := usual()
	changed.args, changed.more, changed.queue = "redacted", moreTokens, 20000
	s.reload(t, changed, collectorproc.Partial)
	s.noneLacks(t) // the token that was added is in every container
	before := s.steady(t)
	s.allArrived(t, s.touches(), s.touches())
	touching := s.startTouching(t, pace, 0)
	begin := time.Now()
	for i, v := range []setting{usual(), changed, usual(), changed} {
		s.refuseIf(t, i == 2) // what is queued has to go from one receiver to the next
		s.reload(t, v, collectorproc.Partial)
	}
	s.reload(t, changed, collectorproc.Unchanged)
	from, to := touching.end(t)
	s.allArrived(t, from, to)
	t.Logf("%d touches during five reloads in %.1f s, longest pause between two %v", to-from, time.Since(begin).Seconds(), touching.longest)
	if v, _ := s.connected(t).Sum(metricLost); v != 0 {
		t.Errorf("%v events lost in the kernel", v)
	}
	s.noneLacks(t)
	s.noMore(t, before)
	s.touched(t, b, "db", "cat", dbPath)
	s.touched(t, s.runForever(t, pod{ns: "bank", name: "clerk"}), "extra", "cat", extraPath)
	s.goroutines(t, partialGate)
}

// membership: with the gate, the receiver is taken out of the traces pipeline
// and put back soon. Log records stay complete all the time, and the spans of
// the meantime come later.
func (s *receiverSuite) membership(t *testing.T) {
	s.partial(t)
	without := usual()
	without.pipelines = []string{"logs", "metrics"}
	s.reload(t, usual(), "")
	s.allArrived(t, s.touches(), s.touches())
	touching := s.startTouching(t, pace, 0)
	s.reload(t, without, collectorproc.Partial)
	out, before := s.touches(), s.spans(t)
	time.Sleep(2 * time.Second)
	if now := s.spans(t); now != before {
		t.Errorf("%d spans arrived from a receiver that is out of the traces pipeline", now-before)
	}
	s.reload(t, usual(), collectorproc.Partial)
	from, to := touching.end(t)
	s.allArrived(t, from, to)
	t.Logf("%d touches from %d on while logs alone were delivered, then with spans", to-from, out)
}

// spans is how many have arrived.
func (s *receiverSuite) spans(t *testing.T) int {
	t.Helper()
	all, err := s.back.Spans()
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// partial makes sure that the Collector runs with the gate.
func (s *receiverSuite) partial(t *testing.T) {
	t.Helper()
	if slices.Contains(s.col.Args(), partialGate) {
		return
	}
	s.stop(t)
	s.start(t, usual(), partialGate)
}

const partialGate = "--feature-gates=service.partialReload"
