package fanotify

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/beesting-otel/beesting/bpf"
)

// messageType says what a message between sensor and guard is; guard.c has the
// other half.
type messageType uint32

const (
	toMark messageType = iota + 1
	toUnmark
	toAnswer
	toFlush
)

const (
	fromReady messageType = iota + 16
	fromEvent
	fromResult
	fromFlushed
	fromLate
	fromLost
	fromOverflow
)

// message is struct message of guard.c.
type message struct {
	Type messageType
	// Result is an error number.
	Result int32
	// Seq names an event that has to be answered; zero for the others.
	Seq  uint64
	Mask uint64
	Key  inodeKey
	// Time is CLOCK_BOOTTIME when the guard took the event.
	Time time.Duration
	// Thread is the acting thread's id as the guard's pid namespace has it.
	Thread uint32
	Count  uint32
}

// inodeKey is an inode as statx(2) names it, which both sides ask.
type inodeKey struct {
	dev, ino uint64
}

func deviceKey(major, minor uint32) uint64 { return uint64(major)<<32 | uint64(minor) }

const messageSize = 56

// encode gives the bytes in the byte order of both supported architectures.
func (m message) encode() []byte {
	b := make([]byte, 0, messageSize)
	b = binary.LittleEndian.AppendUint32(b, uint32(m.Type))
	b = binary.LittleEndian.AppendUint32(b, uint32(m.Result))
	for _, v := range []uint64{m.Seq, m.Mask, m.Key.dev, m.Key.ino, uint64(m.Time)} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = binary.LittleEndian.AppendUint32(b, m.Thread)
	return binary.LittleEndian.AppendUint32(b, m.Count)
}

func decode(b []byte) (message, error) {
	if len(b) != messageSize {
		return message{}, &bpf.DecodeError{Reason: fmt.Sprintf("%d bytes of the guard, want %d", len(b), messageSize)}
	}
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	m := message{
		Type: messageType(u32(b)), Result: int32(u32(b[4:])), Seq: u64(b[8:]), Mask: u64(b[16:]),
		Key: inodeKey{u64(b[24:]), u64(b[32:])}, Time: time.Duration(u64(b[40:])),
		Thread: u32(b[48:]), Count: u32(b[52:]),
	}
	if m.Type < fromReady || m.Type > fromOverflow {
		return m, &bpf.DecodeError{Reason: fmt.Sprintf("type %d of the guard", m.Type)}
	}
	return m, nil
}
