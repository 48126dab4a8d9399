package collectorreceiver

import (
	"testing"
	"time"
)

// The time for delivery at the end is for all components of a receiver together:
// a pipeline that refuses must not hold up a Collector once for each signal.
func TestShutdownTakesItsTimeOnce(t *testing.T) {
	const timeout = time.Second
	h := newTestHost(t)
	cfg := h.config()
	cfg.ShutdownTimeout = timeout
	p := &pipelines{err: errRefused}
	c := h.mustLoad(p, cfg)
	h.touch(10)
	eventually(t, "attempts", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.calls > 0 })
	begin := time.Now()
	c.shutdown()
	if took := time.Since(begin); took < timeout || took > 2*timeout {
		t.Errorf("shut down in %v, want a little more than %v", took, timeout)
	}
	// One that leaves later has that time for itself.
	c = h.mustLoad(p, cfg, signalLogs, signalTraces)
	c.shutdown(signalTraces)
	time.Sleep(together + timeout/4)
	p.refuse(nil)
	c.shutdown(signalLogs)
	p.want(t, 1, 10, signalLogs)
	if h.parked.out.Stats().Spans.Queued != 10 {
		t.Errorf("spans %+v, want 10 kept for a successor", h.parked.out.Stats().Spans)
	}
}

// What was touched before is delivered in Shutdown, by each signal, in
// whatever order they end; metrics count it.
func TestShutdownInAnyOrder(t *testing.T) {
	for _, order := range [][]string{
		{signalLogs, signalTraces, signalMetrics}, {signalMetrics, signalTraces, signalLogs}, {signalTraces, signalLogs, signalMetrics},
	} {
		h := newTestHost(t)
		p := &pipelines{}
		c := h.mustLoad(p, h.config())
		n := h.touch(300)
		c.shutdown(order[0])
		points := len(p.points)
		c.shutdown(order[1])
		c.shutdown(order[2])
		p.want(t, 1, n, signalLogs, signalTraces)
		if len(p.points) == 0 || (order[0] == signalMetrics && points == 0) {
			t.Errorf("ended in the order %v: no last metrics", order)
		}
	}
}

// As long as something is delivered at the end, the agent is there: containers
// that are created meanwhile get their tokens, and touches are seen.
func TestShutdownEndsTheAgentLast(t *testing.T) {
	h := newTestHost(t)
	cfg := h.config()
	cfg.ShutdownTimeout = 20 * time.Second
	p := &pipelines{err: errRefused}
	c := h.mustLoad(p, cfg, signalLogs)
	h.touch(10)
	out := h.nodes[c.components[0].(*member).group.id].engine.out
	eventually(t, "accesses", func() bool { return out.Stats().Logs.Offered == 10 })
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.shutdown()
	}()
	time.Sleep(50 * time.Millisecond) // into the Shutdown
	h.touch(10)
	eventually(t, "accesses of the meantime", func() bool { return out.Stats().Logs.Offered == 20 })
	select {
	case <-done:
		t.Error("the pipeline refuses and Shutdown doesn't wait")
	default:
	}
	p.refuse(nil)
	<-done
	p.want(t, 1, 20, signalLogs)
}
