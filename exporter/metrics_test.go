package exporter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/journal"
)

// sampleState has something to tell for every metric.
func sampleState() NodeState {
	return NodeState{
		Mode: "lsm", Wanted: 12, Armed: 11, LackingContainers: 1,
		Lost: map[string]uint64{"ring_full": 3, "recursion": 0}, DecodeErrors: 1,
		PlantFailures: map[string]uint64{"mount_point": 2, "late": 1},
		NRIConnected:  true, NRIReconnects: 2, NRIBlindSeconds: 1.25, UnwatchedSeconds: 2.5,
		NRIDurations: map[string]Histogram{
			"create_container": {Bounds: []float64{0.001, 0.005}, Buckets: []uint64{5, 1, 0}, Seconds: 0.004},
			"start_container":  {Bounds: []float64{0.001, 0.005}, Buckets: []uint64{4, 0, 2}, Seconds: 0.25},
		},
		Unresolved:    map[string]uint64{"away": 4, "late": 0},
		ConfigReloads: map[string]uint64{"applied": 3, "unchanged": 0, "refused": 1},
		Delivery: map[string]SignalStats{
			"logs":   {Queued: 5, Dropped: map[string]uint64{"http_400": 1, "journal_full": 2}},
			"traces": {Queued: 0},
		},
		Journal: &journal.Stats{Bytes: 4096, Waiting: 2, DeadLetters: 3, Damaged: 1, LagSeconds: map[string]float64{"logs": 1.5, "spans": 0}},
	}
}

// knownState is sampleState for an exporter.
func knownState() (NodeState, bool) { return sampleState(), true }

// sampleMeter was started an hour before the sample accesses and has seen each
// of them.
func sampleMeter() *Meter {
	clock := at.Add(-time.Hour)
	m := NewMeter(func() time.Time { defer func() { clock = at.Add(time.Second) }(); return clock })
	for _, a := range samples() {
		m.Observe(&a)
	}
	g := sampleGap()
	m.ObserveGap(&g)
	return m
}

// points are a metric's values by the text of their attributes.
func points(t testing.TB, all pmetric.Metrics, name string) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	metrics := all.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics()
	for i := range metrics.Len() {
		if metrics.At(i).Name() != name {
			continue
		}
		for _, dp := range histogramPoints(metrics.At(i)) {
			out[attributesText(dp.Attributes())] = float64(dp.Count())
		}
		if metrics.At(i).Type() == pmetric.MetricTypeHistogram {
			continue
		}
		dps := metrics.At(i).Sum().DataPoints()
		for j := range dps.Len() {
			dp := dps.At(j)
			key := attributesText(dp.Attributes())
			if _, twice := out[key]; twice {
				t.Errorf("%s has the series %s twice", name, key)
			}
			out[key] = dp.DoubleValue()
			if dp.ValueType() == pmetric.NumberDataPointValueTypeInt {
				out[key] = float64(dp.IntValue())
			}
		}
	}
	return out
}

// histogramPoints are none of another type of metric.
func histogramPoints(m pmetric.Metric) []pmetric.HistogramDataPoint {
	var all []pmetric.HistogramDataPoint
	if m.Type() == pmetric.MetricTypeHistogram {
		for _, dp := range m.Histogram().DataPoints().All() {
			all = append(all, dp)
		}
	}
	return all
}

func attributesText(m pcommon.Map) string {
	var parts []string
	for key, v := range m.All() {
		parts = append(parts, key+"="+v.AsString())
	}
	return strings.Join(parts, " ")
}

func wantPoints(t testing.TB, all pmetric.Metrics, name string, want map[string]float64) {
	t.Helper()
	if got := points(t, all, name); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", name, got, want)
	}
}

