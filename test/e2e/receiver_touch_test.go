//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/test/collector"
)

// touchOnce has the fence's token opened from the host's side, under the next
// number.
func (s *receiverSuite) touchOnce() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.turns.touch(s.fence.onHost(awsPath), s.made); err != nil {
		return err
	}
	s.made++
	return nil
}

// touches is how many were made so far.
func (s *receiverSuite) touches() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made
}

// touchMany makes n touches, one each interval, and says how long it took.
func (s *receiverSuite) touchMany(t *testing.T, n int, interval time.Duration) (from, to int) {
	t.Helper()
	begin := time.Now()
	r := s.startTouching(t, interval, n)
	from, to = r.wait(t)
	took := time.Since(begin)
	t.Logf("%d touches in %.1f s, %.0f a second", to-from, took.Seconds(), float64(to-from)/took.Seconds())
	if to-from != n {
		t.Fatalf("%d touches, want %d", to-from, n)
	}
	return from, to
}

// touching touches at a steady pace beside what a scenario does.
type touching struct {
	from, to int
	longest  time.Duration // between two touches
	stop     func()        // told to end; may be called again
	quit     chan struct{}
	done     chan struct{}
	err      error
}

// startTouching makes most touches, or goes on until told to end if most is 0,
// and no longer than the test.
func (s *receiverSuite) startTouching(t *testing.T, interval time.Duration, most int) *touching {
	t.Helper()
	r := &touching{quit: make(chan struct{}), done: make(chan struct{})}
	r.stop = sync.OnceFunc(func() { close(r.quit) })
	t.Cleanup(func() {
		r.stop()
		<-r.done
	})
	go func() {
		defer close(r.done)
		r.from = s.touches()
		next := time.Now()
		last := next
		for n := 0; most == 0 || n < most; n++ {
			if r.err = s.touchOnce(); r.err != nil {
				break
			}
			now := time.Now()
			r.longest = max(r.longest, now.Sub(last))
			last = now
			next = next.Add(interval)
			select {
			case <-r.quit:
				r.to = s.touches()
				return
			case <-time.After(time.Until(next)):
			}
		}
		r.to = s.touches()
	}()
	return r
}

// end stops it and returns the range of its touches.
func (r *touching) end(t *testing.T) (from, to int) {
	t.Helper()
	r.stop()
	return r.wait(t)
}

func (r *touching) wait(t *testing.T) (from, to int) {
	t.Helper()
	<-r.done
	if r.err != nil {
		t.Fatalf("touch %d: %v", r.to, r.err)
	}
	return r.from, r.to
}

// arrival is a log record or a span, as far as it is accounted for.
type arrival struct {
	touch     int // number of a touch, -1 for an access of another kind
	count     int // touches that it stands for
	gap       int // of a gap instead, touches that are missing
	container string
	attrs     map[string]any
}

func newArrival(resource, attrs map[string]any) arrival {
	a := arrival{touch: -1, attrs: attrs}
	if n, ok := attrs["honeytoken.access.count"].(int64); ok {
		a.count = int(n)
	}
	if n, ok := attrs["honeytoken.gap.count"].(int64); ok {
		a.gap = int(n)
	}
	a.container, _ = resource["container.id"].(string)
	comm, _ := attrs["honeytoken.process.comm"].(string)
	if digits, ok := strings.CutPrefix(comm, touchPrefix); ok {
		if n, err := strconv.Atoi(digits); err == nil {
			a.touch = n
		}
	}
	return a
}

func (a arrival) String() string {
	return fmt.Sprintf("%v by %v in %.12s", a.attrs["honeytoken.name"], a.attrs["process.command_args"], a.container)
}

// arrive keeps what has come, once: after a kill, what was acknowledged last comes
// again, with the same id.
func (s *receiverSuite) arrive(signal, id string, a arrival) {
	s.looked[signal]++
	if s.ids[signal+id] {
		s.again++
		return
	}
	s.ids[signal+id] = true
	s.arrived[signal] = append(s.arrived[signal], a)
}

// look brings s.arrived up to date.
func (s *receiverSuite) look(logs []collector.Log, spans []collector.Span) {
	for _, l := range logs[s.looked["logs"]:] {
		id, _ := l.Attributes["log.record.uid"].(string)
		s.arrive("logs", id, newArrival(l.Resource, l.Attributes))
	}
	for _, sp := range spans[s.looked["traces"]:] {
		s.arrive("traces", sp.SpanID, newArrival(sp.Resource, sp.Attributes))
	}
}

// settle makes one more touch and waits until it has come through: everything
// that happened before has too, since each signal is delivered in order. It
// returns what arrived since the last time, by signal.
func (s *receiverSuite) settle(t *testing.T, signals ...string) map[string][]arrival {
	t.Helper()
	if err := s.touchOnce(); err != nil {
		t.Fatal(err)
	}
	mark := s.touches() - 1
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	err := s.back.Wait(ctx, func(logs []collector.Log, spans []collector.Span) bool {
		s.look(logs, spans)
		for _, signal := range signals {
			if s.until(signal, mark) < 0 {
				return false
			}
		}
		return true
	})
	if err != nil {
		t.Fatalf("touch %d as %v: %v (so far %d logs, %d spans)\n%s", mark, signals, err,
			len(s.arrived["logs"]), len(s.arrived["traces"]), s.col.Tail())
	}
	out := map[string][]arrival{}
	for _, signal := range signals {
		at := s.until(signal, mark)
		out[signal] = s.arrived[signal][s.taken[signal]:at]
		s.taken[signal] = at + 1
	}
	return out
}

