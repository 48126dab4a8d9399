//go:build vmtest && linux

package stealth

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What a real kernel shows of a file that is mounted, locked and looked at as the
// agent does it, and of one that is not.
func TestRealMount(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "kubelet/plugins/x/pods/uid/containers/web/01234567")
	target, plain := filepath.Join(dir, "a b/secret"), filepath.Join(dir, "a b/plain")
	for _, name := range []string{source, target, plain} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(-72 * time.Hour)
		if err := os.Chtimes(name, old, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
	flags := uintptr(unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	if err := unix.Mount("", target, "", flags, ""); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(source)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_RDLCK, Start: 1 << 62, Len: 1}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{target: {Lock, Mount, SourceOwn, ReadOnly}, plain: nil} {
		r, err := Looker{Proc: "/proc"}.Look(os.Getpid(), name)
		if err != nil {
			t.Fatal(err)
		}
		got := names(r)
		for _, trait := range want {
			if !slices.Contains(got, trait) {
				t.Errorf("%s: no %s in %+v", name, trait, r.Findings)
			}
		}
		for _, trait := range []string{Lock, Mount, ReadOnly} {
			if slices.Contains(got, trait) && !slices.Contains(want, trait) {
				t.Errorf("%s: %s in %+v", name, trait, r.Findings)
			}
		}
	}
}