// Names and units follow the naming rules of the conventions as far as a
// program can tell, and nothing in the table is without words or without use.
func TestMetricTable(t *testing.T) {
	form := regexp.MustCompile(`^honeytoken(\.[a-z][a-z0-9_]*)+$`)
	unit := regexp.MustCompile(`^(1|s|By|\{[a-z]+\})$`)
	sent := sampleMeter().collect(sampleMapping(t), sampleState()).metrics
	if len(sent) != len(metricTable) {
		t.Errorf("%d metrics of the sample, %d in the table", len(sent), len(metricTable))
	}
	seen := map[string]bool{}
	for _, m := range sent {
		if !form.MatchString(m.name) || strings.Contains(m.name, "total") || seen[m.name] || !unit.MatchString(m.unit) || m.says == "" || strings.ContainsAny(m.says, "`\n") {
			t.Errorf("metric %q, unit %q, %q: form, repeated or without words", m.name, m.unit, m.says)
		}
		seen[m.name] = true
		for _, p := range m.points {
			for _, kv := range p.attributes.ToSlice() {
				if !slices.ContainsFunc(m.attributes, func(a metricAttribute) bool { return a.key == kv.Key && a.says != "" }) {
					t.Errorf("%s has the attribute %s, which its row doesn't name", m.name, kv.Key)
				}
			}
		}
	}
	for i, r := range dimensionRows {
		if r.key != dimensionNames[i] || r.value == nil {
			t.Errorf("no attribute %q", dimensionNames[i])
		}
	}
}

// What is sent, as OTLP's JSON. The integration test wants the same bytes from
// a Collector.
func TestMetricsGolden(t *testing.T) {
	data, err := (&pmetric.JSONMarshaler{}).MarshalMetrics(sampleMeter().PData(sampleMapping(t), sampleState()))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "metrics.otlp.json", indented(t, data))
}

func indented(t testing.TB, data []byte) []byte {
	t.Helper()
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, data, "", "  "); err != nil {
		t.Fatal(err)
	}
	pretty.WriteByte('\n')
	return pretty.Bytes()
}

func TestMeterCounts(t *testing.T) {
	m := NewMeter(time.Now)
	a, b := sampleAccess(), sampleAccess()
	b.Count, b.Outcome = 3, beesting.OutcomeDenied
	zero := sampleAccess()
	zero.Count = 0 // stands for one touch all the same
	for _, a := range []*beesting.Access{&a, &b, &a, &zero, {}} {
		m.Observe(a)
	}
	const rest = " honeytoken.actor.class=workload honeytoken.kind=aws-credentials honeytoken.name=aws-prod k8s.namespace.name=web"
	wantPoints(t, m.PData(sampleMapping(t), NodeState{}), "honeytoken.accesses", map[string]float64{
		"honeytoken.access.kind=open honeytoken.access.outcome=allowed" + rest: 3,
		"honeytoken.access.kind=open honeytoken.access.outcome=denied" + rest:  3,
		"honeytoken.kind=generic": 1,
	})
}

// A node of which nothing is known yet, and nothing was touched on.
func TestMetricsOfNothing(t *testing.T) {
	all := NewMeter(time.Now).PData(mustMapping(t, MappingOptions{}), NodeState{})
	for name, want := range map[string]map[string]float64{
		"honeytoken.accesses":          {},
		"honeytoken.placement.count":   {"honeytoken.placement.state=armed": 0, "honeytoken.placement.state=wanted": 0},
		"honeytoken.container.lacking": {"": 0},
		"honeytoken.event.lost":        {"honeytoken.loss.cause=decode_error": 0},
		"honeytoken.plant.failures":    {},
		"honeytoken.nri.connected":     {"": 0},
		"honeytoken.nri.reconnects":    {"": 0},
		"honeytoken.nri.blind_time":    {"": 0},
	} {
		wantPoints(t, all, name, want)
	}
	metrics := all.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics()
	for i := range metrics.Len() {
		if m := metrics.At(i); len(histogramPoints(m)) == 0 && m.Sum().DataPoints().Len() == 0 {
			t.Errorf("%s is sent without a point", metrics.At(i).Name())
		}
	}
}

