package live

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	deep := "/" + strings.Repeat("d/", 2046) + "ab"
	for path, want := range map[string][]string{
		"/a":                           {"a"},
		"/root/.aws/credentials":       {"root", ".aws", "credentials"},
		"/a\n b/\xff\xfe":              {"a\n b", "\xff\xfe"},
		"/process/sys":                 {"process", "sys"},
		"/..a/b..":                     {"..a", "b.."},
		"/" + strings.Repeat("n", 255): {strings.Repeat("n", 255)},
		deep:                           strings.Split(deep[1:], "/"),
	} {
		if got, err := split(path); err != nil || !slices.Equal(got, want) || join(got) != path {
			t.Errorf("%.40q: %.40q, %v", path, got, err)
		}
	}
	if len(deep) != maxPath {
		t.Fatalf("the longest path has %d bytes", len(deep))
	}
	for _, path := range []string{
		"", "/", "a", "a/b", "./a", "//a", "/a/", "/a//b", "/./a", "/a/.", "/..", "/../a", "/a/../b", "/a/..", "/a\x00b",
		"/proc", "/proc/1/x", "/sys/x", "/" + strings.Repeat("n", 256), deep + "c",
	} {
		if got, err := split(path); !errors.Is(err, ErrPath) {
			t.Errorf("%.40q: %.40q, %v", path, got, err)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add("/a/b")
	f.Add("/a/../b")
	f.Fuzz(func(t *testing.T, path string) {
		names, err := split(path)
		if err != nil {
			if !errors.Is(err, ErrPath) {
				t.Fatal(err)
			}
			return
		}
		if join(names) != path {
			t.Fatalf("%q: %q", path, names)
		}
		for _, n := range names {
			if n == "" || n == "." || n == ".." || strings.ContainsAny(n, "/\x00") {
				t.Fatalf("%q: %q", path, n)
			}
		}
	})
}

func TestIDMap(t *testing.T) {
	m, err := parseIDMap([]byte("         0     100000      65536\n     70000       1000          1\n 80000 4294967295 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[uint32]uint32{0: 100000, 1000: 101000, 65535: 165535, 70000: 1000} {
		if got, err := m.outside(in); err != nil || got != want {
			t.Errorf("%d: %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []uint32{65536, 69999, 70001, 80000, math.MaxUint32} {
		if got, err := m.outside(in); !errors.Is(err, ErrUnmapped) {
			t.Errorf("%d: %d, %v", in, got, err)
		}
	}
	// The initial namespace.
	if m, err = parseIDMap([]byte("         0          0 4294967295\n")); err != nil {
		t.Fatal(err)
	}
	for _, id := range []uint32{0, 65534, math.MaxUint32 - 1} {
		if got, err := m.outside(id); err != nil || got != id {
			t.Errorf("%d: %d, %v", id, got, err)
		}
	}
	for _, bad := range []string{"0 0", "0 0 1 1", "a 0 1", "0 -1 1", "0 0 4294967296", "\n", strings.Repeat("1", 1<<17)} {
		if m, err := parseIDMap([]byte(bad)); err == nil {
			t.Errorf("%.20q: %v", bad, m)
		}
	}
}

func FuzzIDMap(f *testing.F) {
	f.Add([]byte("0 100000 65536\n"), uint32(7))
	f.Add([]byte("0 0 4294967295\n"), uint32(math.MaxUint32))
	f.Add([]byte("1 4294967290 100\n"), uint32(50))
	f.Fuzz(func(t *testing.T, b []byte, id uint32) {
		m, err := parseIDMap(b)
		if err != nil {
			return
		}
		got, err := m.outside(id)
		if err != nil {
			if !errors.Is(err, ErrUnmapped) {
				t.Fatal(err)
			}
			return
		}
		if got == noID || !slices.ContainsFunc(m, func(e extent) bool {
			return uint64(got)-uint64(e.outside) == uint64(id)-uint64(e.inside) && id >= e.inside && uint64(id) < uint64(e.inside)+uint64(e.count)
		}) {
			t.Fatalf("%d: %d by %v", id, got, m)
		}
	})
}

const mounts = `29 1 0:27 / / rw,relatime - overlay overlay rw,lowerdir=/a:/b
30 29 0:28 / /proc rw - proc proc rw
31 29 8:1 /vol /vol\040a rw shared:5 master:3 - ext4 /dev/sda1 rw
32 29 8:1 /vol /vol\040b rw master:3 propagate_from:2 - ext4 shared:1 rw
`

func TestShared(t *testing.T) {
	for id, want := range map[uint64]bool{29: false, 31: true, 32: false} {
		if got, err := shared(strings.NewReader(mounts), id); err != nil || got != want {
			t.Errorf("mount %d: %v, %v", id, got, err)
		}
	}
	for _, bad := range []string{"", mounts, "33 1 0:27 / / rw\n", "33\n", "33 1 0:27 / / rw master:1\n", strings.Repeat("x", 2*maxMountLine)} {
		if got, err := shared(strings.NewReader(bad), 33); err == nil {
			t.Errorf("%.40q: %v", bad, got)
		}
	}
}

func FuzzShared(f *testing.F) {
	f.Add([]byte(mounts), uint64(31))
	f.Fuzz(func(t *testing.T, b []byte, id uint64) {
		if got, err := shared(bytes.NewReader(b), id); got && (err != nil || !bytes.Contains(b, []byte("shared:"))) {
			t.Fatalf("mount %d is shared, %v", id, err)
		}
	})
}
