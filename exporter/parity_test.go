package exporter

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/beesting-otel/beesting"
)

// accesses makes a batch.
func accesses(all ...beesting.Access) []item {
	out := make([]item, len(all))
	for i := range all {
		out[i] = item{access: &all[i]}
	}
	return out
}

// mixedBatch is every kind of access that the tests have: of several resources
// that alternate, denied and allowed, full and empty, with and without bytes
// that are no text.
func mixedBatch() []item {
	bare := beesting.Access{ID: beesting.AccessID{1}, Time: time.Unix(1, 0)} // a time: the SDK puts the present where there is none
	noIncident := sampleAccess()
	noIncident.ID[1], noIncident.Incident = 0x99, beesting.IncidentID{}
	early := hostAccess() // a clock that was never set
	early.ID[1], early.Time = 0x98, time.Unix(-5, 0)
	bad := hostile()
	badHost := hostAccess()
	badHost.ID[1], badHost.Placement.Token.Path = 0x97, "/\xc3\x28"
	noNames := sampleAccess()
	noNames.ID[1], noNames.Placement.Container = 0x96, &beesting.Container{}
	all := []beesting.Access{
		numbered(1), hostAccess(), bad, outsiderAccess(), bare, bareAccess(), numbered(2),
		noIncident, early, badHost, noNames, sampleAccess(), outsiderAccess(), numbered(3),
	}
	for _, r := range kindTable {
		a, denied := pointAccess(r.kind), pointAccess(r.kind)
		a.Detail = "detail"
		denied.ID[2], denied.Outcome, denied.ErrorType = 0x95, beesting.OutcomeDenied, "EPERM"
		all = append(all, a, denied)
	}
	ended, backwards := numbered(20), numbered(21)
	ended.Ongoing, ended.Writes = true, 7
	backwards.EndTime = backwards.Time.Add(-time.Second) // a clock that was set back
	all = append(all, ended, backwards)
	for i := range 3 {
		a := numbered(10 + i)
		a.Process.Args = []string{"", "-p", "", strings.Repeat("x", 2000)}
		a.Process.StartTime, a.ObservedTime = time.Time{}, time.Time{}
		c := *sampleContainer()
		c.Name, c.ID = fmt.Sprint("other-", i), ""
		a.Placement.Container = &c
		all = append(all, a)
	}
	return accesses(all...)
}

// withGaps is a batch of log records: accesses, with gaps in between.
func withGaps(batch []item) []item {
	one, bad := sampleGap(), hostileGap()
	one.Placement.Container = nil
	bad.To = at
	return slices.Insert(slices.Clone(batch), 3, gapItem(sampleGap()), gapItem(one), gapItem(bad))
}

// TestParity compares what the SDK and the official exporters put on the wire,
// over either protocol, with what the pdata encoder makes of the same batch.
// It is the same but for the order of the resources: the exporters collect them
// in a Go map.
func TestParity(t *testing.T) {
	m := sampleMapping(t)
	size := map[string]int{"logs": len(withGaps(mixedBatch())), "spans": len(mixedBatch())}
	wantLogs, wantSpans := pdataRequests(t, m, withGaps(mixedBatch()), mixedBatch())
	protocols(t, func(t *testing.T, b *backend, variables []string) {
		// The first requests are refused until all is queued, so that it
		// arrives as one batch.
		refused := &refusal{grpc: status.Error(codes.Unavailable, "wait"), http: 503}
		b.set(func(string, []string) *refusal { return refused })
		whole := testPace
		whole.batch = size["logs"]
		o, err := newOTLP(t.Context(), m, OTLPOptions{Getenv: envOf(variables...), Logger: testLog(t)}, whole)
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range withGaps(mixedBatch()) {
			if err := deliverItem(t, o, it); err != nil {
				t.Error(err)
			}
		}
		b.set(func(signal string, ids []string) *refusal {
			if len(ids) < size[signal] {
				return refused // an attempt from before
			}
			return nil
		})
		drain(t, o)
		b.mu.Lock()
		defer b.mu.Unlock()
		compare(t, "logs", &collogs.ExportLogsServiceRequest{ResourceLogs: b.rawLogs}, wantLogs)
		compare(t, "spans", &coltrace.ExportTraceServiceRequest{ResourceSpans: b.rawSpans}, wantSpans)
	})
}

