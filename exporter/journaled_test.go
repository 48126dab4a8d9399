package exporter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/beesting-otel/beesting/internal/journal"
)

func openJournal(t testing.TB, dir string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(dir, journal.Options{Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() }) // the test looked at the result of its own call
	return j
}

func otlpFrom(t testing.TB, j *journal.Journal, variables ...string) *OTLP {
	t.Helper()
	o, err := newOTLP(t.Context(), sampleMapping(t), OTLPOptions{Getenv: envOf(variables...), Logger: testLog(t), Journal: j}, testPace)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Shutdown(ended(errForgotten)) })
	return o
}

// What a process could not deliver, the next one does, in order and once.
func TestJournalOutlivesTheProcess(t *testing.T) {
	const n = 500
	dir, address := t.TempDir(), unusedAddress(t)
	variables := []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://" + address}
	for i := range 2 {
		j := openJournal(t, dir)
		o := otlpFrom(t, j, variables...)
		deliver(t, o, i*n/2, (i+1)*n/2)
		eventually(t, "an attempt", func() bool { return o.Stats().Logs.Retries > 0 })
		if s := o.Stats().Logs; s.Queued != uint64((i+1)*n/2) || s.Offered != s.Queued {
			t.Errorf("stats %+v", s)
		}
		if err := errors.Join(o.Shutdown(ended(errForgotten)), j.Close()); err != nil {
			t.Errorf("nothing is lost, and Shutdown says %v", err)
		}
	}
	b := &backend{}
	b.serveGRPC(t, address)
	j := openJournal(t, dir)
	o := otlpFrom(t, j, variables...)
	deliver(t, o, n, n+1)
	drain(t, o)
	if got := b.received("logs"); !slices.Equal(got, uids(0, n+1)) {
		t.Errorf("%d logs, not the %d in order", len(got), n+1)
	}
	if got := b.received("spans"); !slices.Equal(got, spanIDs(0, n+1)) {
		t.Errorf("%d spans, not the %d in order", len(got), n+1)
	}
	if s := j.Stats(); s.Appended != 1 || s.Dropped != 0 || s.DeadLetters != 0 {
		t.Errorf("journal %+v", s)
	}
}

// An access that goes on is a log record in one process and a span in another; a
// gap is a log record.
func TestJournalEnds(t *testing.T) {
	dir, b := t.TempDir(), &backend{}
	variables := []string{"OTEL_EXPORTER_OTLP_ENDPOINT", b.serveHTTP(t)}
	j := openJournal(t, dir)
	o := otlpFrom(t, j, variables...)
	if err := errors.Join(o.Deliver(t.Context(), ongoing(1)), o.Gap(t.Context(), sampleGap())); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the log records", func() bool { return o.Stats().Logs.Delivered == 2 })
	wantStats(t, o.Stats().Spans, 0, 0, nil)
	if err := errors.Join(o.Shutdown(t.Context()), j.Close()); err != nil {
		t.Fatal(err)
	}
	j = openJournal(t, dir)
	o = otlpFrom(t, j, variables...)
	if err := o.End(t.Context(), endOfOngoing(1)); err != nil {
		t.Fatal(err)
	}
	drain(t, o)
	if got := b.received("spans"); !slices.Equal(got, spanIDs(1, 2)) || len(b.received("logs")) != 2 {
		t.Errorf("spans %v, logs %v", got, b.received("logs"))
	}
}

// What a back end never takes is a dead letter, and can be sent again.
func TestJournalDeadLetters(t *testing.T) {
	protocols(t, func(t *testing.T, b *backend, variables []string) {
		bad := uids(3, 4)[0]
		refuses := true
		b.refuse = func(signal string, ids []string) *refusal {
			if refuses && signal == "logs" && slices.Contains(ids, bad) {
				return &refusal{grpc: status.Error(codes.InvalidArgument, "no"), http: 400}
			}
			return nil
		}
		j := openJournal(t, t.TempDir())
		o := otlpFrom(t, j, variables...)
		deliver(t, o, 0, 10)
		eventually(t, "the rest", func() bool { return len(b.received("logs")) == 9 && len(b.received("spans")) == 10 })
		eventually(t, "the dead letter", func() bool { return j.Stats().DeadLetters == 1 })
		b.mu.Lock()
		refuses = false
		b.mu.Unlock()
		if n, err := j.Resend(); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		drain(t, o)
		if got := b.received("logs"); len(got) != 10 || got[9] != bad || len(b.received("spans")) != 10 {
			t.Errorf("logs %v", got)
		}
	})
}

// A signal that is turned off is counted as before, and the journal has it all the
// same.
func TestJournalTurnedOff(t *testing.T) {
	b := &backend{}
	j := openJournal(t, t.TempDir())
	o := otlpFrom(t, j, "OTEL_EXPORTER_OTLP_ENDPOINT", b.serveHTTP(t), "OTEL_TRACES_EXPORTER", "none")
	deliver(t, o, 0, 5)
	drain(t, o)
	wantStats(t, o.Stats().Spans, 5, 0, map[string]uint64{causeDisabled: 5})
	if len(b.received("logs")) != 5 || j.Stats().Appended != 5 {
		t.Errorf("logs %v, journal %+v", b.received("logs"), j.Stats())
	}
}

