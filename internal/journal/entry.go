package journal

import (
	"bytes"
	_ "embed" // the dictionary
	"errors"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/klauspost/compress/zstd"

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
// that are no UTF-8, which arguments and paths of a process can be. Frames of them
// are compressed. Safe for concurrent use.
type codec struct {
	enc    cbor.UserBufferEncMode
	dec    cbor.DecMode
	packer *zstd.Encoder
	opener *zstd.Decoder
}

// dictionary is what entries have in common, so that a single one is compressed as
// well: the names of all fields, and values that are often there. What is written
// with it can be read with it alone: another one needs another magic. TestDictionary
// makes it.
//
//go:embed dictionary
var dictionary []byte

// dictionaryID stands in each compressed frame.
const dictionaryID = 1

// maxPayload bounds what is decompressed: twice what waits for the disk at most.
const maxPayload = 64 << 20

func newCodec() (codec, error) {
	enc, errEnc := cbor.EncOptions{Time: cbor.TimeRFC3339Nano, Sort: cbor.SortLengthFirst}.UserBufferEncMode()
	dec, errDec := cbor.DecOptions{UTF8: cbor.UTF8DecodeInvalid, FieldNameMatching: cbor.FieldNameMatchingCaseSensitive}.DecMode()
	packer, errPacker := zstd.NewWriter(nil, zstd.WithEncoderDictRaw(dictionaryID, dictionary), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<17), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false)) // a frame has its own sum
	opener, errOpener := zstd.NewReader(nil, zstd.WithDecoderDictRaw(dictionaryID, dictionary),
		zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxPayload))
	if err := errors.Join(errEnc, errDec, errPacker, errOpener); err != nil {
		return codec{}, fmt.Errorf("journal's encoding: %w", err)
	}
	return codec{enc: enc, dec: dec, packer: packer, opener: opener}, nil
}

// pack returns a frame as it is written.
func (c codec) pack(f *frame) frame {
	out := *f
	if !f.packed {
		out.raw = c.packer.EncodeAll(f.payload(), make([]byte, headerBytes, headerBytes+len(f.raw)/8))
		out.packed = true
	}
	return out
}

// unpack returns the entries in CBOR.
func (c codec) unpack(f frame) ([]byte, error) {
	if !f.packed {
		return f.payload(), nil
	}
	b, err := c.opener.DecodeAll(f.payload(), nil)
	if err != nil {
		return nil, fmt.Errorf("journal entry %d: %w", f.first, err)
	}
	return b, nil
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
	rest, err := c.unpack(f)
	if err != nil {
		return nil, err
	}
	for i := range f.count {
		var e Entry
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