// sink is what every output is.
type sink interface {
	Deliver(ctx context.Context, a beesting.Access) error
	End(ctx context.Context, a beesting.Access) error
	Gap(ctx context.Context, g beesting.Gap) error
}

// deliverItem tells a sink everything there is to tell of it.
func deliverItem(t *testing.T, s sink, it item) error {
	t.Helper()
	if it.gap != nil {
		return s.Gap(t.Context(), *it.gap)
	}
	if err := s.Deliver(t.Context(), *it.access); err != nil || !it.access.Ongoing {
		return err
	}
	return s.End(t.Context(), *it.access)
}

// The pdata encoder gives the golden files, which a Collector wrote of what it
// received from the SDK and the exporters.
func TestPDataGolden(t *testing.T) {
	for name, a := range samples() {
		t.Run(name, func(t *testing.T) {
			golden(t, name+".otlp.json", pdataJSON(t, sampleMapping(t), a))
		})
	}
}

// pdataJSON is an access's log record and span in OTLP's JSON.
func pdataJSON(t *testing.T, m *Mapping, a beesting.Access) []byte {
	t.Helper()
	logs, err := (&plog.JSONMarshaler{}).MarshalLogs(m.logs(accesses(a)))
	if err != nil {
		t.Fatal(err)
	}
	traces, err := (&ptrace.JSONMarshaler{}).MarshalTraces(m.traces(accesses(a)))
	if err != nil {
		t.Fatal(err)
	}
	return bothAsJSON(t, map[string]json.RawMessage{"logs": logs, "traces": traces})
}

// bothAsJSON is the golden files' form: the OTLP JSON unchanged but for white
// space.
func bothAsJSON(t *testing.T, parts map[string]json.RawMessage) []byte {
	t.Helper()
	data, err := json.MarshalIndent(parts, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}

// pdataRequests is what PData pushes, decoded from the bytes that a Collector's
// exporter would send.
func pdataRequests(t *testing.T, m *Mapping, records, spans []item) (*collogs.ExportLogsServiceRequest, *coltrace.ExportTraceServiceRequest) {
	t.Helper()
	var logs collogs.ExportLogsServiceRequest
	data, err := plogotlp.NewExportRequestFromLogs(m.logs(records)).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(data, &logs); err != nil {
		t.Fatal(err)
	}
	var traces coltrace.ExportTraceServiceRequest
	if data, err = ptraceotlp.NewExportRequestFromTraces(m.traces(spans)).MarshalProto(); err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(data, &traces); err != nil {
		t.Fatal(err)
	}
	return &logs, &traces
}

// resources are the ResourceLogs or ResourceSpans of a request.
func resources(request proto.Message) []proto.Message {
	var out []proto.Message
	switch r := request.(type) {
	case *collogs.ExportLogsServiceRequest:
		for _, rl := range r.GetResourceLogs() {
			out = append(out, rl)
		}
	case *coltrace.ExportTraceServiceRequest:
		for _, rs := range r.GetResourceSpans() {
			out = append(out, rs)
		}
	}
	slices.SortStableFunc(out, func(a, b proto.Message) int { return strings.Compare(asText(a), asText(b)) })
	return out
}

// compare compares two requests field by field; only their resources may stand
// in another order.
func compare(t *testing.T, what string, sdk, pdata proto.Message) {
	t.Helper()
	a, b := resources(sdk), resources(pdata)
	if len(a) != len(b) || len(a) < 6 {
		t.Fatalf("%s: %d resources from the SDK, %d from pdata", what, len(a), len(b))
	}
	for i := range a {
		if !proto.Equal(a[i], b[i]) {
			x, y := firstDifference(asText(a[i]), asText(b[i]))
			t.Errorf("%s, resource %d:\nSDK   %s\npdata %s", what, i, x, y)
		}
	}
}

// asText has a field per line. prototext puts spaces in by chance, so that
// nobody relies on them.
func asText(m proto.Message) string {
	return strings.Join(strings.Fields(prototext.MarshalOptions{Multiline: true}.Format(m)), "\n")
}

// firstDifference is where two texts part, with some lines before and after.
func firstDifference(a, b string) (aroundA, aroundB string) {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	i := 0
	for i < min(len(x), len(y)) && x[i] == y[i] {
		i++
	}
	around := func(lines []string) string {
		return strings.Join(lines[max(min(i, len(lines))-12, 0):min(i+4, len(lines))], " ")
	}
	return around(x), around(y)
}
