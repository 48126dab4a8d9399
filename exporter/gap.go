package exporter

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/beesting-otel/beesting"
)

// GapEventName is the event name of the log record of a gap.
const GapEventName = "honeytoken.gap"

// gapTable describes a gap: the rows that accesses have for what is known of
// it, and its own. The resource is the token's place, as for an access.
var gapTable = slices.Concat(gapIdentityRows, tokenRows, kindRows, pathRows, gapRows, workloadRows, invalidRows)

var gapIdentityRows = []row{
	{"honeytoken.event", onLog,
		"always `honeytoken.gap`",
		func(*facts) attribute.Value { return text(GapEventName) }},
	{semconv.LogRecordUIDKey, onLog,
		"32 hexadecimal digits, derived from all that is said of the gap",
		func(f *facts) attribute.Value { return text(fmt.Sprintf("%x", gapID(f.gap))) }},
}

var gapRows = []row{
	{"honeytoken.gap.count", onLog,
		"how many touches are missing, at least 1",
		func(f *facts) attribute.Value { return attribute.Int64Value(clamped(max(f.gap.Count, 1))) }},
	{keyLossCause, onLog,
		"`ring_full` (no room between kernel and agent), `restart` (touched while no agent was there, or lost with it) or `unknown`",
		func(f *facts) attribute.Value { return text(f.gap.Cause) }},
	{"honeytoken.gap.from", onLog,
		"they happened at this time or later",
		func(f *facts) attribute.Value { return timestamp(f.gap.From) }},
	{"honeytoken.gap.to", onLog,
		"they happened at this time or earlier; also the record's timestamp",
		func(f *facts) attribute.Value { return timestamp(f.gap.To) }},
}

// gap maps g. It belongs to no trace: whose touches are missing isn't known.
func (m *Mapping) gap(g *beesting.Gap) record {
	f := &facts{access: &beesting.Access{Placement: g.Placement, Kind: g.Kind}, gap: g, node: m.node}
	at := g.To
	if at.IsZero() {
		at = g.From
	}
	return record{
		event:    GapEventName,
		resource: m.resource(f),
		log:      f.apply(gapTable, onLog),
		body:     gapSentence(g),
		severity: gapSeverity(),
		time:     at, observed: at,
	}
}

// gapID makes the same of the same gap, and of no other one.
func gapID(g *beesting.Gap) [16]byte {
	h := sha256.New()
	for _, s := range []string{"beesting.gap", g.Placement.TokenID, string(g.Kind), g.Cause} {
		h.Write([]byte(s + "\x00")) // never fails, hash.Hash says
	}
	var numbers []byte
	for _, n := range []uint64{uint64(g.Placement.ID), g.Count, uint64(g.From.UnixNano()), uint64(g.To.UnixNano())} { //nolint:gosec // bits, not amounts
		numbers = binary.BigEndian.AppendUint64(numbers, n)
	}
	h.Write(numbers)
	return [16]byte(h.Sum(nil)[:16])
}
