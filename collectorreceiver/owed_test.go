//go:build linux

package collectorreceiver

import (
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/beesting-otel/beesting/collectorreceiver/internal/metadata"
)

// settlements is long enough for several: what the kernel counted and nobody told
// is told once a second.
const settlements = 3500 * time.Millisecond

// opens has the kernel side count so many opens, each by a process of its own, as
// for a placement that is armed.
func (h *testHost) opens(n int) {
	s := h.sensors[len(h.sensors)-1]
	for range n {
		h.touched++
		s.Open(1, h.touched, false)
	}
}

// apart makes and starts components of one receiver whose signals go to different
// pipelines.
func (h *testHost) apart(cfg *Config, to map[string]*pipelines) *collector {
	h.t.Helper()
	c := &collector{t: h.t}
	f := newFactory(h.host)
	set := receivertest.NewNopSettings(metadata.Type)
	set.ID = component.MustNewID("honeytoken")
	for _, signal := range []string{signalLogs, signalTraces, signalMetrics} {
		p := to[signal]
		if p == nil {
			continue
		}
		comp, err := create(h.t.Context(), f, set, cfg, p, signal)
		if err != nil {
			h.t.Fatal(err)
		}
		c.components, c.names = append(c.components, comp), append(c.names, signal)
	}
	for _, comp := range c.components {
		if err := comp.Start(h.t.Context(), &c.statuses); err != nil {
			h.t.Fatal(err)
		}
	}
	return c
}

func (h *testHost) running(c *collector) *node {
	return h.nodes[c.components[0].(*member).group.id]
}

// sum adds up the points of a metric in the last push.
func (p *pipelines) sum(name string) (total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.points) == 0 {
		return -1
	}
	for _, rm := range p.points[len(p.points)-1].ResourceMetrics().All() {
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			if m.Name() == name && m.Type() == pmetric.MetricTypeSum {
				for _, point := range m.Sum().DataPoints().All() {
					total += int(point.IntValue())
				}
			}
		}
	}
	return total
}

// touches adds up what the log records stand for.
func (p *pipelines) touches() (total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.stands {
		total += n
	}
	return total
}

// Spans that find no room cost no log record, and none comes twice: what the
// kernel counted has been told.
func TestTracesFull(t *testing.T) {
	const bound, n = 20, 60
	h := newTestHost(t)
	cfg := h.config()
	cfg.QueueSize = bound
	good, bad := &pipelines{}, &pipelines{err: errRefused}
	c := h.apart(cfg, map[string]*pipelines{signalLogs: good, signalTraces: bad, signalMetrics: good})
	out := h.running(c).engine.out
	for range n {
		h.opens(1)
		good.want(t, 1, h.touched, signalLogs)
	}
	time.Sleep(settlements)
	good.want(t, 1, n, signalLogs)
	if s := out.Stats().Spans; s.Dropped["queue_full"] != n-bound || s.Offered != n || s.Refused != 0 {
		t.Errorf("spans %+v, want %d lost, each counted once", s, n-bound)
	}
	bad.refuse(nil)
	c.shutdown()
	if got, _ := good.counts(); got != n {
		t.Errorf("%d log records of %d touches", got, n)
	}
	bad.want(t, 1, bound, signalTraces)
	if got := good.sum("honeytoken.accesses"); got != n {
		t.Errorf("honeytoken.accesses is %d, want %d", got, n)
	}
}

// Log records that find no room have no spans either, so that none of these comes
// twice; what they would have told comes in sums once there is room. The metric
// counts what was told, once, and the counts of this process what was put off.
func TestLogsFull(t *testing.T) {
	const bound, n = 20, 60
	h := newTestHost(t)
	cfg := h.config()
	cfg.QueueSize = bound
	bad, good := &pipelines{err: errRefused}, &pipelines{}
	c := h.apart(cfg, map[string]*pipelines{signalLogs: bad, signalTraces: good, signalMetrics: good})
	node := h.running(c)
	h.opens(n)
	good.want(t, 1, bound, signalTraces)
	time.Sleep(settlements)
	good.want(t, 1, bound, signalTraces)
	out := node.engine.out
	s, err := node.agent.Summary()
	if err != nil || s.Events.Deferred != n-bound {
		t.Errorf("%+v, %v: want %d put off", s.Events, err, n-bound)
	}
	if l := out.Stats().Logs; l.Dropped["queue_full"] != 0 || l.Queued != bound || l.Refused <= n-bound {
		t.Errorf("logs %+v, want %d queued, none lost, and more refusals than accesses", l, bound)
	}
	bad.refuse(nil)
	eventually(t, "all touches", func() bool { return bad.touches() >= n })
	time.Sleep(settlements)
	c.shutdown()
	if got := bad.touches(); got != n {
		t.Errorf("the log records stand for %d touches, want %d", got, n)
	}
	if got := good.sum("honeytoken.accesses"); got != n {
		t.Errorf("honeytoken.accesses is %d, want %d", got, n)
	}
	if got := good.sum("honeytoken.access.lost"); got != 0 {
		t.Errorf("honeytoken.access.lost is %d, want 0", got)
	}
	for i, got := range bad.logs[:bound] {
		if got != itoa(i+1) {
			t.Errorf("log record %d is of touch %s", i+1, got)
		}
	}
}
