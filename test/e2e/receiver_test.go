//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"regexp"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/test/collector"
)

// TestReceiver runs the scenarios of the Collector receiver, in this order, on
// one containerd, with the Collector that `make collector` builds.
func TestReceiver(t *testing.T) {
	s := newReceiverSuite(t)
	scenarios := []struct {
		name string
		run  func(*receiverSuite, *testing.T)
	}{
		{"Parity", (*receiverSuite).parity},
		{"BackPressure", (*receiverSuite).backPressure},
		{"BackPressureBeyondBound", (*receiverSuite).beyondBound},
		{"EndWhileRefused", (*receiverSuite).endWhileRefused},
		{"Restart", (*receiverSuite).restart},
		{"FullReload", (*receiverSuite).fullReload},
		{"ContainersDuringReload", (*receiverSuite).containersMeanwhile},
		{"Mistake", (*receiverSuite).mistake},
		{"PartialReload", (*receiverSuite).partialReload},
		{"PipelineMembership", (*receiverSuite).membership},
	}
	failed := false
	for _, sc := range scenarios {
		ok := t.Run(sc.name, func(t *testing.T) {
			begin := time.Now()
			again, crashes := s.again, s.crashes
			s.ready(t, sc.name != "Parity", failed)
			sc.run(s, t)
			if n := s.again - again; n > 0 {
				t.Logf("%d log records and spans came again under the same id", n)
				if s.crashes == crashes {
					t.Error("and the Collector was not killed")
				}
			}
			t.Logf("took %.1f s", time.Since(begin).Seconds())
		})
		if !ok {
			t.Log(s.col.Tail())
		}
		failed = failed || !ok
	}
	s.stop(t)
}

// ready gives a scenario that was chosen alone, or that follows one that
// failed, what the others leave behind.
func (s *receiverSuite) ready(t *testing.T, fence, afterFailure bool) {
	t.Helper()
	s.back.SetAway(false)
	if afterFailure {
		s.crashes++
		if err := s.col.Kill(); err != nil {
			t.Fatal(err)
		}
		s.start(t, usual())
	}
	if fence && s.fence == nil {
		s.startFence(t)
	}
	if fence && afterFailure {
		s.settle(t, "logs", "traces") // what is left of it is not this one's
	}
}

// parity: what the receiver sends for an access is what the agent sends, to the
// letter: the golden files are those of the agent's scenario Collector. The
// Collector that receives counts one request for each signal, and gets metrics.
func (s *receiverSuite) parity(t *testing.T) {
	b := s.runForever(t, pod{
		ns: "shop", name: "web-7d4b9-x2xkp", uid: "0c7f1a52-53f4-4a44-9d58-2f6f7f0f6a01",
		labels: map[string]string{"app.kubernetes.io/name": "web"},
	})
	s.exec(t, b, "cat", awsPath)
	got, err := received(t.Context(), s.back)
	if err != nil {
		t.Fatalf("%v\n%s", err, s.col.Tail())
	}
	sameIDs(t, got["logs"], got["traces"])
	golden(t, "access-log.json", got["logs"])
	golden(t, "access-span.json", got["traces"])
	oneRequest(t, s.back)
	s.metricsArrive(t, b)
	// Nothing of this is a numbered touch.
	for _, signal := range []string{"logs", "traces"} {
		s.taken[signal] = 1
	}
	s.startFence(t)
	s.allArrived(t, s.touches(), s.touches())
}

// metricsArrive waits for the count of the one access.
func (s *receiverSuite) metricsArrive(t *testing.T, b *box) {
	t.Helper()
	var last []collector.Point
	eventually(t, "a metric that counts the access", func() bool {
		points, err := s.back.Points()
		if err != nil {
			t.Fatal(err)
		}
		last = nil
		for _, p := range points {
			if p.Name == "honeytoken.accesses" {
				last = append(last, p)
			}
		}
		return len(last) > 0
	})
	for _, p := range last {
		if p.Value != 1 || p.Kind != "sum" || !p.Monotonic || p.Temporality != 2 {
			t.Errorf("honeytoken.accesses is %+v, want a cumulative monotonic sum of 1", p)
		}
		if p.Resource["k8s.node.name"] != "node-1" || p.Resource["container.id"] != nil {
			t.Errorf("its resource is %v, want the node", p.Resource)
		}
		if p.Attributes["honeytoken.name"] != "aws" {
			t.Errorf("its attributes are %v, of a touch of aws in pod %s", p.Attributes, b.spec.Name)
		}
	}
}

