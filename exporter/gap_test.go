package exporter

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/attribute"

	"github.com/beesting-otel/beesting"
)

// A gap in each form: a log record, a line of JSON, a line of text.
func TestGapGolden(t *testing.T) {
	var text, line, pretty bytes.Buffer
	if err := NewText(&text, sampleMapping(t), TextOptions{}).Gap(t.Context(), sampleGap()); err != nil {
		t.Fatal(err)
	}
	golden(t, "gap.txt", text.Bytes())
	if err := NewJSON(&line, sampleMapping(t)).Gap(t.Context(), sampleGap()); err != nil {
		t.Fatal(err)
	}
	for what, got := range map[string]string{"text": text.String(), "JSON": line.String()} {
		if strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "\n") {
			t.Errorf("%s is not one line: %q", what, got)
		}
	}
	if err := json.Indent(&pretty, line.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	golden(t, "gap.line.json", pretty.Bytes())
	logs, err := (&plog.JSONMarshaler{}).MarshalLogs(sampleMapping(t).logs([]item{gapItem(sampleGap())}))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "gap.otlp.json", bothAsJSON(t, map[string]json.RawMessage{"logs": logs}))
}

// A gap stands beside the accesses of its token, and is told from them.
func TestGapRecord(t *testing.T) {
	g, a := sampleGap(), sampleAccess()
	got, access := sampleMapping(t).gap(&g), sampleMapping(t).record(&a)
	if !slices.Equal(got.resource, access.resource) {
		t.Errorf("resource %v, want %v", got.resource, access.resource)
	}
	if got.event != GapEventName || got.severity.number != 13 || got.traced || !got.time.Equal(g.To) || got.span != nil {
		t.Errorf("%+v", got)
	}
	attrs, of := asMap(t, got.log), asMap(t, access.log)
	for _, key := range []string{"honeytoken.id", "honeytoken.name", "honeytoken.kind", "honeytoken.access.kind", "file.path"} {
		if attrs[key] == nil || attrs[key] != of[key] {
			t.Errorf("%s is %v, that of the access %v", key, attrs[key], of[key])
		}
	}
	for key, want := range map[string]any{
		"honeytoken.event": "honeytoken.gap", "honeytoken.gap.count": int64(3), "honeytoken.loss.cause": "ring_full",
		"honeytoken.gap.from": "2026-11-23T18:04:03.123456789Z", "honeytoken.gap.to": "2026-11-23T18:04:05.123456789Z",
	} {
		if attrs[key] != want {
			t.Errorf("%s is %v, want %v", key, attrs[key], want)
		}
	}
	if attrs["honeytoken.access.count"] != nil {
		t.Error("whoever adds up the touches that are told counts those that are not")
	}
}

// The same gap has the same uid on every attempt; another one has another.
func TestGapIdentity(t *testing.T) {
	seen := map[[16]byte]string{}
	for name, change := range map[string]func(*beesting.Gap){
		"as it is":  func(*beesting.Gap) {},
		"kind":      func(g *beesting.Gap) { g.Kind = beesting.AccessStat },
		"count":     func(g *beesting.Gap) { g.Count++ },
		"cause":     func(g *beesting.Gap) { g.Cause = "restart" },
		"from":      func(g *beesting.Gap) { g.From = g.From.Add(1) },
		"to":        func(g *beesting.Gap) { g.To = g.To.Add(1) },
		"token":     func(g *beesting.Gap) { g.Placement.TokenID += "x" },
		"placement": func(g *beesting.Gap) { g.Placement.ID++ },
	} {
		g := sampleGap()
		change(&g)
		if other, ok := seen[gapID(&g)]; ok {
			t.Errorf("%s and %s have the same id", name, other)
		}
		seen[gapID(&g)] = name
		again := g
		if gapID(&again) != gapID(&g) || gapID(&g) == ([16]byte{}) {
			t.Errorf("%s: id %x", name, gapID(&g))
		}
	}
}

// Names of the gap's own rows follow the rules of the table's.
func TestGapTable(t *testing.T) {
	g := sampleGap()
	for _, kv := range sampleMapping(t).gap(&g).log {
		i := slices.IndexFunc(gapTable, func(r row) bool { return r.key == kv.Key })
		if i < 0 || gapTable[i].says == "" || gapTable[i].on&onLog == 0 {
			t.Errorf("%s is not in the table, or without words", kv.Key)
		}
	}
	for _, r := range gapTable {
		if !strings.HasPrefix(string(r.key), "honeytoken.") && !slices.ContainsFunc(accessTable, func(a row) bool { return a.key == r.key }) {
			t.Errorf("%s is in no namespace of ours", r.key)
		}
	}
}

func TestHostileGap(t *testing.T) {
	g := hostileGap()
	r := sampleMapping(t).gap(&g)
	for _, kv := range append(slices.Concat(r.resource, r.log), attribute.String("body", r.body)) {
		if s := kv.Value.AsString(); !utf8.ValidString(s) || len(s) > maxValue {
			t.Errorf("%s: %d bytes, valid %v", kv.Key, len(s), utf8.ValidString(s))
		}
	}
	if !printable(r.body) {
		t.Errorf("body %q", r.body)
	}
	marked, _ := asMap(t, r.log)["honeytoken.access.invalid_utf8"].([]string)
	if !slices.Contains(marked, "honeytoken.loss.cause") || !slices.Contains(marked, "file.path") {
		t.Errorf("marked %v", marked)
	}
	empty := mustMapping(t, MappingOptions{}).gap(&beesting.Gap{From: time.Unix(5, 0)})
	if !empty.time.Equal(time.Unix(5, 0)) || asMap(t, empty.log)["honeytoken.gap.count"] != int64(1) {
		t.Errorf("a gap of next to nothing: %+v", empty)
	}
}

// Touches that are missing are counted beside those that are told, under the
// same names, and never among them.
func TestMeterGaps(t *testing.T) {
	m := NewMeter(time.Now)
	g, unclear := sampleGap(), sampleGap()
	unclear.Cause, unclear.Count = "unknown", 0 // stands for one all the same
	for _, g := range []*beesting.Gap{&g, &unclear, &g} {
		m.ObserveGap(g)
	}
	const rest = " honeytoken.kind=aws-credentials "
	all := m.PData(sampleMapping(t), NodeState{})
	wantPoints(t, all, "honeytoken.access.lost", map[string]float64{
		"honeytoken.access.kind=open" + rest + "honeytoken.loss.cause=ring_full honeytoken.name=aws-prod k8s.namespace.name=web": 6,
		"honeytoken.access.kind=open" + rest + "honeytoken.loss.cause=unknown honeytoken.name=aws-prod k8s.namespace.name=web":   1,
	})
	wantPoints(t, all, "honeytoken.accesses", map[string]float64{})
	for i := range maxSeries + 5 {
		g.Placement.Token.Name = strings.Repeat("n", i+1)
		m.ObserveGap(&g)
	}
	got := points(t, m.PData(sampleMapping(t), NodeState{}), "honeytoken.access.lost")
	if len(got) != maxSeries+1 || got["otel.metric.overflow=true"] != 7*3 {
		t.Errorf("%d series, overflow %v", len(got), got["otel.metric.overflow=true"])
	}
}
