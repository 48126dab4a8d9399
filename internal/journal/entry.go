package journal

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/beesting-otel/beesting"
)

// Entry is one thing to be told. Exactly one of Access and Gap is set.
type Entry struct {
	// Seq numbers the entries of a journal, from 1 on and without holes. Append
	// gives it.
	Seq uint64 `cbor:"-"`
	// Recorded is when it was appended; Append sets it.
	Recorded time.Time
	Access   *beesting.Access `cbor:",omitempty"`
	Gap      *beesting.Gap    `cbor:",omitempty"`
	// Ended says that the access was an entry before, as Ongoing, and has ended.
	Ended bool `cbor:",omitempty"`
	// For is the only cursor that the entry concerns, as it is sent again by hand;
	// empty for all.
	For string `cbor:",omitempty"`
}

// Shape is what an entry is, as far as that decides whom it concerns.
type Shape uint8

// The shapes.
const (
	// Whole is an access of which there is no more to come.
	Whole Shape = iota
	// Ongoing is an access whose end comes as an entry of its own.
	Ongoing
	// End is the end of an ongoing one, with all that it was.
	End
	// Gap is a gap.
	Gap
	// Again is any of these, for one cursor only.
	Again
	shapes
)

// Shape returns the entry's.
func (e *Entry) Shape() Shape {
	switch {
	case e.For != "":
		return Again
	case e.Gap != nil:
		return Gap
	case e.Ended:
		return End
	case e.Access != nil && e.Access.Ongoing:
		return Ongoing
	default:
		return Whole
	}
}

// strip leaves out what has no place on a disk: what tokens hold. The entry's
// access is the caller's, so it is copied where that changes it.
func (e *Entry) strip() {
	if e.Access != nil && secret(&e.Access.Placement.Token) {
		a := *e.Access
		clearSecret(&a.Placement.Token)
		e.Access = &a
	}
	if e.Gap != nil && secret(&e.Gap.Placement.Token) {
		g := *e.Gap
		clearSecret(&g.Placement.Token)
		e.Gap = &g
	}
}

func secret(t *beesting.Token) bool { return t.Content != nil || t.Template != "" || t.Values != nil }

func clearSecret(t *beesting.Token) { t.Content, t.Template, t.Values = nil, "", nil }

// codec turns entries into CBOR (RFC 8949) and back: unlike JSON it has strings
// that are no UTF-8, which arguments and paths of a process can be.
type codec struct {
	enc cbor.UserBufferEncMode
	dec cbor.DecMode
}

func newCodec() (codec, error) {
	enc, errEnc := cbor.EncOptions{Time: cbor.TimeRFC3339Nano}.UserBufferEncMode()
	dec, errDec := cbor.DecOptions{UTF8: cbor.UTF8DecodeInvalid, FieldNameMatching: cbor.FieldNameMatchingCaseSensitive}.DecMode()
	if err := errors.Join(errEnc, errDec); err != nil {
		return codec{}, fmt.Errorf("journal: CBOR: %w", err)
	}
	return codec{enc: enc, dec: dec}, nil
}

// encode appends e to b.
func (c codec) encode(b []byte, e *Entry) ([]byte, error) {
	to := bytes.NewBuffer(b)
	if err := c.enc.MarshalToBuffer(e, to); err != nil {
		return b, fmt.Errorf("journal entry: %w", err)
	}
	return to.Bytes(), nil
}

// errEntry says that an entry can't be what Append wrote.
var errEntry = errors.New("neither an access nor a gap")

// decode reads the entries of a frame.
func (c codec) decode(f frame) ([]Entry, error) {
	entries := make([]Entry, 0, min(f.count, 1<<16))
	rest := f.payload()
	for i := range f.count {
		var e Entry
		var err error
		if rest, err = c.dec.UnmarshalFirst(rest, &e); err != nil {
			return entries, fmt.Errorf("journal entry %d: %w", f.first+uint64(i), err)
		}
		if (e.Access == nil) == (e.Gap == nil) {
			return entries, fmt.Errorf("journal entry %d: %w", f.first+uint64(i), errEntry)
		}
		e.Seq = f.first + uint64(i)
		entries = append(entries, e)
	}
	return entries, nil
}
