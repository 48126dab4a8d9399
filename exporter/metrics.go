package exporter

import (
	"maps"
	"math"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/journal"
)

// NodeState is what the caller knows of the node at the time of a collection.
// Its counters count from the Meter's start, or from later.
type NodeState struct {
	// Mode is how the sensor is attached: "lsm", "fentry", "kprobe" or "fanotify";
	// empty if nobody knows.
	Mode string
	// Wanted placements are those of the policy, Armed those that are watched.
	Wanted, Armed int
	// LackingContainers have fewer tokens than the policy wants.
	LackingContainers int
	// Lost are the events that were lost in the kernel, by cause; DecodeErrors
	// those that came and could not be read.
	Lost         map[string]uint64
	DecodeErrors uint64
	// PlantFailures are by reason.
	PlantFailures map[string]uint64
	// NRIBlindSeconds is the time without the container runtime, in seconds.
	NRIConnected    bool
	NRIReconnects   uint64
	NRIBlindSeconds float64
	// NRIDurations are how long the container runtime waited for its answers, by
	// request.
	NRIDurations map[string]Histogram
	// UnwatchedSeconds is the time before this start, at most, in which tokens
	// were planted and not watched.
	UnwatchedSeconds float64
	// Unresolved are the accesses that were told without what the API server says
	// of the token's pod, or a part of it, by reason.
	Unresolved map[string]uint64
	// ConfigReloads are the attempts to read the configuration again since the
	// start, by outcome: "applied", "unchanged" or "refused". None where somebody
	// else reads it.
	ConfigReloads map[string]uint64
	// Delivery is what became of the accesses of each signal: "logs", "traces". None
	// where nothing is sent.
	Delivery map[string]SignalStats
	// Journal has the journal's numbers; nil where there is none.
	Journal *journal.Stats
}

// Histogram counts durations. Bounds are the upper ones of the buckets, in seconds
// and in order; the last bucket has none, so there is one more. Seconds is the sum.
type Histogram struct {
	Bounds  []float64
	Buckets []uint64
	Seconds float64
}

func (h Histogram) count() uint64 {
	var n uint64
	for _, bucket := range h.Buckets {
		n += bucket
	}
	return n
}

// maxSeries bounds the combinations of attributes that accesses are counted by,
// and those for gaps. It is the limit that the metrics SDK has by default; a node reaches it
// with several hundred namespaces that come and go.
const maxSeries = 2000

// Meter counts accesses and gaps and gives all metrics of a node, cumulative since its
// start. A new Meter begins again at zero with a later start time, which is how
// a back end tells a restart. Safe for concurrent use.
type Meter struct {
	now   func() time.Time
	start time.Time

	mu       sync.Mutex
	accesses counts[series]
	lost     counts[lostSeries]
}

// counts are touches by the values of attributes. The zero value is ready for use.
type counts[K comparable] struct {
	by       map[K]uint64
	overflow uint64 // touches of combinations beyond maxSeries
}

func (c *counts[K]) add(key K, n uint64) {
	if c.by == nil {
		c.by = map[K]uint64{}
	}
	if _, known := c.by[key]; !known && len(c.by) >= maxSeries {
		c.overflow += n
		return
	}
	c.by[key] += n
}

func (c *counts[K]) clone() counts[K] { return counts[K]{maps.Clone(c.by), c.overflow} }

// NewMeter starts counting. now is the wall clock: time.Now in a program.
func NewMeter(now func() time.Time) *Meter {
	return &Meter{now: now, start: now()}
}

// series is one combination of the values of dimensionNames, in their order. An
// empty value is one that is left out.
type series [len(dimensionNames)]string

// lostSeries is series for gaps, by lostNames.
type lostSeries [len(lostNames)]string

// Observe counts an access, with all the touches that it stands for. It keeps
// no reference into a but to strings. Call it once for each access, however
// many outputs there are, and not again at its end.
func (m *Meter) Observe(a *beesting.Access) {
	var key series
	f := &facts{access: a}
	for i, r := range dimensionRows {
		key[i] = f.valid(r.key, r.value(f)).AsString()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.accesses.add(key, max(a.Count, 1))
}

// ObserveGap counts the touches that are missing, and is like Observe otherwise.
func (m *Meter) ObserveGap(g *beesting.Gap) {
	var key lostSeries
	f := &facts{access: &beesting.Access{Placement: g.Placement, Kind: g.Kind}, gap: g}
	for i, r := range lostRows {
		key[i] = f.valid(r.key, r.value(f)).AsString()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost.add(key, max(g.Count, 1))
}

// reading is what the rows of metricTable make their points of.
type reading struct {
	state    NodeState
	accesses counts[series]
	lost     counts[lostSeries]
}

// collection is all metrics at one moment, before any encoder.
type collection struct {
	resource  []attribute.KeyValue // sorted by key, no key twice
	version   string               // of the scope
	start, at time.Time
	metrics   []measured
}

// measured is a metric with its points, at least one.
type measured struct {
	metricRow
	points []point
}

// point is one value: h in a histogram, f where the row is of a fractional number,
// else n.
type point struct {
	attributes attribute.Set
	n          int64
	f          float64
	h          Histogram
}

// collect reads everything at one moment.
func (m *Meter) collect(mp *Mapping, s NodeState) collection {
	c := collection{resource: mp.nodeResource(), version: mp.version, start: m.start, at: m.now()}
	if c.at.Before(c.start) {
		c.at = c.start // the clock was set back; a point must not end before it starts
	}
	r := m.read(s)
	for _, row := range metricTable {
		if points := row.points(r); len(points) > 0 {
			c.metrics = append(c.metrics, measured{row, points})
		}
	}
	return c
}

func (m *Meter) read(s NodeState) *reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &reading{state: s, accesses: m.accesses.clone(), lost: m.lost.clone()}
}

// nodeResource describes the node that metrics are of: what the resource of a
// token of the host has, and an id for the instance. Prometheus tells series of
// different nodes apart by service.name and service.instance.id alone.
func (m *Mapping) nodeResource() []attribute.KeyValue {
	attrs := m.resource(&facts{access: &beesting.Access{}, node: m.node})
	instance := instanceID(m.node)
	set := attribute.NewSet(attrs...)
	if instance == "" || set.HasValue(semconv.ServiceInstanceIDKey) {
		return attrs
	}
	instance, _ = validString(instance)
	set = attribute.NewSet(append(attrs, semconv.ServiceInstanceID(instance))...)
	return set.ToSlice()
}

// instanceID is the machine's id, since node and host names are unique within
// a cluster at most.
func instanceID(n Node) string {
	for _, id := range []string{n.HostID, n.Name, n.HostName} {
		if id != "" {
			return id
		}
	}
	return ""
}

// clamped converts to OTLP's signed numbers.
func clamped(n uint64) int64 { return int64(min(n, math.MaxInt64)) } //nolint:gosec // bounded in the same line
