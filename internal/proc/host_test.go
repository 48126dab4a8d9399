package proc

import (
	"os"
	"path/filepath"
	"testing"
)

func TestHostID(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "1/root/etc")
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, "machine-id"), []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const id = "0123456789abcdef0123456789abcdef"
	write(id + "\n")
	if got := FS(dir).HostID(); got != id {
		t.Errorf("id %q, want the host's", got)
	}
	// Before its first boot an image has this in it (machine-id(5)).
	write("uninitialized\n")
	if got := FS(dir).HostID(); got == "uninitialized" {
		t.Errorf("id %q", got)
	}
}

func TestHostName(t *testing.T) {
	dir := t.TempDir()
	for pid, ns := range map[string]string{"self": "uts:[1]", "1": "uts:[1]"} {
		if err := os.MkdirAll(filepath.Join(dir, pid, "ns"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(ns, filepath.Join(dir, pid, "ns/uts")); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if got := FS(dir).HostName(); got != want {
		t.Errorf("name %q, want %q", got, want)
	}
	if err := os.Remove(filepath.Join(dir, "1/ns/uts")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("uts:[2]", filepath.Join(dir, "1/ns/uts")); err != nil {
		t.Fatal(err)
	}
	if got := FS(dir).HostName(); got != "" {
		t.Errorf("in a container: %q", got)
	}
}
