//go:build linux && (amd64 || arm64)

package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernelSide writes records as kernel/bpf/ringbuf.c does, into memory of this
// process: machines that refuse eBPF test the reader, too. The real ring is read by
// every test in a VM.
type kernelSide struct {
	*ring
	consumer, producer *atomic.Uint64
}

const smallRing = 256

func newKernelSide(t *testing.T) *kernelSide {
	t.Helper()
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	// No file: poll ignores a negative descriptor.
	r := &ring{fd: -1, wake: wake, mask: smallRing - 1}
	for _, page := range []*[]byte{&r.consumerPage, &r.pages} {
		if *page, err = unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON); err != nil {
			t.Fatal(err)
		}
	}
	r.consumer, r.producer = (*atomic.Uint64)(unsafe.Pointer(&r.consumerPage[0])), (*atomic.Uint64)(unsafe.Pointer(&r.pages[0]))
	// Not of Go's memory, as the positions aren't: the race detector, which doesn't
	// see who stores those, would see who writes the data.
	memory, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	r.data = memory[:2*smallRing]
	t.Cleanup(func() {
		if err := errors.Join(r.close(), unix.Munmap(memory)); err != nil {
			t.Error(err)
		}
	})
	return &kernelSide{ring: r, consumer: r.consumer, producer: r.producer}
}

// put writes a record if there is room for it, and wakes the reader if that has
// given all back, as the kernel does.
func (k *kernelSide) put(t *testing.T, text string, flags uint32) bool {
	t.Helper()
	at, size := k.producer.Load(), uint64(ringHeader+(len(text)+7)&^7)
	if at+size-k.consumer.Load() > smallRing {
		return false
	}
	record := binary.NativeEndian.AppendUint32(nil, uint32(len(text))|flags)
	record = append(append(record, 0, 0, 0, 0), text...)
	for i, b := range record {
		for _, base := range []uint64{0, smallRing} { // mapped twice
			k.data[((at+uint64(i))&k.mask)+base] = b
		}
	}
	k.producer.Store(at + size)
	if k.consumer.Load() == at {
		if err := k.signal(); err != nil {
			t.Fatal(err)
		}
	}
	return true
}

func (k *kernelSide) gives(t *testing.T, want string) {
	t.Helper()
	record, _, err := k.next(nil)
	if err != nil || string(record) != want {
		t.Fatalf("record %q, %v, want %q", record, err, want)
	}
}

// What was given last stays until the next is asked for.
func TestRingGivesBackLate(t *testing.T) {
	k := newKernelSide(t)
	k.put(t, "one", 0)
	k.put(t, "gone", ringDiscard)
	k.put(t, "two, longer", 0)
	k.gives(t, "one")
	if at := k.consumer.Load(); at != 0 {
		t.Errorf("consumer at %d while the first is dealt with", at)
	}
	k.gives(t, "two, longer")
	if at := k.consumer.Load(); at != 16 {
		t.Errorf("consumer at %d, want behind the first", at)
	}
	if err := k.requestFlush(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.next(nil); !errors.Is(err, ErrFlushed) {
		t.Errorf("flush: %v", err)
	}
	if k.consumer.Load() != k.producer.Load() {
		t.Error("not all given back")
	}
}

// Records stay while they are retained, up to half of the ring.
func TestRingRetains(t *testing.T) {
	k := newKernelSide(t)
	k.retain.Store(true)
	for i := range 8 { // of 16 bytes
		text := fmt.Sprint("record ", i)
		if !k.put(t, text, 0) {
			t.Fatalf("no room for record %d", i)
		}
		k.gives(t, text)
	}
	if at := k.consumer.Load(); at != 0 {
		t.Errorf("consumer at %d while records are retained", at)
	}
	k.put(t, "more", 0)
	k.gives(t, "more")
	if at := k.consumer.Load(); at != 8*16 {
		t.Errorf("consumer at %d: half of the ring is taken", at)
	}
	k.retain.Store(false)
	k.put(t, "last", 0)
	k.gives(t, "last")
	if at := k.consumer.Load(); at != 9*16 {
		t.Errorf("consumer at %d, want all but the last given back", at)
	}
}

// A reader that retains is not woken, and sees what comes all the same.
func TestRingPollsWhileRetaining(t *testing.T) {
	k := newKernelSide(t)
	k.retain.Store(true)
	k.put(t, "kept", 0)
	k.gives(t, "kept")
	time.AfterFunc(2*retainedPoll, func() { k.put(t, "later", 0) })
	k.gives(t, "later")
}

// Records go round the ring, also those that lie across its end.
func TestRingGoesRound(t *testing.T) {
	k := newKernelSide(t)
	for i := range 1000 {
		text := strings.Repeat(fmt.Sprint(i%10), i%40)
		if !k.put(t, text, 0) {
			t.Fatalf("no room for record %d", i)
		}
		k.gives(t, text)
	}
}

func TestRingClosed(t *testing.T) {
	k := newKernelSide(t)
	result := make(chan error)
	go func() {
		_, _, err := k.next(nil)
		result <- err
	}()
	time.Sleep(time.Millisecond)
	if err := k.close(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, os.ErrClosed) {
		t.Errorf("next: %v", err)
	}
	if err := k.requestFlush(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("flush: %v", err)
	}
}

// Whatever stands in the ring, reading it ends and does not panic.
func FuzzRing(f *testing.F) {
	f.Add([]byte{3, 0, 0, 0, 0, 0, 0, 0, 'a', 'b', 'c'}, uint64(16))
	f.Add([]byte{255, 255, 255, 63}, uint64(8))
	f.Fuzz(func(t *testing.T, data []byte, producer uint64) {
		k := newKernelSide(t)
		for i := 0; i+4 <= len(data); i += 8 { // what is being written ends some time
			data[i+3] &^= ringBusy >> 24
		}
		copy(k.data, data)
		k.producer.Store(producer % (2 * smallRing))
		for range 2 * smallRing {
			if _, ok := k.take(nil); !ok {
				return
			}
		}
		t.Error("does not end")
	})
}
