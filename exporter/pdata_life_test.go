package exporter

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
)

// A signal that was never attached is neither queued nor counted; one that is
// detached queues, and delivers to whoever is attached next.
func TestPDataDetachAndAttach(t *testing.T) {
	p := newTestPData(t, 0)
	deliverTo(t, p, 0, 5) // concerns nobody
	wantBoth(t, p, 0, 0, nil)
	first, second := &consumer{}, &consumer{}
	if err := p.AttachLogs(sampleMapping(t), first.pushLogs); err != nil {
		t.Fatal(err)
	}
	deliverTo(t, p, 0, 10)
	if left := p.Detach(t.Context(), SignalLogs); left != 0 {
		t.Errorf("%d left", left)
	}
	deliverTo(t, p, 10, 30)
	if got := p.Stats(); got.Logs.Queued != 20 || got.Logs.Offered != 30 || got.Spans.Offered != 0 {
		t.Errorf("%+v", got)
	}
	if left := p.Detach(ended(errBusy), SignalLogs); left != 20 {
		t.Errorf("%d left", left)
	}
	if err := p.AttachLogs(sampleMapping(t), second.pushLogs); err != nil {
		t.Fatal(err)
	}
	if left := p.Detach(t.Context(), SignalLogs); left != 0 {
		t.Errorf("%d left", left)
	}
	if got := first.received(SignalLogs); !slices.Equal(got, uids(0, 10)) {
		t.Errorf("to the first %v", got)
	}
	if got := second.received(SignalLogs); !slices.Equal(got, uids(10, 30)) {
		t.Errorf("to the second %v", got)
	}
	// Attached once more, it waits for what comes, though nothing is queued.
	if err := p.AttachLogs(sampleMapping(t), second.pushLogs); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Millisecond)
	deliverTo(t, p, 30, 31)
	eventually(t, "delivery", func() bool { return p.Stats().Logs.Queued == 0 })
	wantStats(t, p.Stats().Logs, 31, 31, nil)
	wantStats(t, p.Stats().Spans, 0, 0, nil)
}

// A call that Detach cuts off: nil means delivered though the context is over,
// an error means that it is still queued. Neither is counted as a loss.
func TestPDataCutOff(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(context.Context) error
		left   int
	}{
		"accepted too late": {func(context.Context) error { return nil }, 0},
		"given up":          {func(ctx context.Context) error { return ctx.Err() }, 3},
		"partly":            {nil, 1},
		"refused for good":  {func(context.Context) error { return permanentError{errBusy} }, 3},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 3
			entered := make(chan struct{})
			slow := &consumer{refuse: func(ctx context.Context, _ string, ids []string) error {
				close(entered)
				<-ctx.Done()
				if c.answer == nil {
					return refuseSome(ids[1])
				}
				return c.answer(ctx)
			}}
			p := newTestPData(t, 0)
			if err := p.AttachLogs(sampleMapping(t), (&consumer{}).pushLogs); err != nil {
				t.Fatal(err)
			}
			p.Detach(t.Context(), SignalLogs)
			deliverTo(t, p, 0, n)
			if err := p.AttachLogs(sampleMapping(t), slow.pushLogs); err != nil {
				t.Fatal(err)
			}
			<-entered
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
			defer cancel()
			if left := p.Detach(ctx, SignalLogs); left != c.left {
				t.Errorf("%d left, want %d", left, c.left)
			}
			next := &consumer{}
			if err := p.AttachLogs(sampleMapping(t), next.pushLogs); err != nil {
				t.Fatal(err)
			}
			if left := p.Detach(t.Context(), SignalLogs); left != 0 {
				t.Errorf("%d left in the end", left)
			}
			if got := slices.Concat(slow.received(SignalLogs), next.received(SignalLogs)); len(got) != n {
				t.Errorf("%d arrived: %v", len(got), got)
			}
			wantStats(t, p.Stats().Logs, n, n, nil)
		})
	}
}

