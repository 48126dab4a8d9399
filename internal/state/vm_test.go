//go:build vmtest && linux

package state

// What only root can try: `make test-vm` runs these in a VM.

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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

// fillDisk leaves no room on the disk that path is on; empty gives it back.
func fillDisk(t *testing.T, path string) (empty func()) {
	t.Helper()
	f, err := os.CreateTemp(path, ".check-*")
	must(t, err)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	must(t, f.Close())
	return func() { must(t, os.Remove(f.Name())) }
}

// Records on a disk that fills up, and on one that is full from the start: they
// are kept in memory, the reason is shown, and they are written when there is
// room.
func TestRecordsOnFullDisk(t *testing.T) {
	for _, fromStart := range []bool{false, true} {
		path := t.TempDir()
		must(t, syscall.Mount("none", path, "tmpfs", 0, "size=2m"))
		t.Cleanup(func() { _ = syscall.Unmount(path, syscall.MNT_DETACH) })
		var empty func()
		if fromStart {
			empty = fillDisk(t, path)
		}
		d := open(t, path)
		if !fromStart {
			must(t, d.WriteRecord(planting("before", tokenID("x"))), d.RemoveRecord("before"))
			eventually(t, d, "first commit", flushed)
			empty = fillDisk(t, path)
		}
		for i := range 500 {
			must(t, d.WriteRecord(planting(fmt.Sprint("c", i), tokenID("y"), tokenID("z"))))
		}
		eventually(t, d, "failure", func(s Stats) bool { return s.FailedCommits > 1 })
		if s := d.Stats(); !strings.Contains(s.Error, syscall.ENOSPC.Error()) || s.Pending != 500 || s.PendingSince.IsZero() || s.SetAside != "" {
			t.Errorf("full: %+v", s)
		}
		if _, err := d.Record("c7"); err != nil {
			t.Error(err)
		}
		if _, err := d.Write(file("c7")); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("token file: %v, want ENOSPC", err)
		}
		if files, _, err := d.Leftovers(); err != nil || len(files) != 0 {
			t.Errorf("left behind: %v, %v", files, err)
		}
		empty()
		eventually(t, d, "recovery", flushed)
		must(t, d.Close())
		d = open(t, path)
		if s := d.Stats(); s.Containers != 500 || s.SetAside != "" || s.History != map[bool]int{false: 1}[fromStart] {
			t.Errorf("after a restart: %+v", s)
		}
	}
}

func TestReadOnlyDisk(t *testing.T) {
	path := t.TempDir()
	if err := syscall.Mount("none", path, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(path, syscall.MNT_DETACH) })
	d := open(t, path)
	eventually(t, d, "first commit", flushed)
	if err := syscall.Mount("", path, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if err := Check(filepath.Join(path, "new")); err == nil {
		t.Error("check of a read-only disk succeeded")
	}
	if _, err := d.Write(file("c1")); !errors.Is(err, syscall.EROFS) {
		t.Errorf("got %v, want EROFS", err)
	}
	must(t, d.WriteRecord(planting("c1", tokenID("x"))))
	eventually(t, d, "failure", func(s Stats) bool { return strings.Contains(s.Error, syscall.EROFS.Error()) })
	must(t, syscall.Mount("", path, "", syscall.MS_REMOUNT, ""))
	eventually(t, d, "recovery", flushed)
	must(t, d.Close(), syscall.Mount("", path, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	// What was planted is known on a disk that is read-only from the start.
	if s := open(t, path).Stats(); s.Containers != 1 {
		t.Errorf("read-only from the start: %+v", s)
	}
}
