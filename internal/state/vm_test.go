//go:build vmtest && linux

package state

// What only root can try: `make test-vm` runs these in a VM.

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestOwner(t *testing.T) {
	d := open(t, t.TempDir())
	f := file("c1")
	f.UID, f.GID, f.Mode = 1000, 1001, 0o400
	name, err := d.Write(f)
	if err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || fi.Mode() != 0o400 || st.Uid != 1000 || st.Gid != 1001 {
		t.Errorf("mode %v, owner %+v", fi.Mode(), st)
	}
}

// A disk without room: writes end in ENOSPC on a small tmpfs.
func TestFullDisk(t *testing.T) {
	path := t.TempDir()
	if err := syscall.Mount("none", path, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(path, syscall.MNT_DETACH) })
	d := open(t, path)
	f := file("c1")
	f.Content = make([]byte, 1<<20)
	if _, err := d.Write(f); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want ENOSPC", err)
	}
	if files, _, err := d.Leftovers(); err != nil || len(files) != 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
	if left, err := os.ReadDir(filepath.Join(path, "pods")); err != nil || len(left) != 0 {
		t.Errorf("directories left: %v, %v", left, err)
	}
}

func TestReadOnlyDisk(t *testing.T) {
	path := t.TempDir()
	if err := syscall.Mount("none", path, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(path, syscall.MNT_DETACH) })
	d := open(t, path)
	if err := syscall.Mount("", path, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if err := Check(filepath.Join(path, "new")); err == nil {
		t.Error("check of a read-only disk succeeded")
	}
	if _, err := d.Write(file("c1")); !errors.Is(err, syscall.EROFS) {
		t.Errorf("got %v, want EROFS", err)
	}
}
