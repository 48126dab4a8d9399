//go:build linux

package collectorreceiver

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/agent"
	"github.com/beesting-otel/beesting/internal/agent/sensortest"
)

// arm has the kernel side watch placement 1.
func (h *testHost) arm(n *node) {
	h.t.Helper()
	f, err := os.Create(filepath.Join(h.t.TempDir(), "token"))
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	p := beesting.Placement{ID: 1, TokenID: "canary", Token: beesting.Token{Name: "aws", Kind: "aws-credentials", Path: "/root/.aws/credentials"}}
	if err := n.engine.core.Arm(p, f); err != nil {
		h.t.Fatal(err)
	}
}

// successor is another process on the same node, which finds what is pinned.
func (h *testHost) successor() *testHost {
	h.t.Helper()
	next := newTestHost(h.t)
	next.pin = h.pin
	open, before := next.open, h.sensors[len(h.sensors)-1]
	next.open = func(o agent.SensorOptions) (agent.Sensor, []agent.ModeAttempt, error) {
		if _, _, err := open(o); err != nil {
			return nil, nil, err
		}
		found := before.Next(time.Minute)
		next.sensors = []*sensortest.Fake{found}
		return found, nil, nil
	}
	return next
}

func orders() [][]string {
	const l, t, m = signalLogs, signalTraces, signalMetrics
	return [][]string{{l, t, m}, {l, m, t}, {t, l, m}, {t, m, l}, {m, l, t}, {m, t, l}}
}

// goesInOrder shuts the signals down one after the other. Before each, and after
// the last, files are opened and held open, some by the same process again.
func (h *testHost) goesInOrder(c *collector, order []string) {
	s := h.sensors[0]
	hold := func() {
		for range 3 {
			h.touched++
			s.Open(1, h.touched, true)
		}
		s.Open(1, h.touched, false) // only counted
		h.again++
	}
	for _, signal := range order {
		hold()
		c.shutdown(signal)
	}
	hold()
}

// The Collector ends, in whatever order it ends the signals, and the process with
// it. What is touched after the first of logs and traces has left waits in the
// kernel, where the next process finds it: every access has its log record and
// its span, from one process or the other, and nothing is missing.
func TestEndInAnyOrder(t *testing.T) {
	for _, order := range orders() {
		t.Run(strings.Join(order, " "), func(t *testing.T) {
			h := newTestHost(t)
			h.pin = "/sys/fs/bpf/one"
			p := &pipelines{}
			cfg := h.config()
			cfg.Sensor.Pin = h.pin
			c := h.mustLoad(p, cfg)
			h.arm(h.running(c))
			h.goesInOrder(c, order)
			told := p.touches()
			// 4 touches before each Shutdown.
			first := min(slices.Index(order, signalLogs), slices.Index(order, signalTraces)) + 1
			if told != 4*first || len(p.traces) != len(p.logs) {
				t.Errorf("%d touches are told, in %d log records and %d spans, want %d", told, len(p.logs), len(p.traces), 4*first)
			}
			next := h.successor()
			after := &pipelines{}
			cfg = next.config()
			cfg.Sensor.Pin = next.pin
			c = next.mustLoad(after, cfg)
			next.arm(next.running(c))
			for _, signal := range []string{signalMetrics, signalTraces, signalLogs} {
				c.shutdown(signal)
			}
			if sum := told + after.touches(); sum != h.touched+h.again || after.missing() != 0 || len(after.traces) != len(after.logs) {
				t.Errorf("%d touches are told, then %d in %d log records and %d spans, and %d are missing: want %d",
					told, after.touches(), len(after.logs), len(after.traces), after.missing(), h.touched+h.again)
			}
			next.end()
		})
	}
}

// The same in a process that goes on: whatever found no pipeline is told by the
// next receiver, whole and once.
func TestReloadInAnyOrder(t *testing.T) {
	for _, order := range orders() {
		t.Run(strings.Join(order, " "), func(t *testing.T) {
			h := newTestHost(t)
			h.pin = "/sys/fs/bpf/one"
			p := &pipelines{}
			config := func() *Config {
				cfg := h.config()
				cfg.Sensor.Pin = h.pin
				return cfg
			}
			c := h.mustLoad(p, config())
			h.arm(h.running(c))
			h.goesInOrder(c, order)
			c = h.mustLoad(p, config())
			eventually(t, "all touches", func() bool { return p.touches() >= h.touched+h.again })
			c.shutdown()
			seen := map[string]int{}
			for _, n := range p.logs {
				seen[n]++
			}
			if len(seen) != h.touched || p.touches() != h.touched+h.again || p.missing() != 0 {
				t.Errorf("%d touches by %d processes are told, %d missing; want %d by %d",
					p.touches(), len(seen), p.missing(), h.touched+h.again, h.touched)
			}
			spans := map[string]bool{}
			for _, pid := range p.traces {
				spans[pid] = true
			}
			if len(spans) != h.touched {
				t.Errorf("spans of %v, want those of %d processes", slices.Sorted(maps.Keys(spans)), h.touched)
			}
		})
	}
}
