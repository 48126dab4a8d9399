// Package wire is what the hook program and the agent say to each other: one
// message per packet of a SOCK_SEQPACKET socket (unix(7)), which keeps the
// boundaries, so that nothing has to be framed or put together.
//
//	hook    Hello                     who it is, and with what right
//	agent   File, Chunk…              one file: its description, then its bytes
//	hook    Result (+ descriptor)     what became of it
//	…                                 the next file
//	agent   End                       everything has been taken note of
//
// A conversation that is refused ends without a word: who isn't known learns
// nothing. All numbers are little-endian. Decoders take bytes of any origin,
// keep no reference to them, and never return more than the bounds below.
//
// The program links this package and has to be small: no fmt, no encoding.
package wire

import "errors"

// Version is the first thing that is said. Of an agent and a program of
// different versions, each as the other's successor, the agent refuses.
const Version = 1

// Bounds of what is accepted, in bytes.
const (
	// MaxPacket bounds every packet. A packet has to fit the socket's send
	// buffer, 212,992 bytes by default (net.core.wmem_default).
	MaxPacket = 64 << 10
	// MaxChunk is the most content that one packet carries.
	MaxChunk = MaxPacket - 8
	// MaxContent is that of a whole file; a token has no more.
	MaxContent = 1 << 20
	// MaxPath is PATH_MAX less the terminating NUL.
	MaxPath = 4095
	// MaxText bounds the id of a container and the words on a problem.
	MaxText = 512
	// TicketLen and SecretLen are exact.
	TicketLen = 16
	SecretLen = 32
)

// The first byte of each packet.
const (
	kindHello  = 'H'
	kindFile   = 'F'
	kindChunk  = 'C'
	kindEnd    = 'E'
	kindResult = 'R'
)

// Why a packet is refused.
var (
	ErrMalformed = errors.New("malformed packet")
	ErrVersion   = errors.New("packet of another protocol version")
)

// Hello opens a conversation.
type Hello struct {
	Ticket [TicketLen]byte
	Secret [SecretLen]byte
	// Container is the id that the runtime told the hook, at most MaxText.
	Container string
	// Problem, if not empty, says why the hook can't take any file; the agent
	// sends none then.
	Problem string
}

// File describes a file that the hook is to make.
type File struct {
	Index       uint16
	Mode        uint32 // permission bits only
	UID, GID    uint32 // as the container sees them
	Seconds     int64  // the modification time, since 1970
	Nanoseconds uint32 // below 1e9
	Size        uint32 // of the content, at most MaxContent
	Path        string // 1 to MaxPath bytes
}

// Outcome says what became of a file.
type Outcome byte

// The outcomes. Their numbers are the protocol's.
const (
	Placed      Outcome = 1 + iota // made; its descriptor comes along
	Exists                         // something is there and was left alone
	OtherMount                     // the path leads to another mount than the root's
	ReadOnly                       // the root's file system is read-only
	Refused                        // the path is none that may be planted
	Failed                         // anything else; the text says what
	lastOutcome = Failed
)

// Result is what became of one file.
type Result struct {
	Index   uint16
	Outcome Outcome
	Problem string // empty if placed
}

// AppendTo appends the packet to b.
func (h *Hello) AppendTo(b []byte) []byte {
	b = append(b, kindHello, Version)
	b = append(b, h.Ticket[:]...)
	b = append(b, h.Secret[:]...)
	b = appendText(b, h.Container, MaxText)
	return appendText(b, h.Problem, MaxText)
}

// DecodeHello is the inverse of Hello.AppendTo.
func DecodeHello(b []byte) (Hello, error) {
	var h Hello
	r := reader{rest: b}
	if r.u8() != kindHello {
		return h, ErrMalformed
	}
	// Before anything else is understood: the rest may look different there.
	if v := r.u8(); !r.bad && v != Version {
		return h, ErrVersion
	}
	copy(h.Ticket[:], r.take(TicketLen))
	copy(h.Secret[:], r.take(SecretLen))
	h.Container = r.text(MaxText)
	h.Problem = r.text(MaxText)
	if !r.done() {
		return Hello{}, ErrMalformed
	}
	return h, nil
}

// AppendTo appends the packet to b.
func (f *File) AppendTo(b []byte) []byte {
	b = append(b, kindFile)
	b = appendU16(b, f.Index)
	b = appendU32(b, f.Mode)
	b = appendU32(b, f.UID)
	b = appendU32(b, f.GID)
	b = appendU32(b, uint32(f.Seconds))
	b = appendU32(b, uint32(f.Seconds>>32))
	b = appendU32(b, f.Nanoseconds)
	b = appendU32(b, f.Size)
	return appendText(b, f.Path, MaxPath)
}

func decodeFile(r *reader) (File, error) {
	f := File{Index: r.u16(), Mode: r.u32(), UID: r.u32(), GID: r.u32()}
	low, high := r.u32(), r.u32()
	f.Seconds = int64(uint64(high)<<32 | uint64(low))
	f.Nanoseconds, f.Size = r.u32(), r.u32()
	f.Path = r.text(MaxPath)
	if !r.done() || f.Mode&^0o777 != 0 || f.Nanoseconds >= 1e9 || f.Size > MaxContent || f.Path == "" {
		return File{}, ErrMalformed
	}
	return f, nil
}

// AppendChunk appends a packet with a part of the content, 1 to MaxChunk bytes,
// to b.
func AppendChunk(b, content []byte) []byte { return append(append(b, kindChunk), content...) }

// DecodeChunk is the inverse of AppendChunk. The content is a part of b.
func DecodeChunk(b []byte) ([]byte, error) {
	if len(b) < 2 || len(b) > MaxChunk+1 || b[0] != kindChunk {
		return nil, ErrMalformed
	}
	return b[1:], nil
}

// AppendEnd appends the agent's last packet to b.
func AppendEnd(b []byte) []byte { return append(b, kindEnd) }

// DecodeNext decodes what the agent sends in between: a File, or nil for the
// end.
func DecodeNext(b []byte) (*File, error) {
	r := reader{rest: b}
	switch r.u8() {
	case kindEnd:
		if r.done() {
			return nil, nil
		}
	case kindFile:
		f, err := decodeFile(&r)
		if err != nil {
			return nil, err
		}
		return &f, nil
	}
	return nil, ErrMalformed
}

// AppendTo appends the packet to b.
func (s *Result) AppendTo(b []byte) []byte {
	b = append(b, kindResult)
	b = appendU16(b, s.Index)
	b = append(b, byte(s.Outcome))
	return appendText(b, s.Problem, MaxText)
}

// DecodeResult is the inverse of Result.AppendTo.
func DecodeResult(b []byte) (Result, error) {
	r := reader{rest: b}
	if r.u8() != kindResult {
		return Result{}, ErrMalformed
	}
	s := Result{Index: r.u16(), Outcome: Outcome(r.u8()), Problem: r.text(MaxText)}
	if !r.done() || s.Outcome < Placed || s.Outcome > lastOutcome || (s.Outcome == Placed) != (s.Problem == "") {
		return Result{}, ErrMalformed
	}
	return s, nil
}
