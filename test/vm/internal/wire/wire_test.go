package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestFramesComeBackInOrder(t *testing.T) {
	var buf bytes.Buffer
	w := NewWriter(&buf)
	long := strings.Repeat("0123456789", MaxPayload/4)
	if _, err := io.WriteString(w.Stream(TypeStdout), long); err != nil {
		t.Fatal(err)
	}
	if err := w.Frame(TypeDone, nil); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for {
		typ, p, err := Read(&buf)
		if err != nil {
			t.Fatal(err)
		}
		if typ == TypeDone {
			break
		}
		if typ != TypeStdout || len(p) > MaxPayload {
			t.Fatalf("frame %c of %d bytes", typ, len(p))
		}
		got.Write(p)
	}
	if got.String() != long {
		t.Fatalf("%d bytes came back, want %d", got.Len(), len(long))
	}
	if _, _, err := Read(&buf); !errors.Is(err, io.EOF) {
		t.Fatalf("at the end: %v", err)
	}
}

func TestEmptyWriteIsNoFrame(t *testing.T) {
	var buf bytes.Buffer
	if n, err := NewWriter(&buf).Stream(TypeStderr).Write(nil); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if buf.Len() != 0 {
		t.Fatalf("%d bytes written", buf.Len())
	}
}

func TestNoiseAndCutFramesAreErrors(t *testing.T) {
	var buf bytes.Buffer
	if err := NewWriter(&buf).Frame(TypeStdout, []byte("abc")); err != nil {
		t.Fatal(err)
	}
	whole := buf.Bytes()
	for cut := 1; cut < len(whole); cut++ {
		if _, _, err := Read(bytes.NewReader(whole[:cut])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d bytes: %v", cut, err)
		}
	}
	if _, _, err := Read(strings.NewReader("[    0.1] Linux version")); !errors.Is(err, ErrDesync) {
		t.Errorf("console text: %v", err)
	}
	huge := []byte{magic, byte(TypeStdout), 0xff, 0xff, 0xff, 0xff}
	if _, _, err := Read(bytes.NewReader(huge)); !errors.Is(err, ErrDesync) {
		t.Errorf("huge length: %v", err)
	}
}
