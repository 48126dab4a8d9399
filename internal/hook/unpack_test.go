//go:build linux

package hook

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func unpackAt(t *testing.T, dir string, now time.Time) *Program {
	t.Helper()
	p, err := unpack(dir, "init", now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestUnpack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "dir")
	first := unpackAt(t, dir, time.Now())
	st, err := os.Stat(first.Path())
	if err != nil || st.Mode() != 0o700 || filepath.Dir(first.Path()) != dir || st.Size() > maxProgram {
		t.Fatalf("%s: %v, %v", first.Path(), st, err)
	}
	second := unpackAt(t, dir, time.Now())
	if second.Path() != first.Path() || !os.SameFile(first.info, second.info) {
		t.Error("what was there and right was not used")
	}
	// What isn't right is replaced, in one step.
	if err := os.WriteFile(first.Path(), []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	third := unpackAt(t, dir, time.Now())
	if third.Path() != first.Path() || os.SameFile(first.info, third.info) || third.info.Size() != first.info.Size() {
		t.Error("a wrong file was not replaced")
	}
	if err := first.intact(); err == nil {
		t.Error("a replaced program is taken for intact")
	}
	if err := third.intact(); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(third.Path(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := third.intact(); err == nil {
		t.Error("a program that can't be executed is taken for intact")
	}
}

func TestOldVersions(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"init-0123456789ab", ".init-0123456789ab.123", "init-notahash", "other-0123456789ab"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	current := filepath.Base(unpackAt(t, dir, now).Path())
	want := []string{"init-0123456789ab", "init-0123456789ab.old", current, "init-notahash", "other-0123456789ab"}
	check := func(what string, want ...string) {
		t.Helper()
		got := names(t, dir)
		if len(strings.Fields(got)) != len(want) {
			t.Errorf("%s: %s", what, got)
		}
		for _, name := range want {
			if !strings.Contains(" "+got+" ", " "+name+" ") {
				t.Errorf("%s: %s without %s", what, got, name)
			}
		}
	}
	check("replaced", want...)
	unpackAt(t, dir, now.Add(retirement-time.Minute))
	check("within the day", want...)
	unpackAt(t, dir, now.Add(retirement+time.Minute))
	check("a day later", current, "init-notahash", "other-0123456789ab")
	// Back to an earlier version: it isn't an old one any more.
	if err := os.WriteFile(filepath.Join(dir, current+retiredSuffix), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	unpackAt(t, dir, now)
	check("back again", current, "init-notahash", "other-0123456789ab")
}

func TestUnpackRefuses(t *testing.T) {
	open := t.TempDir()
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ dir, name, want string }{
		{open, "init", "others can write"},
		{filepath.Join(open, "below"), "init", "others can write"},
		{"relative", "init", "not absolute"},
		{file, "init", "not a directory"},
		{t.TempDir(), "", "not one for a file"},
		{t.TempDir(), "a/b", "not one for a file"},
		{t.TempDir(), ".hidden", "not one for a file"},
		// Nothing can be executed on proc(5), nor made; what comes first is told.
		{"/proc/self/fd", "init", "hook program in /proc/self/fd"},
	} {
		p, err := Unpack(c.dir, c.name)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Unpack(%q, %q) = %v, %v, want %q", c.dir, c.name, p, err, c.want)
		}
	}
}

func TestListenRefuses(t *testing.T) {
	dir := shortDir(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(shortDir(t), "s")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for socket, want := range map[string]string{
		dir + "/s": "0700", file: "not a socket", "relative/s": "not absolute",
		shortDir(t) + strings.Repeat("/a", 60): "107 bytes",
	} {
		s, err := Listen(Options{Socket: socket, Program: self(t), Deliver: func(Report) {}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v, want %q", socket, s, err, want)
		}
	}
	if s, err := Listen(Options{Socket: dir + "/s"}); err == nil {
		t.Errorf("no program: %v", s)
	}
}