// Beyond the bound there is one more series, and not one access less.
func TestMeterOverflow(t *testing.T) {
	m := NewMeter(time.Now)
	a := sampleAccess()
	c := *sampleContainer()
	a.Placement.Container = &c
	const further = 500
	for range 2 {
		for i := range maxSeries + further {
			c.Pod.Namespace = fmt.Sprint("ns-", i)
			m.Observe(&a)
		}
	}
	a.Count = math.MaxUint64 // of a series that has a place
	c.Pod.Namespace = "ns-0"
	m.Observe(&a)
	got := points(t, m.PData(sampleMapping(t), NodeState{}), "honeytoken.accesses")
	if len(got) != maxSeries+1 || got["otel.metric.overflow=true"] != 2*further {
		t.Errorf("%d series, overflow %v", len(got), got["otel.metric.overflow=true"])
	}
	for key, n := range got {
		if !strings.HasPrefix(key, "otel.") && n != 2 && !strings.HasSuffix(key, "=ns-0") {
			t.Errorf("%s: %v", key, n)
		}
	}
	if clamped(math.MaxUint64) != math.MaxInt64 {
		t.Error("a count wraps round")
	}
}

func TestMeterIsConcurrent(t *testing.T) {
	const writers, each = 8, 500
	m, mp := NewMeter(time.Now), sampleMapping(t)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				a := sampleAccess()
				a.Placement.Token.Name = fmt.Sprint("token-", (w+i)%5)
				m.Observe(&a)
				if i%50 == 0 {
					m.PData(mp, sampleState())
				}
			}
		})
	}
	wg.Wait()
	got := points(t, m.PData(mp, NodeState{}), "honeytoken.accesses")
	sum := 0.0
	for _, n := range got {
		sum += n
	}
	if len(got) != 5 || sum != writers*each {
		t.Errorf("%d series with %v accesses", len(got), sum)
	}
}

// Whatever the bytes: valid, bounded, and no series twice, which a back end
// would refuse.
func TestMetricsOfHostileNames(t *testing.T) {
	m := NewMeter(time.Now)
	a := hostile()
	m.Observe(&a)
	for _, name := range []string{"x\xff", "x\xfe", strings.Repeat("n", maxValue) + "1", strings.Repeat("n", maxValue) + "2", "\x1b[2J"} {
		a := sampleAccess()
		a.Placement.Token.Name = name
		m.Observe(&a)
	}
	words := map[string]uint64{"a\xff": 1, "a\xfe": 2, "": 4}
	all := m.PData(sampleMapping(t), NodeState{Lost: words, PlantFailures: words})
	if got := points(t, all, "honeytoken.accesses"); len(got) != 4 {
		t.Errorf("%d series: %v", len(got), got)
	}
	wantPoints(t, all, "honeytoken.event.lost", map[string]float64{
		"honeytoken.loss.cause=": 4, "honeytoken.loss.cause=a\uFFFD": 3, "honeytoken.loss.cause=decode_error": 0,
	})
	metrics := all.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics()
	for i := range metrics.Len() {
		if metrics.At(i).Type() != pmetric.MetricTypeSum {
			t.Errorf("%s is sent without a point", metrics.At(i).Name())
			continue
		}
		dps := metrics.At(i).Sum().DataPoints()
		for j := range dps.Len() {
			for key, v := range dps.At(j).Attributes().All() {
				if s := v.AsString(); !utf8.ValidString(s) || len(s) > maxValue {
					t.Errorf("%s %s: %d bytes, valid %v", metrics.At(i).Name(), key, len(s), utf8.ValidString(s))
				}
			}
		}
	}
	if len(words) != 3 {
		t.Errorf("the caller's map was changed: %v", words)
	}
}

