package exporter

import (
	"slices"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"

	"github.com/beesting-otel/beesting"
)

// signals says where a row of the table is emitted.
type signals uint8

const (
	onResource signals = 1 << iota
	onLog
	onSpan
	onBoth = onLog | onSpan
)

// row is one attribute: the code that makes its value and the words that the
// reference has for it stand side by side, so that neither can leave the other.
type row struct {
	key attribute.Key
	on  signals
	// says is a sentence for docs/telemetry.md: what the value is, where it
	// comes from and when it is left out.
	says string
	// value returns the zero Value to leave the attribute out.
	value func(*facts) attribute.Value
}

// facts is what a row may look at.
type facts struct {
	access *beesting.Access
	gap    *beesting.Gap // of the rows of gapTable
	node   Node
	args   sanitisedArgs
	// invalid collects the names of attributes that held invalid UTF-8.
	invalid []string
}

// maxValue bounds every string, in bytes. It is PATH_MAX: nothing that is
// known here is longer for a good reason, while an annotation of a pod may
// have 256 KiB.
const maxValue = 4096

// cut is put where something was left off at the end.
const cut = "…"

// apply evaluates the rows that are emitted on s, in the table's order.
func (f *facts) apply(table []row, s signals) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, len(table))
	for _, r := range table {
		if r.on&s == 0 {
			continue
		}
		v := f.valid(r.key, r.value(f))
		if v.Type() != attribute.EMPTY {
			attrs = append(attrs, attribute.KeyValue{Key: r.key, Value: v})
		}
	}
	return attrs
}

// valid makes strings fit for the wire: proto3 strings must be valid UTF-8,
// and a receiver refuses the whole request, not the record, for one that isn't.
// Paths and arguments on Linux are bytes, chosen by whoever is being watched.
func (f *facts) valid(key attribute.Key, v attribute.Value) attribute.Value {
	switch v.Type() {
	case attribute.STRING:
		s, ok := validString(v.AsString())
		f.note(key, ok)
		return attribute.StringValue(s)
	case attribute.STRINGSLICE:
		all, allOK := v.AsStringSlice(), true
		for i, s := range all {
			var ok bool
			all[i], ok = validString(s)
			allOK = allOK && ok
		}
		f.note(key, allOK)
		return attribute.StringSliceValue(all)
	default:
		return v
	}
}

func (f *facts) note(key attribute.Key, ok bool) {
	if !ok && !slices.Contains(f.invalid, string(key)) {
		f.invalid = append(f.invalid, string(key))
	}
}

// validString bounds s and replaces each run of invalid bytes by U+FFFD. It
// reports whether s was valid.
func validString(s string) (string, bool) {
	ok := utf8.ValidString(s)
	if !ok {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return bounded(s, maxValue), ok
}

// bounded cuts s to at most limit bytes, the mark included, between runes.
func bounded(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := max(limit-len(cut), 0)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + cut
}

// The helpers below make a value, or the zero Value for "not known".

func text(s string) attribute.Value {
	if s == "" {
		return attribute.Value{}
	}
	return attribute.StringValue(s)
}

func texts(s []string) attribute.Value {
	if len(s) == 0 {
		return attribute.Value{}
	}
	return attribute.StringSliceValue(s)
}

// number leaves out zero; use attribute.Int64Value where zero is a value.
func number[T ~uint32 | ~int](n T) attribute.Value {
	if n == 0 {
		return attribute.Value{}
	}
	return attribute.Int64Value(int64(n))
}

func mark(b bool) attribute.Value {
	if !b {
		return attribute.Value{}
	}
	return attribute.BoolValue(true)
}
