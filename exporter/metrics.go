package exporter

import (
	"math"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/beesting-otel/beesting"
)

// NodeState is what the caller knows of the node at the time of a collection.
// Its counters count from the Meter's start, or from later.
type NodeState struct {
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
	// UnwatchedSeconds is the time before this start, at most, in which tokens
	// were planted and not watched.
	UnwatchedSeconds float64
}

// maxSeries bounds the combinations of attributes that accesses are counted
// by. It is the limit that the metrics SDK has by default; a node reaches it
// with several hundred namespaces that come and go.
const maxSeries = 2000

// Meter counts accesses and gives all metrics of a node, cumulative since its
// start. A new Meter begins again at zero with a later start time, which is how
// a back end tells a restart. Safe for concurrent use.
type Meter struct {
	now   func() time.Time
	start time.Time

	mu       sync.Mutex
	accesses map[series]uint64
	overflow uint64 // accesses of combinations beyond maxSeries
}

// NewMeter starts counting. now is the wall clock: time.Now in a program.
func NewMeter(now func() time.Time) *Meter {
	return &Meter{now: now, start: now(), accesses: map[series]uint64{}}
}

// series is one combination of the values of dimensionNames, in their order. An
// empty value is one that is left out.
type series [len(dimensionNames)]string

// Observe counts an access, with all the touches that it stands for. It keeps
// no reference into a but to strings. Call it once for each access, however
// many outputs there are.
func (m *Meter) Observe(a *beesting.Access) {
	var key series
	f := &facts{access: a}
	for i, r := range dimensionRows {
		key[i] = f.valid(r.key, r.value(f)).AsString()
	}
	touches := max(a.Count, 1)
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.accesses[key]; !known && len(m.accesses) >= maxSeries {
		m.overflow += touches
		return
	}
	m.accesses[key] += touches
}

// reading is what the rows of metricTable make their points of.
type reading struct {
	state    NodeState
	accesses map[series]uint64
	overflow uint64
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

// point is one value: f where the row is of a fractional number, else n.
type point struct {
	attributes attribute.Set
	n          int64
	f          float64
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
	r := &reading{state: s, accesses: make(map[series]uint64, len(m.accesses)), overflow: m.overflow}
	for key, n := range m.accesses {
		r.accesses[key] = n
	}
	return r
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