// backPressure: the pipeline refuses for half a minute, with the answer that
// means "later", while 100 accesses a second come in. Then it takes them, and
// every one arrives, once, in order, in both signals.
func (s *receiverSuite) backPressure(t *testing.T) {
	const n, interval = 3000, 10 * time.Millisecond
	idle, err := s.col.Usage()
	if err != nil {
		t.Fatal(err)
	}
	logs, traces := s.back.Refused("logs"), s.back.Refused("traces")
	s.back.SetAway(true)
	from, to := s.touchMany(t, n, interval)
	m := s.waitMetrics(t, "the accesses to be queued", queuedAre(n))
	if v, _ := m.Sum(metricDropped); v != 0 {
		t.Errorf("%v accesses dropped, want none", v)
	}
	full, err := s.col.Usage()
	if err != nil {
		t.Fatal(err)
	}
	refused := [2]int{s.back.Refused("logs") - logs, s.back.Refused("traces") - traces}
	if refused[0] < 2 || refused[1] < 2 {
		t.Errorf("%d requests with logs and %d with spans were refused, want several of both", refused[0], refused[1])
	}
	s.back.SetAway(false)
	done := timed(t, "delivery of what was queued")
	s.allArrived(t, from, to)
	done()
	t.Logf("refused: %d requests with logs, %d with spans; RSS %d KiB idle, %d KiB with %d accesses queued",
		refused[0], refused[1], idle.RSSKiB, full.RSSKiB, n)
}

// beyondBound: the same for longer than the queue's bound lasts. What the queue
// had room for arrives once and in order, in both signals. Each access beyond is
// counted as put off, once, and none as dropped: the kernel has counted the
// touches, so once there is room they are told as repeats of those processes, and
// the sum is that of the touches made, exactly.
func (s *receiverSuite) beyondBound(t *testing.T) {
	const n, bound, interval = 1000, 250, 10 * time.Millisecond
	s.stop(t)
	v := usual()
	v.queue, v.inMemory = bound, true
	s.start(t, v)
	s.allArrived(t, s.touches(), s.touches()) // the pipeline is empty
	s.back.SetAway(true)
	from, to := s.touchMany(t, n, interval)
	s.waitMetrics(t, "the queues to be full and the rest counted", func(m collectorMetrics) bool {
		deferred, _ := m.Sum(metricDeferred)
		return queuedAre(bound)(m) && deferred >= n-bound
	})
	time.Sleep(3 * time.Second) // the same is refused once a second
	m := s.waitMetrics(t, "the queues to be full still", queuedAre(bound))
	if deferred, _ := m.Sum(metricDeferred); deferred != n-bound {
		t.Errorf("%v accesses are counted as put off, want %d", deferred, n-bound)
	}
	if dropped, _ := m.Sum(metricDropped); dropped != 0 {
		t.Errorf("%v log records and spans are counted as dropped, want none", dropped)
	}
	beyond := s.taken["traces"] + bound
	s.back.SetAway(false)
	got := s.arriveInSum(t, n)
	if spans := s.arrived["traces"]; len(spans) < beyond {
		t.Errorf("%d spans arrived, want those of the %d that were queued", len(spans)-(beyond-bound), bound)
	} else if missing, _ := inOrder(t, "traces", spans[beyond-bound:beyond], from, from+bound); len(missing) > 0 {
		t.Errorf("of the spans of the %d that were queued, %s are missing", bound, ranges(missing))
	}
	if missing, _ := inOrder(t, "logs", got[:bound], from, from+bound); len(missing) > 0 {
		t.Errorf("of the %d that were queued, %s are missing", bound, ranges(missing))
	}
	for _, a := range got[bound:] {
		if a.count <= 1 || a.touch < from+bound || a.touch >= to {
			t.Errorf("%v of touch %d stands for %d touches, want repeats of those that had no room", a, a.touch, a.count)
		}
	}
	t.Logf("%d accesses that stand for %d touches came after the %d that were queued", len(got)-bound, n-bound, bound)
	s.stop(t) // the log's last words on it
	if deferred := s.lossesInLog(t, "accesses not delivered"); deferred[""] != n-bound {
		t.Errorf("the log tells of %v accesses put off, want %d", deferred, n-bound)
	}
	lost := s.lossesInLog(t, "telemetry lost")
	s.start(t, usual())
	s.settle(t, "logs", "traces") // what is left of it is not the next one's
	// The queue of spans may be full for longer than that of log records. What that
	// costs is known: each log record has a span, or one is told to be lost.
	spans := len(s.arrived["traces"]) - (beyond - bound) - 1
	if spans+lost["traces"] != len(got) || len(lost) > 1 || len(lost) == 1 && lost["traces"] == 0 {
		t.Errorf("%d log records, %d spans, and the log tells of %v lost", len(got), spans, lost)
	}
}