// Signals come and go while accesses do, with a consumer that refuses, refuses
// in part, dawdles and gives up: everything arrives exactly once, and the
// counts add up all the time.
func TestPDataAttachCycles(t *testing.T) {
	const writers, each = 4, 400
	p := newTestPData(t, writers*each)
	c := &consumer{refuse: moody}
	attachBoth(t, p, c)
	stop := make(chan struct{})
	var cycles atomic.Int64
	var lives, writes sync.WaitGroup
	for signal, attach := range map[string]func() error{
		SignalLogs:   func() error { return p.AttachLogs(sampleMapping(t), c.pushLogs) },
		SignalTraces: func() error { return p.AttachTraces(sampleMapping(t), c.pushTraces) },
	} {
		lives.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.IntN(3000))*time.Microsecond)
				p.Detach(ctx, signal)
				cancel()
				checkSum(t, p)
				if err := attach(); err != nil {
					t.Error(err)
					return
				}
				cycles.Add(1)
			}
		})
	}
	for w := range writers {
		writes.Go(func() {
			for i := range each {
				if err := p.Deliver(t.Context(), numbered(w*each+i)); err != nil {
					t.Error(err)
				}
				if i%8 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	writes.Wait()
	close(stop)
	lives.Wait()
	c.calm()
	detachBoth(t, p)
	t.Logf("%d cycles", cycles.Load())
	wantBoth(t, p, writers*each, writers*each, nil)
	for _, signal := range []string{SignalLogs, SignalTraces} {
		all := uids(0, writers*each)
		if signal == SignalTraces {
			all = spanIDs(0, writers*each)
		}
		got := c.received(signal)
		slices.Sort(got)
		slices.Sort(all)
		if !slices.Equal(got, all) {
			t.Errorf("%d %s, want each of %d once", len(got), signal, len(all))
		}
	}
}

// moody is a consumer's answer by chance.
func moody(ctx context.Context, _ string, ids []string) error {
	switch rand.IntN(6) {
	case 0:
		return errBusy
	case 1:
		return refuseSome(ids[rand.IntN(len(ids)):]...)
	case 2: // takes its time, and gives up when it is told to
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	case 3: // takes its time, and what it was given
		<-time.After(time.Millisecond)
	}
	return nil
}

// checkSum fails when the counts don't add up or can't be.
func checkSum(t *testing.T, p *PData) {
	t.Helper()
	for _, s := range []SignalStats{p.Stats().Logs, p.Stats().Spans} {
		sum := s.Delivered + s.Queued
		for _, n := range s.Dropped {
			sum += n
		}
		if sum != s.Offered || s.Delivered > s.Offered || s.Queued > s.Offered {
			t.Errorf("%+v: doesn't add up", s)
		}
	}
}

// One writer and one signal that comes and goes: the order of the first
// deliveries is that of the writer, cut off or not.
func TestPDataOrderOverCycles(t *testing.T) {
	const n = 500
	p := newTestPData(t, n)
	c := &consumer{refuse: func(ctx context.Context, _ string, _ []string) error {
		if rand.IntN(3) == 0 {
			return errBusy
		}
		time.Sleep(100 * time.Microsecond)
		return ctx.Err()
	}}
	done := make(chan struct{})
	attachBoth(t, p, c)
	go func() {
		defer close(done)
		for i := range n {
			if err := p.Deliver(context.Background(), numbered(i)); err != nil {
				t.Error(err)
			}
		}
	}()
	for range 50 {
		p.Detach(ended(errBusy), SignalLogs)
		p.Detach(ended(errBusy), SignalTraces)
		attachBoth(t, p, c)
		time.Sleep(200 * time.Microsecond)
	}
	<-done
	c.calm()
	detachBoth(t, p)
	wantArrived(t, c, n)
	wantBoth(t, p, n, n, nil)
}

func TestPDataForget(t *testing.T) {
	c := &consumer{refuse: func(_ context.Context, signal string, _ []string) error {
		if signal == SignalLogs {
			return errBusy
		}
		return nil
	}}
	p := pdataTo(t, c, 0)
	deliverTo(t, p, 0, 7)
	if lost := p.Forget(SignalLogs); lost != 7 { // attached still
		t.Errorf("%d lost", lost)
	}
	if lost := p.Forget(SignalLogs); lost != 0 {
		t.Errorf("%d lost again", lost)
	}
	deliverTo(t, p, 7, 9) // concerns the spans alone
	wantStats(t, p.Stats().Logs, 7, 0, map[string]uint64{causeShutdown: 7})
	c.calm()
	if err := p.AttachLogs(sampleMapping(t), c.pushLogs); err != nil {
		t.Fatal(err)
	}
	deliverTo(t, p, 9, 12)
	detachBoth(t, p)
	if got := c.received(SignalLogs); !slices.Equal(got, uids(9, 12)) {
		t.Errorf("logs %v", got)
	}
	if got := c.received(SignalTraces); !slices.Equal(got, spanIDs(0, 12)) {
		t.Errorf("spans %v", got)
	}
	wantStats(t, p.Stats().Logs, 10, 3, map[string]uint64{causeShutdown: 7})
	wantStats(t, p.Stats().Spans, 12, 12, nil)
}

// Accesses that come while a signal is forgotten are delivered, lost and
// counted, or not counted: never something in between.
func TestPDataForgetWhileDelivering(t *testing.T) {
	p := newTestPData(t, 1<<20)
	c := &consumer{refuse: moody}
	stop := make(chan struct{})
	var writes sync.WaitGroup
	for range 3 {
		writes.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := p.Deliver(context.Background(), numbered(i)); err != nil && !errors.Is(err, ErrShutdown) {
					t.Error(err)
				}
				checkSum(t, p)
				time.Sleep(20 * time.Microsecond)
			}
		})
	}
	for range 50 {
		attachBoth(t, p, c)
		time.Sleep(time.Millisecond)
		p.Forget(SignalTraces)
		p.Forget(SignalLogs)
	}
	close(stop)
	writes.Wait()
	for _, s := range []SignalStats{p.Stats().Logs, p.Stats().Spans} {
		if s.Queued != 0 || s.Offered == 0 || s.Delivered == 0 {
			t.Errorf("%+v", s)
		}
	}
	if got := c.received(SignalLogs); len(got) != int(p.Stats().Logs.Delivered) {
		t.Errorf("%d logs arrived, %d counted", len(got), p.Stats().Logs.Delivered)
	}
}

