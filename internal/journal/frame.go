package journal

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"iter"
	"math/rand/v2"
	"time"
)

// A frame is the entries of one commit:
//
//	0   8  magic; its last byte is the version of this layout
//	8   8  number of the first entry
//	16  4  how many entries
//	20  4  bytes of the payload
//	24 20  how many of each shape, 4 bytes each
//	44  8  when the first was recorded, nanoseconds of Unix time
//	52  4  what the payload is XORed with, over and over; 0 as a rule
//	56  4  CRC-32C of all that is not the magic and not this
//	60     the payload: entries in CBOR, one after the other, as a Zstandard frame (RFC 8878)
//	       with the dictionary of this layout
//
// Numbers are little-endian. Much of an entry comes from the process that it tells
// of. So that nobody plants a frame inside of one, for who searches a damaged file
// to find, there is no magic in a payload: where there would be, it is masked.
const (
	magic       = "\xb5bstJNL\x02"
	headerBytes = 60
	maskAt      = 52
	sumAt       = 56
)

// frame is one in parts.
type frame struct {
	first    uint64
	count    uint32
	shapes   [shapes]uint32
	recorded time.Time
	raw      []byte // room for the header, and the payload
	packed   bool   // the payload is compressed: it can be written, and not be added to
}

func (f *frame) payload() []byte { return f.raw[min(headerBytes, len(f.raw)):] }

// last is the number of its last entry.
func (f *frame) last() uint64 { return f.first + uint64(f.count) - 1 }

// room is where the first entries of a frame are encoded, behind what will be its
// header: they aren't copied then.
func room(entries int) []byte { return make([]byte, headerBytes, headerBytes+entryBytes*entries) }

// entryBytes is about what an entry takes.
const entryBytes = 3072

// add makes entries the frame's last ones, which have been encoded into a room
// that is the frame's from then on.
func (f *frame) add(entries []Entry, encoded []byte) {
	if f.count == 0 {
		f.first, f.recorded, f.raw = entries[0].Seq, entries[0].Recorded, encoded
	} else {
		f.raw = append(f.raw, encoded[headerBytes:]...)
	}
	f.count += uint32(len(entries)) //nolint:gosec // bounded by maxGroup
	for i := range entries {
		f.shapes[entries[i].Shape()]++
	}
}

// join adds the entries of the frame that comes next.
func (f *frame) join(next *frame) {
	f.count += next.count
	for i, n := range next.shapes {
		f.shapes[i] += n
	}
	f.raw = append(f.raw, next.payload()...)
}

// bytes returns it as it is written, which is valid until it changes. It is packed.
func (f *frame) bytes() []byte {
	b := f.raw
	clear(b[:headerBytes])
	copy(b, magic)
	le := binary.LittleEndian
	le.PutUint64(b[8:], f.first)
	le.PutUint32(b[16:], f.count)
	le.PutUint32(b[20:], uint32(len(f.payload()))) //nolint:gosec // bounded by maxGroup
	for i, n := range f.shapes {
		le.PutUint32(b[24+4*i:], n)
	}
	le.PutUint64(b[44:], uint64(f.recorded.UnixNano())) //nolint:gosec // read back as it is written
	for plain := true; bytes.Contains(b[headerBytes:], []byte(magic)); plain = false {
		if plain {
			b = bytes.Clone(b)
		}
		// Drawn, so that nobody can have masked a magic for it beforehand.
		le.PutUint32(b[maskAt:], rand.Uint32())
		copy(b[headerBytes:], f.payload())
		unmask(b[headerBytes:], b[maskAt:sumAt])
	}
	le.PutUint32(b[sumAt:], frameSum(b))
	return b
}

func unmask(b, mask []byte) {
	for i := range b {
		b[i] ^= mask[i%len(mask)]
	}
}

func frameSum(b []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, b[len(magic):sumAt])
	return crc32.Update(sum, table, b[headerBytes:])
}

// parseFrame reads the frame that b begins with. False means that there is none,
// or a damaged one.
func parseFrame(b []byte) (f frame, ok bool) {
	if len(b) < headerBytes || string(b[:len(magic)]) != magic {
		return f, false
	}
	f.packed = true
	le := binary.LittleEndian
	size := uint64(le.Uint32(b[20:]))
	if uint64(len(b)-headerBytes) < size {
		return f, false
	}
	b = b[:headerBytes+size]
	f.first, f.count, f.raw = le.Uint64(b[8:]), le.Uint32(b[16:]), b
	var sum uint32
	for i := range f.shapes {
		f.shapes[i] = le.Uint32(b[24+4*i:])
		sum += f.shapes[i]
	}
	if le.Uint32(b[maskAt:]) != 0 {
		f.raw = bytes.Clone(b)
		unmask(f.payload(), b[maskAt:sumAt])
	}
	f.recorded = time.Unix(0, int64(le.Uint64(b[44:]))) //nolint:gosec // as written
	ok = le.Uint32(b[sumAt:]) == frameSum(b) && f.first > 0 && f.count > 0 && sum == f.count && f.first+uint64(f.count) > f.first
	return f, ok
}

// framesIn finds the frames that are whole in a file, whatever else is in it. One
// can come more than once, since bbolt leaves what it has copied.
func framesIn(b []byte) iter.Seq[frame] {
	return func(yield func(frame) bool) {
		for {
			at := bytes.Index(b, []byte(magic))
			if at < 0 {
				return
			}
			b = b[at:]
			f, ok := parseFrame(b)
			if !ok {
				b = b[1:]
				continue
			}
			if !yield(f) {
				return
			}
			b = b[len(f.raw):]
		}
	}
}