// arriveInSum waits until log records that stand for n touches have arrived, and
// returns them.
func (s *receiverSuite) arriveInSum(t *testing.T, n int) []arrival {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	var got []arrival
	sum := 0
	err := s.back.Wait(ctx, func(logs []collector.Log, spans []collector.Span) bool {
		s.look(logs, spans)
		got, sum = s.arrived["logs"][s.taken["logs"]:], 0
		for _, a := range got {
			sum += a.count
		}
		return sum >= n
	})
	if err != nil || sum != n {
		t.Fatalf("%d log records that stand for %d touches, want %d touches: %v\n%s", len(got), sum, n, err, s.col.Tail())
	}
	for _, signal := range []string{"logs", "traces"} {
		s.taken[signal] = len(s.arrived[signal])
	}
	return got
}

// endWhileRefused: the Collector is ended while the pipeline refuses. It ends
// with 0 and not long after its time for delivery, and says how many accesses
// are left. The next one delivers all of them.
func (s *receiverSuite) endWhileRefused(t *testing.T) {
	const n = 100
	s.allArrived(t, s.touches(), s.touches())
	s.back.SetAway(true)
	from, to := s.touchMany(t, n, pace)
	s.waitMetrics(t, "the accesses to be queued", queuedAre(n))
	begin := time.Now()
	s.stop(t)
	if took := time.Since(begin); took > 2*shutdownTimeout {
		t.Errorf("the end took %.1f s; shutdown_timeout is %v", took.Seconds(), shutdownTimeout)
	}
	s.lossesLogged(t, "telemetry not delivered", n)
	s.back.SetAway(false)
	s.start(t, usual())
	s.allArrived(t, from, to)
}

// queuedAre says whether so many accesses wait in both signals.
func queuedAre(n float64) func(collectorMetrics) bool {
	return func(m collectorMetrics) bool {
		logs, _ := m.Sum(metricQueued, "signal", "logs")
		traces, _ := m.Sum(metricQueued, "signal", "traces")
		return logs == n && traces == n
	}
}

// lossesLogged checks how many accesses of each signal the Collector's log tells
// of in lines with a message.
func (s *receiverSuite) lossesLogged(t *testing.T, message string, want int) {
	t.Helper()
	sum := s.lossesInLog(t, message)
	if len(sum) != 2 || sum["logs"] != want || sum["traces"] != want {
		t.Errorf("%q: the log tells of %v accesses, want %d of each signal", message, sum, want)
	}
}

// lossesInLog adds them up.
func (s *receiverSuite) lossesInLog(t *testing.T, message string) map[string]int {
	t.Helper()
	line := regexp.MustCompile(message + `[^\t{]*\t(\{.*\})`)
	sum := map[string]int{}
	for _, m := range line.FindAllStringSubmatch(s.col.From(0), -1) {
		var fields struct {
			Signal   string `json:"signal"`
			Accesses int    `json:"accesses"`
		}
		if err := json.Unmarshal([]byte(m[1]), &fields); err != nil {
			t.Fatalf("%s: %v", m[0], err)
		}
		sum[fields.Signal] += fields.Accesses
	}
	return sum
}
