//go:build vmtest && linux

package journal

// What only root can try: `make test-vm` runs these in a VM.

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestFullDisk fills the disk under a journal: it goes on in memory as far as that
// is bounded, delivers all the same, and writes everything when there is room.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("none", disk, "tmpfs", 0, "size=2m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	dir := filepath.Join(disk, "journal")
	j := open(t, dir, options(t))
	logs := cursor(t, j, "logs")
	cursor(t, j, "slow")
	fill(t, j, 0, 100)
	ballast := fillDisk(t, disk)

	n := 100
	var err error
	for ; err == nil; n++ {
		err = j.Append(entry(n))
	}
	n-- // the last one was not taken
	if !errors.Is(err, ErrFull) || n < maxWaiting {
		t.Fatalf("after %d entries: %v", n, err)
	}
	s := j.Stats()
	if s.Error == "" || s.Waiting != maxWaiting || s.Refused != 1 || s.FailedWrites == 0 {
		t.Errorf("stats of a full disk %+v", s)
	}
	if got := counts(read(t, logs, 100)); !slices.Equal(got, upTo(0, n)) {
		t.Errorf("%d of %d entries are delivered on a full disk", len(got), n)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("none", disk, "", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); j.Stats().Waiting > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not written a minute after there is room: %+v", j.Stats())
		}
	}
	fill(t, j, n, n+10)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir, options(t))
	slow := cursor(t, j, "slow")
	if got := counts(read(t, slow, 100)); !slices.Equal(got, upTo(0, n+10)) {
		t.Errorf("%d of %d entries were written", len(got), n+10)
	}
}

// fillDisk leaves no room on a disk, and returns the file that takes it.
func fillDisk(t *testing.T, disk string) string {
	t.Helper()
	f := must(os.Create(filepath.Join(disk, "ballast")))
	block := make([]byte, pageSize)
	for {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}
