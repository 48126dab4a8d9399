package content

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/big"
	"math/bits"
)

// stream is a generator of bytes that its key determines: HMAC-SHA-256 of a
// counter. The standard library's generators of keys can't be used with one, as
// they read a byte more or less at random to prevent just that.
type stream struct {
	key  [32]byte
	next uint64
	rest []byte
}

// newStream gives a stream of its own for each purpose, so that one value does
// not depend on whether another was made.
func newStream(seed [32]byte, purpose string) *stream {
	mac := hmac.New(sha256.New, seed[:])
	mac.Write([]byte(purpose))
	s := &stream{}
	mac.Sum(s.key[:0])
	return s
}

// Read fills p. It never fails.
func (s *stream) Read(p []byte) (int, error) {
	for n := 0; n < len(p); {
		if len(s.rest) == 0 {
			mac := hmac.New(sha256.New, s.key[:])
			mac.Write(binary.BigEndian.AppendUint64(nil, s.next))
			s.rest = mac.Sum(nil)
			s.next++
		}
		used := copy(p[n:], s.rest)
		s.rest = s.rest[used:]
		n += used
	}
	return len(p), nil
}

func (s *stream) bytes(n int) []byte {
	b := make([]byte, n)
	_, _ = s.Read(b) // never fails
	return b
}

// below gives a number from 0 to n-1. The bias is n/2^64.
func (s *stream) below(n uint64) uint64 { return binary.BigEndian.Uint64(s.bytes(8)) % n }

// between gives a number from least to most.
func (s *stream) between(least, most uint64) uint64 { return least + s.below(most-least+1) }

func (s *stream) pick(from []string) string { return from[s.below(uint64(len(from)))] }

// text gives n characters of an alphabet, which has 1 to 256.
func (s *stream) text(alphabet string, n int) string {
	out := make([]byte, 0, n)
	fair := 256 - 256%len(alphabet) // a byte from there on would favour the first characters
	var b [1]byte
	for len(out) < n {
		_, _ = s.Read(b[:])
		if int(b[0]) < fair {
			out = append(out, alphabet[int(b[0])%len(alphabet)])
		}
	}
	return string(out)
}

// uuid gives a random UUID (RFC 9562, version 4).
func (s *stream) uuid() string {
	b := s.bytes(16)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

const (
	digits   = "0123456789"
	lower    = "abcdefghijklmnopqrstuvwxyz"
	upper    = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	base62   = digits + upper + lower
	base32Up = upper + "234567"
	hexDigit = digits + "abcdef"
)

// embed gives n characters of an alphabet that hold the first bits of an id: as
// a number they are the id plus a random multiple of 2^width, so that nothing
// about them is unlike a random text. What is left over, the bias, is at most
// one part in the number of multiples that there is room for.
func (s *stream) embed(alphabet string, n int, id [idBytes]byte, width uint) string {
	base := big.NewInt(int64(len(alphabet)))
	room := new(big.Int).Exp(base, big.NewInt(int64(n)), nil)
	room.Rsh(room, width)
	v := new(big.Int).SetBytes(s.bytes(room.BitLen()/8 + 17))
	v.Mod(v, room).Lsh(v, width)
	v.Or(v, new(big.Int).Rsh(new(big.Int).SetBytes(id[:]), idBits-width))
	out := make([]byte, n)
	digit := new(big.Int)
	for i := n - 1; i >= 0; i-- {
		v.DivMod(v, base, digit)
		out[i] = alphabet[digit.Int64()]
	}
	return string(out)
}

// extract is the reverse of embed; false for a character outside of the
// alphabet. All it needs of the number are its last 128 bits.
func extract(places *[256]int16, base int64, text []byte, width uint) ([idBytes]byte, bool) {
	var id [idBytes]byte
	var high, low uint64
	for _, c := range text {
		digit := places[c]
		if digit < 0 {
			return id, false
		}
		over, product := bits.Mul64(low, uint64(base))
		sum, carry := bits.Add64(product, uint64(digit), 0)
		high, low = high*uint64(base)+over+carry, sum
	}
	if shift := idBits - width; shift > 0 { // less than 64
		high, low = high<<shift|low>>(64-shift), low<<shift
	}
	binary.BigEndian.PutUint64(id[:8], high)
	binary.BigEndian.PutUint64(id[8:], low)
	return id, true
}

// places gives each character's place in an alphabet, -1 for the others.
func places(alphabet string) *[256]int16 {
	var t [256]int16
	for i := range t {
		t[i] = -1
	}
	for i := range len(alphabet) {
		t[alphabet[i]] = int16(i)
	}
	return &t
}
