package exporter

import (
	"go.opentelemetry.io/otel/attribute"

	"github.com/beesting-otel/beesting"
)

// The values of honeytoken.access.end.
const (
	endClosed = "closed"
	endUnseen = "unseen"
)

// endRows are the span's alone: the log record is sent when the end is still to
// come.
var endRows = []row{
	{"honeytoken.access.end", onSpan,
		"of what can be closed (`open`, `exec`): `closed` when the span ends with the last close, `unseen` when that was not seen and the span has no length; left out for the other kinds and where the access was denied",
		func(f *facts) attribute.Value {
			switch {
			case !hasEnd(f.access):
				return attribute.Value{}
			case f.access.EndTime.IsZero():
				return text(endUnseen)
			default:
				return text(endClosed)
			}
		}},
	{"honeytoken.access.reads", onSpan,
		"how many reads there were through it from the open to the close; left out when the end was not seen",
		atEnd(func(a *beesting.Access) uint64 { return a.Reads })},
	{"honeytoken.access.writes", onSpan,
		"how many writes, likewise",
		atEnd(func(a *beesting.Access) uint64 { return a.Writes })},
}

// atEnd is for what is known when the end was seen; zero is a value then.
func atEnd(count func(*beesting.Access) uint64) func(*facts) attribute.Value {
	return func(f *facts) attribute.Value {
		if !hasEnd(f.access) || f.access.EndTime.IsZero() {
			return attribute.Value{}
		}
		return attribute.Int64Value(clamped(count(f.access)))
	}
}
