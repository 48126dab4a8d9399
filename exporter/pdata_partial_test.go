package exporter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"
)

// A refusal that says what is left is repeated with just that, and what came
// later comes later.
func TestPDataPartialRefusal(t *testing.T) {
	const n = 6
	c := &consumer{}
	var logPushes, spanPushes [][]string
	c.refuse = func(_ context.Context, signal string, ids []string) error {
		pushes := &logPushes
		if signal == SignalTraces {
			pushes = &spanPushes
		}
		*pushes = append(*pushes, ids) // one goroutine per signal
		switch len(*pushes) {
		case 1:
			return errBusy // until all are queued
		case 2:
			return refuseSome(ids[1], ids[2], ids[5])
		case 3:
			return errBusy
		case 4:
			return refuseSome(ids[0], ids[2])
		}
		return nil
	}
	p := newTestPData(t, 0)
	hold(t, p, c, n)
	detachBoth(t, p)
	for signal, s := range map[string]struct {
		pushes   [][]string
		all      []string
		received []string
	}{
		SignalLogs:   {logPushes, uids(0, n), c.received(SignalLogs)},
		SignalTraces: {spanPushes, spanIDs(0, n), c.received(SignalTraces)},
	} {
		if len(s.pushes) != 5 {
			t.Fatalf("%s: %d pushes", signal, len(s.pushes))
		}
		pick := func(positions ...int) (out []string) {
			for _, i := range positions {
				out = append(out, s.all[i])
			}
			return out
		}
		if got, want := s.pushes[2], pick(1, 2, 5); !slices.Equal(got, want) {
			t.Errorf("%s: after a partial refusal %v, want %v", signal, got, want)
		}
		if got, want := s.pushes[4], pick(1, 5); !slices.Equal(got, want) {
			t.Errorf("%s: after another one %v, want %v", signal, got, want)
		}
		if got, want := s.received, pick(0, 3, 4, 2, 1, 5); !slices.Equal(got, want) {
			t.Errorf("%s: received %v, want %v", signal, got, want)
		}
	}
	wantBoth(t, p, n, n, nil)
	if got := p.Stats().Logs.Retries; got != 4 {
		t.Errorf("%d retries", got)
	}
}

// hold queues n accesses before the first is delivered.
func hold(t *testing.T, p *PData, c *consumer, n int) {
	t.Helper()
	idle := &consumer{}
	attachBoth(t, p, idle)
	detachBoth(t, p)
	deliverTo(t, p, 0, n)
	attachBoth(t, p, c)
}

// What is left for good is looked for among what is left, and only that is lost.
func TestPDataPartlyPermanent(t *testing.T) {
	const n = 8
	bad := uids(5, 6)[0]
	c := &consumer{}
	first := true
	c.refuse = func(_ context.Context, signal string, ids []string) error {
		switch {
		case signal == SignalTraces:
			return nil
		case first:
			first = false
			return permanentError{refuseSome(uids(2, 6)...)}
		case slices.Contains(ids, bad):
			return permanentError{errors.New("bad")}
		}
		return nil
	}
	p := newTestPData(t, 0)
	hold(t, p, c, n)
	detachBoth(t, p)
	want := slices.Concat(uids(0, 2), uids(6, 8), uids(2, 5))
	if got := c.received(SignalLogs); !slices.Equal(got, want) {
		t.Errorf("received %v, want %v", got, want)
	}
	wantStats(t, p.Stats().Logs, n, n-1, map[string]uint64{causePermanent: 1})
	wantStats(t, p.Stats().Spans, n, n, nil)
}

