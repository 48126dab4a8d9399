//go:build e2e

package e2e

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/test/runtime/collectorproc"
)

type collectorMetrics = collectorproc.Metrics

// pace is that of the touches made while something is reloaded.
const pace = 10 * time.Millisecond

// moreTokens is a token that a reload adds.
const (
	extraPath  = "/etc/app/extra"
	moreTokens = "  - name: extra\n    path: " + extraPath + "\n    content: s3cr3t\n"
)

// restart: the Collector ends with SIGTERM and exit code 0 and is started
// again. Running containers' tokens are watched as before; one that started
// meanwhile has no tokens, and is counted.
func (s *receiverSuite) restart(t *testing.T) {
	survivor := s.runForever(t, pod{ns: "shop", name: "survivor"})
	s.touched(t, survivor, "aws", "cat", awsPath)
	s.stop(t)
	missed := s.runForever(t, pod{ns: "shop", name: "missed"})
	s.start(t, usual())
	s.touched(t, survivor, "db", "cat", dbPath)
	s.absent(t, missed, awsPath)
	m := s.waitMetrics(t, "the container without tokens to be counted", func(m collectorMetrics) bool {
		n, _ := m.Sum(metricLacking)
		return n >= 1
	})
	t.Logf("containers without tokens: %v", value(t, m, metricLacking))
	s.remove(t, missed)
	next := s.runForever(t, pod{ns: "shop", name: "next"})
	s.touched(t, next, "aws", "cat", awsPath)
}

// fullReload: five times SIGHUP, which stops every component and makes new
// ones, with tokens and arguments changed and with nothing changed, while a
// token is touched all the time. Every touch arrives once and in order. Open
// files, threads and goroutines don't become more. That the plugin is away from
// the runtime for a moment is counted.
func (s *receiverSuite) fullReload(t *testing.T) {
	old := s.runForever(t, pod{ns: "shop", name: "old"})
	s.reload(t, usual(), collectorproc.Full) // what is allocated once is, after this
	before := s.holds(t)
	blind := value(t, s.connected(t), metricBlind)
	registered := s.col.Count("registered with the runtime")
	changed := usual()
	changed.args, changed.more = "redacted", moreTokens
	touching := s.startTouching(pace, 0)
	begin := time.Now()
	for _, v := range []setting{changed, changed, usual(), usual(), changed} {
		m := s.reload(t, v, collectorproc.Full)
		now := value(t, m, metricBlind)
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
	s.noMore(t, before)
	s.touched(t, old, "aws", "cat", awsPath)
	s.touched(t, s.runForever(t, pod{ns: "shop", name: "young"}), "extra", "cat", extraPath)
	s.goroutines(t)
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

// Go keeps a thread once it has made one, and makes one when all are in a
// system call: a few more prove nothing, one for each reload would. A pooled
// connection of HTTP may be there or not.
const (
	moreThreads = 4
	moreFiles   = 2
)

// noMore checks that the Collector holds no more than before.
func (s *receiverSuite) noMore(t *testing.T, before holds) {
	t.Helper()
	after := s.holds(t)
	if after.usage.FDs > before.usage.FDs+moreFiles {
		t.Errorf("%d open files, were %d: now %v, then %v", after.usage.FDs, before.usage.FDs, after.files, before.files)
	}
	if after.usage.Threads > before.usage.Threads+moreThreads {
		t.Errorf("%d threads, were %d", after.usage.Threads, before.usage.Threads)
	}
}

// goroutines compares what runs in the Collector after its reloads with what
// runs in one that has just been started, the receiver's and its libraries'
// above all. Both are ended with SIGQUIT, as a crash would: the receiver has to
// find its tokens again after that too.
func (s *receiverSuite) goroutines(t *testing.T) {
	t.Helper()
	used := s.dump(t)
	s.start(t, usual())
	fresh := s.dump(t)
	s.start(t, usual())
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
// touched all the time. Nothing is missed, and nothing becomes more.
func (s *receiverSuite) partialReload(t *testing.T) {
	s.partial(t)
	b := s.runForever(t, pod{ns: "bank", name: "teller"})
	changed := usual()
	changed.args, changed.more = "redacted", moreTokens
	s.reload(t, changed, collectorproc.Partial)
	before := s.holds(t)
	s.allArrived(t, s.touches(), s.touches())
	touching := s.startTouching(pace, 0)
	begin := time.Now()
	for _, v := range []setting{usual(), changed, usual(), changed} {
		s.reload(t, v, collectorproc.Partial)
	}
	s.reload(t, changed, collectorproc.Unchanged)
	from, to := touching.end(t)
	s.allArrived(t, from, to)
	t.Logf("%d touches during five reloads in %.1f s, longest pause between two %v", to-from, time.Since(begin).Seconds(), touching.longest)
	if v, _ := s.connected(t).Sum(metricLost); v != 0 {
		t.Errorf("%v events lost in the kernel", v)
	}
	s.noMore(t, before)
	s.touched(t, b, "db", "cat", dbPath)
	s.touched(t, s.runForever(t, pod{ns: "bank", name: "clerk"}), "extra", "cat", extraPath)
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
	touching := s.startTouching(pace, 0)
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
