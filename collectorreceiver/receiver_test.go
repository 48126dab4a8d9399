//go:build linux

package collectorreceiver

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/beesting-otel/beesting/collectorreceiver/internal/metadata"
	"github.com/beesting-otel/beesting/internal/agent"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestDelivers(t *testing.T) {
	h := newTestHost(t)
	p := &pipelines{}
	c := h.mustLoad(p, h.config())
	n := h.touch(50)
	p.want(t, 1, n, signalLogs, signalTraces)
	c.shutdown()
	if len(p.points) != 1 || p.points[0].DataPointCount() == 0 {
		t.Errorf("metrics: %v, want one last push", p.points)
	}
	c.shutdown() // again
}

// What happens until Shutdown is delivered by it.
func TestShutdownDelivers(t *testing.T) {
	h := newTestHost(t)
	p := &pipelines{}
	c := h.mustLoad(p, h.config(), signalLogs)
	n := h.touch(500)
	c.shutdown()
	if logs, traces := p.counts(); logs != n || traces != 0 {
		t.Errorf("%d logs of %d, %d traces of none", logs, n, traces)
	}
}

// The components of all signals learn of the one start that failed.
func TestStartError(t *testing.T) {
	h := newTestHost(t)
	h.refuse = errors.New("no BTF")
	p := &pipelines{}
	c, err := h.load(p, h.config())
	if err == nil || !strings.Contains(err.Error(), "no BTF") {
		t.Fatalf("start: %v", err)
	}
	h.refuse = nil
	for _, comp := range c.components {
		if again := comp.Start(t.Context(), componenttest.NewNopHost()); again == nil || again.Error() != err.Error() {
			t.Errorf("start of another signal: %v, want %v", again, err)
		}
	}
	c.shutdown()
	// It takes a new configuration to try again.
	c = h.mustLoad(p, h.config())
	p.want(t, 1, h.touch(3), signalLogs)
	c.shutdown()
}

// A second receiver is refused with a clear error and harms nobody.
func TestSecondReceiver(t *testing.T) {
	h := newTestHost(t)
	p := &pipelines{}
	c := h.mustLoad(p, h.config())
	other := h.config()
	other.CommandArgs = "off"
	if _, err := h.load(&pipelines{}, other); err == nil || !strings.Contains(err.Error(), "another configuration") {
		t.Errorf("same name: %v", err)
	}
	set := receivertest.NewNopSettings(metadata.Type) // another name
	comp, err := newFactory(h.host).CreateLogs(t.Context(), set, h.config(), p)
	if err != nil {
		t.Fatal(err)
	}
	if err := comp.Start(t.Context(), componenttest.NewNopHost()); err == nil || !strings.Contains(err.Error(), "room for one") {
		t.Errorf("another name: %v", err)
	}
	if err := comp.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	p.want(t, 1, h.touch(3), signalLogs, signalTraces)
	c.shutdown()
}

// A pipeline that refuses gets everything in order when it accepts again.
func TestRefusal(t *testing.T) {
	h := newTestHost(t)
	p := &pipelines{}
	c := h.mustLoad(p, h.config())
	p.refuse(errRefused)
	n := h.touch(300)
	eventually(t, "attempts", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.calls > 2 })
	p.refuse(nil)
	p.want(t, 1, n, signalLogs, signalTraces)
	c.shutdown()
}

// What a pipeline will never take is set aside and counted.
func TestPermanentRefusal(t *testing.T) {
	h := newTestHost(t)
	p := &pipelines{}
	c := h.mustLoad(p, h.config(), signalLogs)
	p.refuse(consumererror.NewPermanent(errRefused))
	n := h.touch(10)
	out := h.nodes[c.components[0].(*member).group.id].engine.out
	eventually(t, "refusal", func() bool { return out.Stats().Logs.Dropped["permanent"] == uint64(n) })
	p.refuse(nil)
	more := h.touch(5)
	p.want(t, n+1, n+more, signalLogs)
	c.shutdown()
}

// Longer than the queue: what is missing is counted, to the last one.
func TestBound(t *testing.T) {
	h := newTestHost(t)
	cfg := h.config()
	cfg.QueueSize = 100
	p := &pipelines{}
	c := h.mustLoad(p, cfg, signalLogs)
	p.refuse(errRefused)
	n := h.touch(350)
	node := h.nodes[c.components[0].(*member).group.id]
	// The fake's Touch counts nothing, so nobody can tell of it later.
	eventually(t, "events", func() bool { s := node.state(); return s.Lost["refused"] == uint64(n-cfg.QueueSize) })
	p.refuse(nil)
	c.shutdown()
	s := node.engine.out.Stats().Logs
	logs, _ := p.counts()
	if s.Refused != uint64(n-logs) || logs != cfg.QueueSize || s.Queued != 0 || len(s.Dropped) != 0 || node.state().Lost["refused"] != uint64(n-logs) {
		t.Errorf("%d of %d delivered, counts %+v", logs, n, s)
	}
}

