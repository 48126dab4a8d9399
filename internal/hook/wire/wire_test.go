package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func hello() Hello {
	h := Hello{Container: "c1", Problem: "no root"}
	copy(h.Ticket[:], "0123456789abcdef")
	copy(h.Secret[:], "0123456789abcdef0123456789ABCDEF")
	return h
}

func file() File {
	return File{Index: 3, Mode: 0o640, UID: 1000, GID: 1001, Seconds: -5, Nanoseconds: 999_999_999, Size: MaxContent, Path: "/etc/a"}
}

func TestRoundTrip(t *testing.T) {
	h := hello()
	if got, err := DecodeHello(h.AppendTo(nil)); err != nil || got != h {
		t.Errorf("hello: %+v, %v", got, err)
	}
	f := file()
	if got, err := DecodeNext(f.AppendTo(nil)); err != nil || *got != f {
		t.Errorf("file: %+v, %v", got, err)
	}
	if got, err := DecodeNext(AppendEnd(nil)); err != nil || got != nil {
		t.Errorf("end: %+v, %v", got, err)
	}
	for _, r := range []Result{{Index: 9, Outcome: Placed}, {Index: 1, Outcome: Failed, Problem: "full"}} {
		if got, err := DecodeResult(r.AppendTo(nil)); err != nil || got != r {
			t.Errorf("result: %+v, %v", got, err)
		}
	}
	content := bytes.Repeat([]byte{7}, MaxChunk)
	packet := AppendChunk(nil, content)
	if got, err := DecodeChunk(packet); err != nil || !bytes.Equal(got, content) || len(packet) > MaxPacket {
		t.Errorf("chunk: %d bytes of %d, %v", len(got), len(packet), err)
	}
}

// A longest packet fits the buffer that the other side reads into.
func TestLongest(t *testing.T) {
	f := file()
	f.Path = "/" + strings.Repeat("a", MaxPath-1)
	h := hello()
	h.Container, h.Problem = strings.Repeat("c", MaxText), strings.Repeat("p", 2*MaxText)
	r := Result{Outcome: Failed, Problem: h.Problem}
	if len(f.AppendTo(nil)) > MaxPacket || len(h.AppendTo(nil)) > MaxPacket {
		t.Error("longer than MaxPacket")
	}
	if got, err := DecodeHello(h.AppendTo(nil)); err != nil || len(got.Problem) != MaxText {
		t.Errorf("long problem: %v", err)
	}
	if got, err := DecodeResult(r.AppendTo(nil)); err != nil || len(got.Problem) != MaxText {
		t.Errorf("long problem: %v", err)
	}
}

func TestRefused(t *testing.T) {
	h, f := hello(), file()
	other := h.AppendTo(nil)
	other[1] = Version + 1
	if _, err := DecodeHello(other[:2]); !errors.Is(err, ErrVersion) {
		t.Errorf("other version: %v", err)
	}
	for cut := range len(h.AppendTo(nil)) {
		if _, err := DecodeHello(h.AppendTo(nil)[:cut]); err == nil {
			t.Errorf("hello of %d bytes is accepted", cut)
		}
	}
	bad := map[string]File{}
	for name, change := range map[string]func(*File){
		"set-uid": func(f *File) { f.Mode = 0o4755 }, "large": func(f *File) { f.Size = MaxContent + 1 },
		"time": func(f *File) { f.Nanoseconds = 1e9 }, "no path": func(f *File) { f.Path = "" },
	} {
		f := f
		change(&f)
		bad[name] = f
	}
	for name, f := range bad {
		if got, err := DecodeNext(f.AppendTo(nil)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for name, r := range map[string]Result{
		"no outcome": {Problem: "x"}, "unknown outcome": {Outcome: lastOutcome + 1, Problem: "x"},
		"placed with a problem": {Outcome: Placed, Problem: "x"}, "failed without": {Outcome: Failed},
	} {
		if got, err := DecodeResult(r.AppendTo(nil)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := DecodeNext(append(f.AppendTo(nil), 0)); !errors.Is(err, ErrMalformed) {
		t.Errorf("a byte too many: %v", err)
	}
	if _, err := DecodeChunk([]byte{kindChunk}); !errors.Is(err, ErrMalformed) {
		t.Errorf("empty chunk: %v", err)
	}
}

// FuzzDecodeFromHook: what the agent reads.
func FuzzDecodeFromHook(f *testing.F) {
	h := hello()
	f.Add(h.AppendTo(nil))
	r := Result{Index: 1, Outcome: Failed, Problem: "x"}
	f.Add(r.AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := DecodeHello(b); err == nil && !bytes.Equal(h.AppendTo(nil), b) {
			t.Errorf("hello %x became %+v", b, h)
		}
		if r, err := DecodeResult(b); err == nil && !bytes.Equal(r.AppendTo(nil), b) {
			t.Errorf("result %x became %+v", b, r)
		}
	})
}

// FuzzDecodeFromAgent: what the hook reads.
func FuzzDecodeFromAgent(f *testing.F) {
	d := file()
	f.Add(d.AppendTo(nil))
	f.Add(AppendEnd(nil))
	f.Add(AppendChunk(nil, []byte("x")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := DecodeNext(b); err == nil && d != nil && !bytes.Equal(d.AppendTo(nil), b) {
			t.Errorf("file %x became %+v", b, d)
		}
		if c, err := DecodeChunk(b); err == nil && !bytes.Equal(AppendChunk(nil, c), b) {
			t.Errorf("chunk %x became %x", b, c)
		}
	})
}