// An error that leaves something else than a part of the batch says nothing:
// all of it is sent again.
func TestPDataUnclearRefusal(t *testing.T) {
	const n = 4
	foreign := numbered(99)
	noID := sampleMapping(t).logs(nil)
	noID.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	for name, left := range map[string]plog.Logs{
		"nothing":         plog.NewLogs(),
		"something else":  sampleMapping(t).logs(accesses(numbered(1), foreign)),
		"one record more": sampleMapping(t).logs(accesses(numbered(1), numbered(1))),
		"without an id":   noID,
	} {
		t.Run(name, func(t *testing.T) {
			c := &consumer{}
			var pushes [][]string
			c.refuse = func(_ context.Context, signal string, ids []string) error {
				if signal == SignalTraces {
					return nil
				}
				if pushes = append(pushes, ids); len(pushes) == 1 {
					return fmt.Errorf("next: %w", &unclearError{left})
				}
				return nil
			}
			p := newPData(PDataOptions{Logger: testLog(t), LeftLogs: func(err error) (plog.Logs, bool) {
				var u *unclearError
				if !errors.As(err, &u) {
					return plog.Logs{}, false
				}
				return u.left, true
			}}, testPace)
			defer p.Close()
			hold(t, p, c, n)
			detachBoth(t, p)
			if len(pushes) != 2 || !slices.Equal(pushes[1], uids(0, n)) {
				t.Errorf("pushes %v", pushes)
			}
			wantStats(t, p.Stats().Logs, n, n, nil)
		})
	}
}

// Two pipelines behind one signal, whose errors come joined: what one of them
// took must not be taken for what both took, and what one refuses for good is
// not lost for the other while that is busy.
func TestPDataSeveralConsumers(t *testing.T) {
	const n = 6
	bad := permanentError{errors.New("bad")}
	for name, c := range map[string]struct {
		first   func(ids []string) error
		dropped map[string]uint64
	}{
		"takes some": {func(ids []string) error { return refuseSome(ids[len(ids)-1]) }, nil},
		"takes one never": {func(ids []string) error {
			if slices.Contains(ids, uids(3, 4)[0]) {
				return bad
			}
			return nil
		}, map[string]uint64{causePermanent: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			first, second := &consumer{}, &consumer{}
			first.refuse = func(_ context.Context, _ string, ids []string) error { return c.first(ids) }
			times := 0
			second.refuse = func(context.Context, string, []string) error {
				if times++; times < 3 {
					return errBusy
				}
				if c.dropped == nil {
					first.calm()
				}
				return nil
			}
			p := newTestPData(t, 0)
			hold(t, p, &consumer{}, 0)
			detachBoth(t, p)
			deliverTo(t, p, 0, n)
			err := p.AttachLogs(sampleMapping(t), func(ctx context.Context, logs plog.Logs) error {
				err := errors.Join(first.pushLogs(ctx, logs), second.pushLogs(ctx, logs))
				if many := branches(err); len(many) == 1 {
					return many[0] // a Collector's fan-out joins two and more
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if left := p.Detach(t.Context(), SignalLogs); left != 0 {
				t.Errorf("%d left", left)
			}
			for _, uid := range uids(0, n) {
				if !slices.Contains(second.received(SignalLogs), uid) {
					t.Errorf("the second lacks %s", uid)
				}
			}
			lost := uint64(len(c.dropped))
			wantStats(t, p.Stats().Logs, n, n-lost, c.dropped)
			got := first.received(SignalLogs)
			slices.Sort(got)
			if got = slices.Compact(got); len(got) != n-int(lost) {
				t.Errorf("the first has %v", got)
			}
		})
	}
}

// The verdict on the errors of several consumers.
func TestPDataJudgesJoinedErrors(t *testing.T) {
	permanent := permanentError{errors.New("bad")}
	s := pusher[plog.Logs]{permanent: isPermanent}
	for _, c := range []struct {
		err  error
		want verdict
	}{
		{errBusy, away},
		{fmt.Errorf("next: %w", permanent), unfit},
		{errors.Join(errBusy, errBusy), away},
		{errors.Join(permanent, permanent), unfit},
		{fmt.Errorf("next: %w", errors.Join(permanent, errBusy)), doubtful},
	} {
		if got := s.judge(c.err); got != c.want {
			t.Errorf("%v: verdict %d, want %d", c.err, got, c.want)
		}
	}
}

// unclearError took nothing, whatever it says is left.
type unclearError struct{ left plog.Logs }

func (*unclearError) Error() string { return "unclear" }
