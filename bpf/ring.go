//go:build linux && (amd64 || arm64)

package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// ring reads an event ring. Unlike the library's reader, which gives a record's
// room back before the caller has seen it, this one does so when the next record
// is asked for: what a process was dealing with when it was killed is there for
// the one that takes the pinned ring over.
//
// The layout is that of kernel/bpf/ringbuf.c: a page with the consumer's
// position, one with the producer's, then the data, mapped twice in a row so that
// no record is in two pieces. A record is 8 bytes of header, whose first 32 bits
// are the length and two flags, and data padded to 8 bytes. Positions only grow.
type ring struct {
	fd   int // of the map, which outlives the ring
	wake int // an eventfd, for who waits in next

	reading sync.Mutex // held by next; memory is unmapped under it
	flushed bool       // the buffer is being emptied after a flush
	pos     uint64     // what next reads

	closed, flush, retain atomic.Bool

	consumerPage, pages []byte
	consumer, producer  *atomic.Uint64 // in the pages
	data                []byte
	mask                uint64
}

// The flags in a record's length, BPF_RINGBUF_* of include/uapi/linux/bpf.h.
const (
	ringBusy    = 1 << 31
	ringDiscard = 1 << 30
	ringHeader  = 8
)

// retainedPoll is how often the ring is looked at while records are retained: the
// kernel wakes only a reader that has given everything back.
const retainedPoll = 5 * time.Millisecond

func newRing(m *ebpf.Map) (_ *ring, err error) {
	size := int(m.MaxEntries())
	if size == 0 || size&(size-1) != 0 {
		return nil, fmt.Errorf("size %d is no power of two", size)
	}
	r := &ring{fd: m.FD(), mask: uint64(size - 1)}
	if r.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	page := os.Getpagesize()
	if r.consumerPage, err = unix.Mmap(r.fd, 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, errors.Join(fmt.Errorf("consumer page: %w", err), unix.Close(r.wake))
	}
	if r.pages, err = unix.Mmap(r.fd, int64(page), page+2*size, unix.PROT_READ, unix.MAP_SHARED); err != nil {
		return nil, errors.Join(fmt.Errorf("data pages: %w", err), unix.Munmap(r.consumerPage), unix.Close(r.wake))
	}
	// Shared with the kernel, which stores and loads them whole.
	r.consumer = (*atomic.Uint64)(unsafe.Pointer(&r.consumerPage[0]))
	r.producer = (*atomic.Uint64)(unsafe.Pointer(&r.pages[0]))
	r.data = r.pages[page:]
	// Another root process can have written to a pinned ring's consumer page.
	if r.pos = r.consumer.Load(); r.pos > r.producer.Load() || r.pos%8 != 0 {
		return nil, errors.Join(fmt.Errorf("consumer position %d: the producer is at %d", r.pos, r.producer.Load()), r.close())
	}
	return r, nil
}

// next gives the room of earlier records back, waits for one and appends it to
// buf[:0]. position is where the ring goes on behind it. It returns ErrFlushed, or
// an error that is os.ErrClosed. It is for one goroutine at a time.
func (r *ring) next(buf []byte) (record []byte, position uint64, err error) {
	r.reading.Lock()
	defer r.reading.Unlock()
	for {
		if r.closed.Load() {
			return nil, 0, fmt.Errorf("event ring: %w", os.ErrClosed)
		}
		r.giveBack()
		if record, ok := r.take(buf); ok {
			return record, r.pos, nil
		}
		r.giveBack() // what was discarded
		if r.flushed {
			r.flushed = false
			return nil, 0, ErrFlushed
		}
		if err := r.wait(); err != nil {
			return nil, 0, fmt.Errorf("event ring: %w", err)
		}
		r.flushed = r.flush.Swap(false)
	}
}

// giveBack moves the consumer to what is read next. While records are retained it
// does so only if they fill half of the ring: new ones are worth more then.
func (r *ring) giveBack() {
	if !r.retain.Load() || r.pos-r.consumer.Load() > r.mask/2 {
		r.consumer.Store(r.pos)
	}
}

// take returns false if the ring has no record.
func (r *ring) take(buf []byte) ([]byte, bool) {
	for spins := 0; r.pos < r.producer.Load(); {
		// Loaded as the kernel exchanges it, so that the data is seen that was
		// written before.
		header := (*atomic.Uint32)(unsafe.Pointer(&r.data[r.pos&r.mask])).Load()
		if header&ringBusy != 0 { // reserved, and being written
			if spins++; spins < 100 {
				runtime.Gosched()
			} else {
				time.Sleep(50 * time.Microsecond)
			}
			continue
		}
		size := uint64(header &^ (ringBusy | ringDiscard))
		from := r.pos&r.mask + ringHeader
		r.pos += ringHeader + (size+7)&^7
		size = min(size, uint64(len(r.data))-from)
		if header&ringDiscard == 0 {
			return append(buf[:0], r.data[from:from+size]...), true
		}
	}
	return nil, false
}

// wait returns when there may be something to do.
func (r *ring) wait() error {
	fds := []unix.PollFd{{Fd: int32(r.wake), Events: unix.POLLIN}, {Fd: int32(r.fd), Events: unix.POLLIN}} //nolint:gosec // descriptors
	timeout := -1
	if r.consumer.Load() != r.pos { // the ring is readable all the time
		fds, timeout = fds[:1], int(retainedPoll/time.Millisecond)
	}
	_, err := unix.Poll(fds, timeout)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("poll: %w", err)
	}
	if fds[0].Revents != 0 {
		var count [8]byte
		_, err := unix.Read(r.wake, count[:])
		if err != nil && !errors.Is(err, unix.EAGAIN) {
			return fmt.Errorf("eventfd: %w", err)
		}
	}
	return nil
}

// requestFlush makes next return the records that are there now, and then
// ErrFlushed.
func (r *ring) requestFlush() error {
	if r.closed.Load() {
		return os.ErrClosed
	}
	r.flush.Store(true)
	return r.signal()
}

func (r *ring) signal() error {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	if _, err := unix.Write(r.wake, one[:]); err != nil && !errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("eventfd: %w", err)
	}
	return nil
}

// close ends next, and gives back what has been read and isn't retained.
func (r *ring) close() error {
	if r.closed.Swap(true) {
		return nil
	}
	err := r.signal()
	r.reading.Lock()
	defer r.reading.Unlock()
	r.giveBack()
	return errors.Join(err, unix.Munmap(r.consumerPage), unix.Munmap(r.pages), unix.Close(r.wake))
}