// The receiver's way out is the same: detached, attached again, forgotten, and made
// anew on the same journal.
func TestPDataFromAJournal(t *testing.T) {
	j := openJournal(t, t.TempDir())
	made := func() *PData {
		p := newPData(PDataOptions{Logger: testLog(t), Journal: j, Permanent: isPermanent, LeftLogs: leftLogs, LeftTraces: leftTraces}, testPace)
		t.Cleanup(func() { p.Close() })
		return p
	}
	c := &consumer{}
	p := made()
	attachBoth(t, p, c)
	deliverTo(t, p, 0, 10)
	detachBoth(t, p)
	deliverTo(t, p, 10, 20)
	p.Resize(5) // of queues that aren't there
	if s := p.Stats(); s.Logs.Queued != 10 || s.Spans.Queued != 10 {
		t.Errorf("queued %+v", s)
	}
	if a, g := p.Owed(); a != nil || g != nil {
		t.Errorf("owed %v, %v: the journal has it", a, g)
	}
	if lost := p.Close(); lost != 0 {
		t.Errorf("%d are lost", lost)
	}
	p = made()
	deliverTo(t, p, 20, 30)
	attachBoth(t, p, c)
	deliverTo(t, p, 30, 40)
	detachBoth(t, p)
	wantArrived(t, c, 40)
	deliverTo(t, p, 40, 45)
	if lost := p.Forget(SignalTraces); lost != 5 {
		t.Errorf("%d spans are forgotten", lost)
	}
	attachBoth(t, p, c)
	deliverTo(t, p, 45, 50)
	detachBoth(t, p)
	if got := c.received(SignalLogs); !slices.Equal(got, uids(0, 50)) {
		t.Errorf("%d logs", len(got))
	}
	if got, want := c.received(SignalTraces), append(spanIDs(0, 40), spanIDs(45, 50)...); !slices.Equal(got, want) {
		t.Errorf("%d spans, want %d", len(got), len(want))
	}
}

// BenchmarkJournal is what an access costs from Deliver to the cursor, beside the
// queue in memory, and how many a second that makes.
func BenchmarkJournal(b *testing.B) {
	none := func(context.Context, []item) (outcome, error) { return outcome{verdict: delivered}, nil }
	for _, durable := range []bool{false, true} {
		b.Run(fmt.Sprintf("journal=%t", durable), func(b *testing.B) {
			p := defaultPace()
			d := newDelivery("logs", testLog(b), p, newQueue(1<<20))
			put := func(it item) error { return putAll(it, d) }
			if durable {
				j := openJournal(b, b.TempDir())
				d = newJournaled(j, cursorLogs, "logs", testLog(b), p)
				k := keeper{journal: j}
				put = func(it item) error { return k.keep(it, false, d) }
			}
			if err := d.attach(senderFunc(none)); err != nil {
				b.Fatal(err)
			}
			defer d.end()
			it := accessItem(numbered(1))
			b.ReportAllocs()
			for b.Loop() {
				if err := put(it); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accesses/s")
		})
	}
}

type senderFunc func(context.Context, []item) (outcome, error)

func (f senderFunc) send(ctx context.Context, batch []item) (outcome, error) { return f(ctx, batch) }
func (f senderFunc) close(context.Context) error                             { return nil }

// What may not be told of arguments is not on the disk either, and the record says
// the same as without a journal.
func TestJournalHoldsNoSecrets(t *testing.T) {
	a := sampleAccess()
	a.Process.Args = []string{"mysql", "--password=hunter2", "-h", "db"}
	for mode, want := range map[ArgsMode][]string{
		ArgsRedacted: {"mysql", "--password=[redacted]", "-h", "db"}, ArgsFull: a.Process.Args, ArgsOff: nil,
	} {
		m := mustMapping(t, MappingOptions{Args: mode, Node: Node{HostName: "h"}})
		j := openJournal(t, t.TempDir())
		c, err := j.Cursor(cursorLogs, shapesOf(cursorLogs)...)
		if err != nil {
			t.Fatal(err)
		}
		if err := NewRecorder(j, m).Deliver(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		entries, err := c.Next(t.Context(), 1)
		if err != nil || !slices.Equal(entries[0].Access.Process.Args, want) {
			t.Errorf("%s: %v, %v", mode, entries, err)
		}
		once, twice := sanitiseArgs(a.Process.Args, mode, false), sanitiseArgs(entries[0].Access.Process.Args, mode, false)
		if !slices.Equal(once.args, twice.args) || once.redacted != twice.redacted {
			t.Errorf("%s: told %+v, from the journal %+v", mode, once, twice)
		}
	}
	if a.Process.Args[1] != "--password=hunter2" {
		t.Error("the caller's access was changed")
	}
}
