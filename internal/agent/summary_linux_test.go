package agent

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/nri"
)

// askedSensor notes which questions the kernel is asked.
type askedSensor struct {
	Sensor
	counts, stats int
	broken        error
}

func (s *askedSensor) Count(id uint64) (bpf.Count, error) {
	s.counts++
	return s.Sensor.Count(id)
}

func (s *askedSensor) Stats() (bpf.Stats, error) {
	s.stats++
	if s.broken != nil {
		return bpf.Stats{}, s.broken
	}
	return s.Sensor.Stats()
}

func TestSummary(t *testing.T) {
	asked := &askedSensor{}
	n := newNode(t, func(o *CoreOptions) {
		asked.Sensor = o.Sensor
		o.Sensor = asked
	})
	summary := func(want Summary) {
		t.Helper()
		if want.Failures == nil {
			want.Failures = map[Reason]uint64{}
		}
		want.Mode = string(bpf.ModeLSM)
		want.Events = CoreStats{DecodeErrors: 2, Lost: map[string]uint64{bpf.LostRingFull: 7}, Gaps: map[string]uint64{}}
		got, err := n.agent.Summary()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
		if s := n.agent.Status(); s.Armed != got.Armed || s.Lacking != got.Lacking || !reflect.DeepEqual(s.FailureCounts, got.Failures) {
			t.Errorf("summary %+v, status %+v", got, s)
		}
	}
	summary(Summary{})

	whole, other, before := testContainer("c1"), testContainer("c2"), testContainer("c3")
	n.launch(&whole, 7)
	summary(Summary{Wanted: 1, Armed: 1})
	other.Pod.Namespace = "elsewhere"
	n.launch(&other, 8)
	before.PID, before.State = 9, nri.StateRunning
	whole.State, other.State = nri.StateRunning, nri.StateRunning
	n.synchronize(whole, other, before)
	summary(Summary{Wanted: 2, Armed: 1, Lacking: 1})

	// A container that has ended keeps its token, and lacks none.
	whole.State, before.State = nri.StateStopped, nri.StateStopped
	n.agent.Stop(context.Background(), whole)
	n.agent.Stop(context.Background(), before)
	summary(Summary{Wanted: 1, Armed: 1})
	n.agent.failures.add(before.Container, "aws", ReasonLate, errors.New("late"))
	n.agent.Remove(context.Background(), whole)
	summary(Summary{Failures: map[Reason]uint64{ReasonLate: 1}})

	next := testContainer("c4")
	n.launch(&next, 10)
	asked.counts, asked.stats = 0, 0
	if s, err := n.agent.Summary(); err != nil || s.Armed != 1 || asked.counts != 0 || asked.stats != 1 {
		t.Errorf("%+v, %v; the kernel was asked for %d placements and %d times in all", s, err, asked.counts, asked.stats)
	}
}

// Counters don't fall when the kernel can't be asked any more.
func TestSummaryAfterTheSensor(t *testing.T) {
	asked := &askedSensor{}
	n := newNode(t, func(o *CoreOptions) {
		asked.Sensor = o.Sensor
		o.Sensor = asked
	})
	before, err := n.agent.Summary()
	if err != nil || before.Events.Lost[bpf.LostRingFull] != 7 {
		t.Fatalf("%+v, %v", before, err)
	}
	asked.broken = errors.New("closed")
	after, err := n.agent.Summary()
	if !errors.Is(err, asked.broken) || !reflect.DeepEqual(after, before) {
		t.Errorf("%+v, %v; want %+v", after, err, before)
	}
	after.Events.Lost[bpf.LostRingFull] = 0
	after.Failures[ReasonLate] = 9
	if again, _ := n.agent.Summary(); !reflect.DeepEqual(again, before) {
		t.Errorf("the copy is none: %+v", again)
	}
}
