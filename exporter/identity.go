package exporter

import (
	"crypto/sha256"

	"github.com/beesting-otel/beesting"
)

// The ids are derived, not drawn: a delivery that is repeated gives the same
// record and the same span, and all accesses of one incident share a trace.
// Because they are not random, the W3C "random" flag is not set for them.

// traceID is the incident's id. An access without one is an incident of its own.
func traceID(a *beesting.Access) [16]byte {
	if a.Incident != (beesting.IncidentID{}) {
		return a.Incident
	}
	sum := derived("trace", a.ID)
	return [16]byte(sum[:16])
}

// spanID is derived from the access's id rather than cut from it: the span id
// of one record is then never a part of another one's uid.
func spanID(a *beesting.Access) [8]byte {
	sum := derived("span", a.ID)
	return [8]byte(sum[:8])
}

// derived is SHA-256 over a word and an id. All zero is an invalid trace or
// span id (W3C Trace Context); a first byte of zero is therefore made 1.
func derived(word string, id beesting.AccessID) [sha256.Size]byte {
	sum := sha256.Sum256(append([]byte("beesting."+word+"\x00"), id[:]...))
	if sum[0] == 0 {
		sum[0] = 1
	}
	return sum
}
