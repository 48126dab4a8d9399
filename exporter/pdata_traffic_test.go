package exporter

import (
	"context"
	"slices"
	"testing"
	"time"
)

// Detach ends although something new is queued whenever it looks, without
// cutting a call off. Who is attached next goes on where it ended.
func TestPDataDetachUnderTraffic(t *testing.T) {
	const before = 300 // more than a batch
	p := newTestPData(t, 0)
	made, hold, cut := before, make(chan struct{}), false
	busy := &consumer{refuse: func(ctx context.Context, _ string, _ []string) error {
		<-hold
		deliverTo(t, p, made, made+1)
		made++
		cut = cut || ctx.Err() != nil
		return ctx.Err()
	}}
	if err := p.AttachLogs(sampleMapping(t), busy.pushLogs); err != nil {
		t.Fatal(err)
	}
	deliverTo(t, p, 0, before)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	time.AfterFunc(20*time.Millisecond, func() { close(hold) }) // during Detach, whatever is in the air
	left := p.Detach(ctx, SignalLogs)
	first := busy.received(SignalLogs)
	if cut || ctx.Err() != nil || left != made-len(first) || left == 0 {
		t.Errorf("%d of %d left, %d delivered, a call was cut off: %t", left, made, len(first), cut)
	}
	next := &consumer{}
	if err := p.AttachLogs(sampleMapping(t), next.pushLogs); err != nil {
		t.Fatal(err)
	}
	p.Detach(t.Context(), SignalLogs)
	if got := slices.Concat(first, next.received(SignalLogs)); !slices.Equal(got, uids(0, made)) {
		t.Errorf("%d arrived, want the %d in order", len(got), made)
	}
}
