//go:build linux && (amd64 || arm64)

package bpf

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// rawEvent is a record as the kernel would write it.
func rawEvent(change func(*lsmEvent)) []byte {
	e := lsmEvent{
		Version: layout, Kind: uint8(KindOpen), Placement: 7, Time: 5e9,
		Pid: 10, Tid: 11, ParentPid: 9, Dev: 8<<20 | 3, Inode: 42,
	}
	copy(e.Comm[:], "cat\x00junk")
	e.ExeLen = uint16(copy(e.Exe[:], "/bin/cat\x00"))
	e.ArgsLen = uint16(copy(e.Args[:], "cat\x00/etc/token\x00"))
	if change != nil {
		change(&e)
	}
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&e)), unsafe.Sizeof(e))...)
}

func TestDecode(t *testing.T) {
	e, err := decode(rawEvent(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := Event{
		Kind: KindOpen, Placement: 7, Time: 5 * time.Second, PID: 10, TID: 11, ParentPID: 9,
		DevMajor: 8, DevMinor: 3, Inode: 42, Comm: "cat", Executable: "/bin/cat",
		Args: []string{"cat", "/etc/token"},
	}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("got  %+v\nwant %+v", e, want)
	}
}

func TestDecodePaths(t *testing.T) {
	tests := []struct {
		name, bytes string
		bits        uint16
		want        string
		truncated   bool
	}{
		{"as d_path writes it", "/usr/bin/cat\x00", 0, "/usr/bin/cat", false},
		{"stale bytes after the end", "/bin/sh\x00/cat\x00", 0, "/bin/sh", false},
		{"not ended", "/bin/sh", 0, "/bin/sh", false},
		{"missing", "/bin/sh\x00", bitExeMissing, "", true},
		{"components", "cat\x00bin\x00usr\x00", bitExeReversed, "/usr/bin/cat", false},
		{"components, deleted", "cat\x00bin\x00", bitExeReversed | bitExeDeleted, "/bin/cat (deleted)", false},
		{"components, cut", "cat\x00bin\x00", bitExeReversed | bitExeCut, "…/bin/cat", true},
		{"no component", "", bitExeReversed, "/", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, err := decode(rawEvent(func(r *lsmEvent) {
				r.ExeLen, r.Bits = uint16(copy(r.Exe[:], tt.bytes)), tt.bits
			}))
			if err != nil {
				t.Fatal(err)
			}
			if e.Executable != tt.want || e.ExecutableTruncated != tt.truncated {
				t.Errorf("got %q, truncated %v; want %q, %v", e.Executable, e.ExecutableTruncated, tt.want, tt.truncated)
			}
		})
	}
}

func TestDecodeArguments(t *testing.T) {
	long := strings.Repeat("x", 1024)
	tests := []struct {
		name, bytes string
		bits        uint16
		want        []string
	}{
		{"none", "", 0, nil},
		{"one empty", "\x00", 0, []string{""}},
		{"empty in the middle", "a\x00\x00b\x00", 0, []string{"a", "", "b"}},
		{"cut", long, bitArgsCut, []string{long}},
		{"paged out", "", bitArgsMissing, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, err := decode(rawEvent(func(r *lsmEvent) {
				r.ArgsLen, r.Bits = uint16(copy(r.Args[:], tt.bytes)), tt.bits
			}))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(e.Args, tt.want) {
				t.Errorf("got %q, want %q", e.Args, tt.want)
			}
			if e.ArgsTruncated != (tt.bits&bitArgsCut != 0) || e.ArgsMissing != (tt.bits&bitArgsMissing != 0) {
				t.Errorf("truncated %v, missing %v", e.ArgsTruncated, e.ArgsMissing)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := map[string][]byte{
		"empty":          nil,
		"short":          rawEvent(nil)[:100],
		"long":           append(rawEvent(nil), 0),
		"other version":  rawEvent(func(r *lsmEvent) { r.Version = 99 }),
		"unknown kind":   rawEvent(func(r *lsmEvent) { r.Kind = uint8(Kinds) }),
		"ancestors":      rawEvent(func(r *lsmEvent) { r.Ancestors = MaxAncestors + 1 }),
		"directory end":  rawEvent(func(r *lsmEvent) { r.CwdLen = 513 }),
		"detail end":     rawEvent(func(r *lsmEvent) { r.DetailLen = 257 }),
		"executable end": rawEvent(func(r *lsmEvent) { r.ExeLen = 1025 }),
		"arguments end":  rawEvent(func(r *lsmEvent) { r.ArgsLen = 0xffff }),
	}
	for name, raw := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := decode(raw)
			var de *DecodeError
			if !errors.As(err, &de) {
				t.Errorf("got %v, want a *DecodeError", err)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(rawEvent(nil))
	f.Add(rawEvent(func(r *lsmEvent) { r.Bits = bitExeReversed | bitExeCut | bitArgsCut }))
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := decode(raw)
		var de *DecodeError
		if err != nil && !errors.As(err, &de) {
			t.Fatalf("error of another kind: %v", err)
		}
		if err != nil && !reflect.DeepEqual(e, Event{}) {
			t.Fatal("an event beside an error")
		}
		if len(e.Executable) > 1024+len("…/ (deleted)") || len(e.Comm) > 16 {
			t.Fatal("text beyond its bound")
		}
	})
}

// The three objects are compiled one by one; the decoder knows one layout.
func TestObjectsAgree(t *testing.T) {
	var layouts []string
	for _, load := range []func() (*ebpf.CollectionSpec, error){loadLsm, loadFentry, loadKprobe} {
		spec, err := load()
		if err != nil {
			t.Fatal(err)
		}
		var event *btf.Struct
		if err := spec.Types.TypeByName("event", &event); err != nil {
			t.Fatal(err)
		}
		if event.Size != uint32(unsafe.Sizeof(lsmEvent{})) {
			t.Errorf("event of %d bytes in C, %d in Go", event.Size, unsafe.Sizeof(lsmEvent{}))
		}
		var b strings.Builder
		for _, m := range event.Members {
			fmt.Fprintf(&b, "%s@%d ", m.Name, m.Offset.Bytes())
		}
		layouts = append(layouts, b.String())
	}
	if layouts[0] != layouts[1] || layouts[0] != layouts[2] {
		t.Errorf("layouts differ:\n%s", strings.Join(layouts, "\n"))
	}
}

// Empty arguments are cheap to pass and dear to keep.
func TestDecodeManyArguments(t *testing.T) {
	for _, n := range []int{MaxArgs - 1, MaxArgs, MaxArgs + 1, 1000} {
		e, err := decode(rawEvent(func(r *lsmEvent) {
			clear(r.Args[:])
			r.ArgsLen = uint16(n) //nolint:gosec // small
		}))
		if err != nil {
			t.Fatal(err)
		}
		if len(e.Args) != min(n, MaxArgs) || e.ArgsTruncated != (n > MaxArgs) {
			t.Errorf("%d arguments: %d are kept, truncated %v", n, len(e.Args), e.ArgsTruncated)
		}
	}
}