func TestPDataClose(t *testing.T) {
	c := &consumer{refuse: func(context.Context, string, []string) error { return errBusy }}
	p := newTestPData(t, 0)
	if err := p.AttachLogs(sampleMapping(t), c.pushLogs); err != nil {
		t.Fatal(err)
	}
	deliverTo(t, p, 0, 4)
	if lost := p.Close(); lost != 4 {
		t.Errorf("%d lost", lost)
	}
	if lost := p.Close(); lost != 4 {
		t.Errorf("a second Close: %d lost", lost)
	}
	if err := p.Deliver(t.Context(), numbered(5)); !errors.Is(err, ErrShutdown) {
		t.Errorf("Deliver after Close: %v", err)
	}
	for _, err := range []error{p.AttachLogs(sampleMapping(t), c.pushLogs), p.AttachTraces(sampleMapping(t), c.pushTraces)} {
		if !errors.Is(err, ErrShutdown) {
			t.Errorf("attached after Close: %v", err)
		}
	}
	if left, lost := p.Detach(t.Context(), SignalLogs), p.Forget(SignalLogs); left != 0 || lost != 0 {
		t.Errorf("after Close %d left, %d lost", left, lost)
	}
	wantStats(t, p.Stats().Logs, 4, 0, map[string]uint64{causeShutdown: 4})
	wantStats(t, p.Stats().Spans, 0, 0, nil)
	if s := p.Stats(); s.Logs.Refused != 1 {
		t.Errorf("refused after Close: %+v", s)
	}
}

// Close doesn't wait for a Detach that has time.
func TestPDataCloseCutsDetachShort(t *testing.T) {
	entered := make(chan struct{})
	p := newTestPData(t, 0)
	err := p.AttachLogs(sampleMapping(t), func(ctx context.Context, _ plog.Logs) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	deliverTo(t, p, 0, 1)
	<-entered
	detached := make(chan struct{})
	go func() {
		defer close(detached)
		p.Detach(t.Context(), SignalLogs)
	}()
	if lost := p.Close(); lost != 1 {
		t.Errorf("%d lost", lost)
	}
	<-detached
	wantStats(t, p.Stats().Logs, 1, 0, map[string]uint64{causeShutdown: 1})
}
