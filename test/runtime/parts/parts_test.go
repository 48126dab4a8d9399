package parts

import (
	"bytes"
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCacheDir(t *testing.T) {
	tests := []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"BEESTING_CACHE": "/c", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/c"},
		{map[string]string{"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/beesting"},
		{map[string]string{"HOME": "/h"}, "/h/.cache/beesting"},
		{nil, ""},
	}
	for _, tt := range tests {
		got, err := CacheDir(func(k string) string { return tt.env[k] })
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%v: %q, %v", tt.env, got, err)
		}
	}
}

func TestProgressCountsPackages(t *testing.T) {
	p := newProgress("x", func(string) {})
	for _, s := range []string{"go: downloading a v1\ninternal/", "abi\nfmt\n./x.go:1: broken\nno newline"} {
		if n, err := p.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	p.stop()
	if p.packages != 3 {
		t.Errorf("%d packages, want 3", p.packages)
	}
	if !strings.HasSuffix(p.tail(), "./x.go:1: broken\nno newline") {
		t.Errorf("tail %q", p.tail())
	}
}

func TestAtomically(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	boom := errors.New("boom")
	if err := atomically(dir, func(string) error { return boom }); !errors.Is(err, boom) {
		t.Error(err)
	}
	for range 2 { // the second time somebody else was quicker
		err := atomically(dir, func(tmp string) error {
			return os.WriteFile(filepath.Join(tmp, "f"), []byte("x"), 0o600)
		})
		if err != nil {
			t.Error(err)
		}
	}
	left, err := os.ReadDir(filepath.Dir(dir))
	if err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestPruneKeepsTheNewest(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"c", "a", "d", "b"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		at := time.Unix(int64(1000+i), 0)
		if err := os.Chtimes(filepath.Join(dir, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := prune(dir, 2); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 || entries[0].Name() != "b" || entries[1].Name() != "d" {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestDigestDependsOnNameAndContent(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one, two := write("1", "one"), write("2", "two")
	var keys []string
	for _, c := range []struct {
		files  map[string]string
		images string
	}{
		{map[string]string{"a": one, "b": two}, "i"},
		{map[string]string{"a": two, "b": one}, "i"},
		{map[string]string{"a": one}, "i"},
		{map[string]string{"a": one}, "j"},
	} {
		key, err := digest(c.files, []byte(c.images))
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := digest(c.files, []byte(c.images)); again != key {
			t.Errorf("%s, then %s", key, again)
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	if len(slices.Compact(keys)) != 4 {
		t.Errorf("different content, the same key: %q", keys)
	}
}

func TestIsStatic(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(bad, bytes.Repeat([]byte("x"), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	var format *elf.FormatError
	if _, err := isStatic(bad); !errors.As(err, &format) {
		t.Errorf("a file that is no program: %v", err)
	}
}
