package collectorreceiver

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
)

// refusedFor is how long a pipeline may refuse before that is a trouble: a
// memory limiter does so for moments.
const refusedFor = 10 * time.Second

// How long after a component of the receiver has come or gone the Collector may be
// starting or shutting down others. After one has gone it is probably ending, and
// takes the time that other components need.
const (
	comes = 3 * time.Second
	goes  = time.Minute
)

// partRuntime is what can be in trouble besides the signals.
const partRuntime = "runtime"

// health makes one component status of the troubles of several parts and
// reports it for every component, when it changes. Safe for concurrent use.
type health struct {
	now   func() time.Time
	after time.Duration // refusedFor, but for tests
	// comes and goes are the constants, but for tests.
	comes, goes time.Duration

	mu       sync.Mutex
	hosts    map[*member]component.Host
	troubles map[string]error
	since    map[string]time.Time // of the refusals of a signal's pipeline
	told     string               // the troubled parts that were last reported
	broken   error                // nothing is reported after it
	busy     time.Time            // until then the Collector may be
	last     *time.Timer          // says the last word
}

func newHealth(now func() time.Time) *health {
	return &health{now: now, after: refusedFor, comes: comes, goes: goes, hosts: map[*member]component.Host{}, troubles: map[string]error{}, since: map[string]time.Time{}}
}

// add begins to report for a component, with what has been reported for others.
// The error is the one that fatal was called with: during Start it must be told
// by Start, as nobody takes a status up before everything has been started.
func (h *health) add(m *member, host component.Host) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.broken != nil {
		return h.broken
	}
	h.hosts[m] = host
	h.busy = h.now().Add(h.comes)
	if len(h.troubles) > 0 {
		componentstatus.ReportStatus(host, h.event())
	}
	return nil
}

// remove ends reporting for a component: it is being shut down, and what is
// reported then would contradict the Collector.
func (h *health) remove(m *member) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.hosts, m)
	h.busy = h.now().Add(h.goes)
}

// clear forgets the troubles of a signal whose pipeline has gone: they are not
// those of the others.
func (h *health) clear(signal string) {
	h.delivery(signal, nil)
}

// runtime notes that the container runtime is away, or no longer (nil).
func (h *health) runtime(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		delete(h.troubles, partRuntime)
	} else {
		h.troubles[partRuntime] = err
	}
	h.report()
}

// delivery notes what became of an attempt to hand over to a pipeline.
func (h *health) delivery(signal string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		delete(h.since, signal)
		delete(h.troubles, signal)
		h.report()
		return
	}
	if _, lasting := h.since[signal]; !lasting {
		h.since[signal] = h.now()
	}
	if h.now().Sub(h.since[signal]) >= h.after {
		h.troubles[signal] = err
		h.report()
	}
}

// errNoAnswer says that a pipeline holds the receiver up, as a full queue with
// block_on_overflow does.
var errNoAnswer = errors.New("the pipeline does not answer")

// push watches over a hand-over to a pipeline until the result is called with
// what the pipeline said.
func (h *health) push(signal string) (done func(error)) {
	answered := false // guarded by h.mu: the timer may have fired and wait for that
	late := time.AfterFunc(h.after, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if answered {
			return
		}
		h.troubles[signal] = fmt.Errorf("%s: %w", signal, errNoAnswer)
		h.report()
	})
	return func(err error) {
		late.Stop()
		h.mu.Lock()
		answered = true
		h.mu.Unlock()
		h.delivery(signal, err)
	}
}

// report tells the status when the set of troubled parts is not what was last
// told: a new wording of the same trouble is no change.
func (h *health) report() {
	now := ""
	for _, part := range slices.Sorted(maps.Keys(h.troubles)) {
		now += part + " "
	}
	if now == h.told || h.broken != nil {
		return
	}
	h.told = now
	for _, host := range h.hosts {
		componentstatus.ReportStatus(host, h.event())
	}
}

// event is the status of the moment.
func (h *health) event() *componentstatus.Event {
	if len(h.troubles) == 0 {
		return componentstatus.NewEvent(componentstatus.StatusOK)
	}
	errs := make([]error, 0, len(h.troubles))
	for _, part := range slices.Sorted(maps.Keys(h.troubles)) {
		errs = append(errs, h.troubles[part])
	}
	return componentstatus.NewRecoverableErrorEvent(errors.Join(errs...))
}

// fatal ends the Collector: there is nothing more to be seen by this process, and
// one that is blind must not look alive. One component says so, since the
// Collector takes up just one such word.
//
// It is said later, when no component has come or gone for a while. The Collector's
// reporter keeps its mutex until the word is taken up, which only its main loop
// does (otelcol.Collector.Run, 0.165). While that one starts or shuts down
// components it reports their status itself: it would wait for the mutex, and the
// word for it. Until then the status is a recoverable error, the one that a fatal
// one may follow.
func (h *health) fatal(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broken = err
	for _, host := range h.hosts {
		componentstatus.ReportStatus(host, componentstatus.NewRecoverableErrorEvent(err))
	}
	h.last = time.AfterFunc(max(h.busy.Sub(h.now()), 0), h.end)
}

// end says the last word. Where all components have gone there is nobody to say it.
func (h *health) end() {
	h.mu.Lock()
	if wait := h.busy.Sub(h.now()); wait > 0 {
		h.last = time.AfterFunc(wait, h.end)
		h.mu.Unlock()
		return
	}
	hosts := slices.Collect(maps.Values(h.hosts))
	h.mu.Unlock()
	for i, host := range hosts {
		if i > 0 {
			componentstatus.ReportStatus(host, componentstatus.NewPermanentErrorEvent(h.broken))
		}
	}
	if len(hosts) > 0 {
		componentstatus.ReportStatus(hosts[0], componentstatus.NewFatalErrorEvent(h.broken))
	}
}

// close gives up the last word, if it has not been said.
func (h *health) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.hosts)
	if h.last != nil {
		h.last.Stop()
	}
}
