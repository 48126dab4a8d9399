//go:build linux

package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func touch(t *testing.T, path string) string {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenTargets(t *testing.T) {
	dir := t.TempDir()
	first := touch(t, filepath.Join(dir, "id_rsa"))
	second := touch(t, filepath.Join(dir, "b", "ID RSA"))
	hard, soft := filepath.Join(dir, "hard"), filepath.Join(dir, "soft")
	if err := errors.Join(os.Link(first, hard), os.Symlink(first, soft)); err != nil {
		t.Fatal(err)
	}
	targets, err := openTargets([]string{soft, first, second, hard, first}, "host")
	if err != nil {
		t.Fatal(err)
	}
	defer closeTargets(targets)
	if len(targets) != 2 {
		t.Fatalf("%d targets, want one for each of 2 files", len(targets))
	}
	a, b := targets[0].placement, targets[1].placement
	if a.Token.Path != soft || a.HostPath != first || a.Token.Name != "soft" {
		t.Errorf("placement = %+v, want the first name given", a)
	}
	if b.Token.Path != second || b.Token.Name != "id-rsa" {
		t.Errorf("placement = %+v", b)
	}
	if a.ID == 0 || a.ID == b.ID || len(a.TokenID) != 26 || a.TokenID == b.TokenID {
		t.Errorf("ids %v %q, %v %q", a.ID, a.TokenID, b.ID, b.TokenID)
	}
	for _, p := range targets {
		if err := p.placement.Token.Validate(); err != nil {
			t.Errorf("token: %v", err)
		}
	}
	again, err := openTargets([]string{soft}, "host")
	if err != nil {
		t.Fatal(err)
	}
	defer closeTargets(again)
	if got := again[0].placement.TokenID; got != a.TokenID {
		t.Errorf("canary id %q in another run, want %q", got, a.TokenID)
	}
}

func TestOpenTargetsRefuses(t *testing.T) {
	dir := t.TempDir()
	pipe, good := filepath.Join(dir, "pipe"), touch(t, filepath.Join(dir, "good"))
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	before := openFiles(t)
	targets, err := openTargets([]string{"/dev/null", pipe, good, dir, filepath.Join(dir, "none"), good + "/x"}, "")
	want := "/dev/null: is a device: only regular files can be watched\n" +
		pipe + ": is a named pipe: only regular files can be watched\n" +
		dir + ": is a directory: only regular files can be watched\n" +
		dir + "/none: no such file or directory\n" +
		good + "/x: not a directory"
	if targets != nil || err == nil || err.Error() != want {
		t.Errorf("error:\n%v\nwant:\n%s", err, want)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error("the cause is hidden")
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d files open, %d before", after, before)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestNameTokens(t *testing.T) {
	long := strings.Repeat("a", 80)
	paths := []string{"/x", "/b/x", "/c/X", "/...", "/.env", "/" + long, "/b/" + long, "/a_-b!", "/ü"}
	want := []string{"x", "x-2", "x-3", "file", "env", long[:63], long[:61] + "-2", "a--b", "file-2"}
	targets := make([]target, len(paths))
	for i, p := range paths {
		targets[i].placement = placement(p, "")
	}
	nameTokens(targets)
	for i, p := range paths {
		got := targets[i].placement.Token
		if got.Name != want[i] || got.Validate() != nil {
			t.Errorf("%s is named %q (%v), want %q", p, got.Name, got.Validate(), want[i])
		}
	}
}