// The end of the sensor ends the Collector: it must not look alive.
func TestSensorFails(t *testing.T) {
	h := newTestHost(t)
	c := h.mustLoad(&pipelines{}, h.config())
	h.sensors[0].Errs <- errors.New("epoll: bad file descriptor")
	eventually(t, "a fatal status", func() bool { return c.statuses.has(componentstatus.StatusFatalError, "epoll: bad") })
	for _, comp := range c.components {
		_ = comp.Shutdown(context.Background()) // the last one tells the error again
	}
	if h.parked != nil {
		t.Error("a broken sensor was kept")
	}
}

// The runtime that is away is a trouble that passes.
func TestRuntimeStatus(t *testing.T) {
	h := newTestHost(t)
	c := h.mustLoad(&pipelines{}, h.config())
	eventually(t, "a recoverable error", func() bool {
		return c.statuses.has(componentstatus.StatusRecoverableError, "is the runtime running")
	})
	h.nodes[c.components[0].(*member).group.id].connection(true, nil)
	if !c.statuses.has(componentstatus.StatusOK, "") {
		t.Error("no OK after it")
	}
	c.shutdown()
}

func TestHealth(t *testing.T) {
	now := time.Unix(0, 0)
	h := newHealth(func() time.Time { return now })
	var s statuses
	m := &member{}
	add := func(m *member, s *statuses) {
		if err := h.add(m, s); err != nil {
			t.Fatal(err)
		}
	}
	add(m, &s)
	h.delivery(signalLogs, errRefused)
	now = now.Add(refusedFor - time.Second)
	h.delivery(signalLogs, errRefused)
	if len(s.got) != 0 {
		t.Errorf("after a moment: %v", s.got)
	}
	now = now.Add(time.Second)
	for range 3 {
		h.delivery(signalLogs, errRefused)
	}
	h.runtime(errors.New("gone"))
	var late statuses
	add(&member{}, &late)
	h.delivery(signalLogs, nil)
	h.runtime(nil)
	h.runtime(nil)
	h.remove(m)
	h.runtime(errors.New("gone"))
	want := []componentstatus.Status{
		componentstatus.StatusRecoverableError, componentstatus.StatusRecoverableError, componentstatus.StatusRecoverableError, componentstatus.StatusOK,
	}
	if len(s.got) != len(want) {
		t.Fatalf("statuses %v, want %v", s.got, want)
	}
	for i := range want {
		if s.got[i] != want[i] {
			t.Errorf("statuses %v, want %v", s.got, want)
		}
	}
	if !late.has(componentstatus.StatusRecoverableError, "memory is short") || !late.has(componentstatus.StatusRecoverableError, "gone") {
		t.Errorf("a component that came later heard %v", late.got)
	}
}

// A pipeline that blocks, as a full queue with block_on_overflow does, is in
// trouble as one that refuses is.
func TestHealthOfABlockedPipeline(t *testing.T) {
	h := newHealth(time.Now)
	h.after = 5 * time.Millisecond
	var s statuses
	if err := h.add(&member{}, &s); err != nil {
		t.Fatal(err)
	}
	done := h.push(signalLogs)
	eventually(t, "a trouble", func() bool {
		return s.has(componentstatus.StatusRecoverableError, "logs: the pipeline does not answer")
	})
	done(nil)
	if !s.has(componentstatus.StatusOK, "") {
		t.Errorf("statuses %v, want OK after the answer", s.got)
	}
}

// A sensor that breaks at once fails Start, or ends the Collector: never neither.
func TestSensorBreaksAtOnce(t *testing.T) {
	for range 100 {
		h := newTestHost(t)
		open := h.open
		h.open = func(o agent.SensorOptions) (agent.Sensor, []agent.ModeAttempt, error) {
			s, refused, err := open(o)
			h.sensors[len(h.sensors)-1].Errs <- errors.New("bad ring")
			return s, refused, err
		}
		c, err := h.load(&pipelines{}, h.config())
		if err == nil {
			eventually(t, "a fatal status", func() bool { return c.statuses.has(componentstatus.StatusFatalError, "bad ring") })
		} else if !strings.Contains(err.Error(), "bad ring") {
			t.Errorf("start: %v", err)
		}
		c.shutdown()
		if len(h.nodes) > 0 || h.parked != nil {
			t.Error("something is left")
		}
	}
}