// until is the place of a touch among what has arrived and is not accounted for,
// -1 if it isn't there.
func (s *receiverSuite) until(signal string, touch int) int {
	from := s.taken[signal]
	at := slices.IndexFunc(s.arrived[signal][from:], func(a arrival) bool { return a.touch == touch })
	if at < 0 {
		return -1
	}
	return from + at
}

// inOrder checks that every touch of a range that arrived did so once and in
// its place, and returns the numbers of those that did not, and what else
// arrived.
func inOrder(t *testing.T, signal string, got []arrival, from, to int) (missing []int, others []arrival) {
	t.Helper()
	next := from
	for _, a := range got {
		if a.count != 1 {
			t.Errorf("%s: touch %d stands for %d touches, want 1", signal, a.touch, a.count)
		}
		switch {
		case a.touch < 0:
			others = append(others, a)
		case a.touch < next:
			t.Errorf("%s: touch %d again, or late: %d were next", signal, a.touch, next)
		case a.touch >= to:
			t.Errorf("%s: touch %d, and only those from %d to %d were made", signal, a.touch, from, to-1)
		default:
			for ; next < a.touch; next++ {
				missing = append(missing, next)
			}
			next++
		}
	}
	for ; next < to; next++ {
		missing = append(missing, next)
	}
	return missing, others
}

// allArrived settles and checks that each touch of a range arrived once, in
// order, as a log record and as a span, and that nobody else touched anything.
func (s *receiverSuite) allArrived(t *testing.T, from, to int) {
	t.Helper()
	for signal, got := range s.settle(t, "logs", "traces") {
		missing, others := inOrder(t, signal, got, from, to)
		if len(missing) > 0 {
			t.Errorf("%s: %d of %d touches are missing, %s", signal, len(missing), to-from, ranges(missing))
		}
		if len(others) > 0 {
			t.Errorf("%s: accesses that nobody made: %v", signal, others)
		}
	}
}

// pinned says whether the Collector that runs leaves tokens watched when it ends.
func (s *receiverSuite) pinned() bool {
	return s.col.Count("pinned: when this process ends, tokens stay watched") > 0
}

// withoutGaps takes the gaps out of what arrived, and returns how many touches
// they are.
func withoutGaps(t *testing.T, got []arrival) (rest []arrival, missing int) {
	t.Helper()
	for _, a := range got {
		if a.gap == 0 {
			rest = append(rest, a)
			continue
		}
		missing += a.gap
		if cause := a.attrs["honeytoken.loss.cause"]; cause != "restart" {
			t.Errorf("a gap of %d because of %v, want restart", a.gap, cause)
		}
	}
	return rest, missing
}

// toldOrMissing settles, waits for gaps, and checks that the touches of a range
// that arrived as log records and those that a gap tells are all that were made.
func (s *receiverSuite) toldOrMissing(t *testing.T, from, to int) {
	t.Helper()
	var told []arrival
	missing := 0
	for begin := time.Now(); ; time.Sleep(time.Second) {
		rest, more := withoutGaps(t, s.settle(t, "logs", "traces")["logs"])
		told, missing = append(told, rest...), missing+more
		if len(told)+missing >= to-from || time.Since(begin) > patience {
			break
		}
	}
	absent, others := inOrder(t, "logs", told, from, to)
	if len(others) > 0 {
		t.Errorf("accesses that nobody made: %v", others)
	}
	if len(absent) != missing {
		t.Errorf("of %d touches %s did not arrive, and the gaps tell of %d", to-from, ranges(absent), missing)
	}
	t.Logf("%d touches arrived, %d are told as missing", to-from-len(absent), missing)
}

// touched runs a command in a container that opens one token, once, and checks
// that just this arrives, as a log record and as a span.
func (s *receiverSuite) touched(t *testing.T, b *box, token string, command ...string) {
	t.Helper()
	s.exec(t, b, command...)
	for signal, got := range s.settle(t, "logs", "traces") {
		if len(got) != 1 || got[0].container != b.id || got[0].attrs["honeytoken.name"] != token {
			t.Errorf("%s: %v arrived, want one access to %s in pod %s", signal, got, token, b.spec.Name)
		}
	}
}

// ranges is a list of numbers for a message.
func ranges(list []int) string {
	var out []string
	for i := 0; i < len(list); {
		j := i
		for j+1 < len(list) && list[j+1] == list[j]+1 {
			j++
		}
		if i == j {
			out = append(out, strconv.Itoa(list[i]))
		} else {
			out = append(out, fmt.Sprintf("%d–%d", list[i], list[j]))
		}
		i = j + 1
	}
	if len(out) > 10 {
		out = append(out[:10], fmt.Sprintf("… (%d runs)", len(out)))
	}
	return strings.Join(out, ", ")
}