// Every point of a Meter starts with it and never ends before that; the next
// one begins at zero, later.
func TestMeterRestart(t *testing.T) {
	clock := at
	now := func() time.Time { return clock }
	first := NewMeter(now)
	a := sampleAccess()
	first.Observe(&a)
	wantTimes(t, first, at, at)
	clock = at.Add(time.Minute)
	wantTimes(t, first, at, clock)
	second := NewMeter(now)
	clock = at.Add(2 * time.Minute)
	wantTimes(t, second, at.Add(time.Minute), clock)
	if got := points(t, second.PData(sampleMapping(t), NodeState{}), "honeytoken.accesses"); len(got) != 0 {
		t.Errorf("after the restart: %v", got)
	}
	clock = at.Add(-time.Hour)
	wantTimes(t, second, at.Add(time.Minute), at.Add(time.Minute))
}

func wantTimes(t *testing.T, m *Meter, start, end time.Time) {
	t.Helper()
	metrics := m.PData(sampleMapping(t), sampleState()).ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics()
	for i := range metrics.Len() {
		for _, dp := range histogramPoints(metrics.At(i)) {
			if !dp.StartTimestamp().AsTime().Equal(start) || !dp.Timestamp().AsTime().Equal(end) {
				t.Errorf("%s from %v to %v", metrics.At(i).Name(), dp.StartTimestamp(), dp.Timestamp())
			}
		}
		if metrics.At(i).Type() == pmetric.MetricTypeHistogram {
			continue
		}
		sum := metrics.At(i).Sum()
		if sum.AggregationTemporality() != pmetric.AggregationTemporalityCumulative {
			t.Errorf("%s is %v", metrics.At(i).Name(), sum.AggregationTemporality())
		}
		for j := range sum.DataPoints().Len() {
			dp := sum.DataPoints().At(j)
			if !dp.StartTimestamp().AsTime().Equal(start) || !dp.Timestamp().AsTime().Equal(end) {
				t.Errorf("%s from %v to %v, want from %v to %v", metrics.At(i).Name(), dp.StartTimestamp().AsTime(), dp.Timestamp().AsTime(), start, end)
			}
		}
	}
}

// The resource is the node, whatever was touched on it, and tells nodes apart.
func TestNodeResource(t *testing.T) {
	const given = "service.name=beesting,service.instance.id=mine,host.name=other"
	for _, c := range []struct {
		node Node
		env  string
		want map[string]any
	}{
		{Node{"n", "h", "id"}, "", map[string]any{"host.id": "id", "host.name": "h", "k8s.node.name": "n", "service.instance.id": "id", "service.name": "unknown_service:beesting"}},
		{Node{"n", "h", ""}, "", map[string]any{"host.name": "h", "k8s.node.name": "n", "service.instance.id": "n", "service.name": "unknown_service:beesting"}},
		{Node{"", "h", ""}, given, map[string]any{"host.name": "h", "service.instance.id": "mine", "service.name": "beesting"}},
		{Node{"n\xff", "", ""}, "", map[string]any{"k8s.node.name": "n\uFFFD", "service.instance.id": "n\uFFFD", "service.name": "unknown_service:beesting"}},
		{Node{}, "", map[string]any{"service.name": "unknown_service:beesting"}},
	} {
		m := mustMapping(t, MappingOptions{Node: c.node, Getenv: envOf("OTEL_RESOURCE_ATTRIBUTES", c.env)})
		rm := NewMeter(time.Now).PData(m, NodeState{}).ResourceMetrics().At(0)
		got := rm.Resource().Attributes().AsRaw()
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%+v: %v, want %v", c.node, got, c.want)
		}
		if rm.SchemaUrl() != SchemaURL || rm.ScopeMetrics().At(0).SchemaUrl() != SchemaURL {
			t.Errorf("schema %q, of the scope %q", rm.SchemaUrl(), rm.ScopeMetrics().At(0).SchemaUrl())
		}
	}
}
