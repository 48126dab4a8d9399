//go:build vmtest && linux

package bpf

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// filesystems are mounted by the VM harness; tmpfs is everywhere.
func filesystems() []string {
	return []string{"/tmp", "/mnt/ext4", "/mnt/xfs", "/mnt/btrfs"}
}

func eachFilesystem(t *testing.T, f func(t *testing.T, base string)) {
	t.Helper()
	for _, fs := range filesystems() {
		t.Run(strings.ReplaceAll(strings.TrimPrefix(fs, "/"), "/", "-"), func(t *testing.T) { f(t, fs) })
	}
}

// user is somebody who isn't root.
func user() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1234, Gid: 2345}}
}

// Every path that leads to the inode gives one event, on every file system.
func testPathsToAFile(t *testing.T, s *Sensor) {
	eachFilesystem(t, func(t *testing.T, fs string) {
		dir := publicDir(t, fs)
		path := token(t, dir)
		defer watch(t, s, path, 5).Close()

		link, symlink, bind := filepath.Join(dir, "link"), filepath.Join(dir, "symlink"), filepath.Join(dir, "bind")
		put(t, bind, nil)
		if err := errors.Join(
			os.Link(path, link),
			os.Symlink("token", symlink),
			unix.Mount(path, bind, "", unix.MS_BIND, ""),
		); err != nil {
			t.Fatal(err)
		}
		defer unix.Unmount(bind, unix.MNT_DETACH)

		for _, p := range []string{path, link, symlink, bind, filepath.Join("/proc/1/root", path)} {
			touch(t, p, user1(p))
			e := one(t, s)
			var st unix.Stat_t
			if err := unix.Stat(path, &st); err != nil {
				t.Fatal(err)
			}
			if e.Placement != 5 || e.Inode != st.Ino {
				t.Errorf("%s: %+v", p, e)
			}
		}
	})
}

// user1 is user, but root for the paths that only root may walk.
func user1(path string) *syscall.SysProcAttr {
	if strings.HasPrefix(path, "/proc") {
		return nil
	}
	return user()
}

// overlay mounts one whose layers lie on the file system at base.
func overlay(t *testing.T, base string, lower func(dir string)) (merged, upper, lowerDir string) {
	t.Helper()
	dir := publicDir(t, base)
	paths := make(map[string]string)
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		paths[name] = filepath.Join(dir, name)
		if err := os.Mkdir(paths[name], 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if lower != nil {
		lower(paths["lower"])
	}
	options := "lowerdir=" + paths["lower"] + ",upperdir=" + paths["upper"] + ",workdir=" + paths["work"]
	if err := unix.Mount("overlay", paths["merged"], "overlay", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(paths["merged"], unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return paths["merged"], paths["upper"], paths["lower"]
}

// touchOnce expects one event, by the user who did it.
func touchOnce(t *testing.T, s *Sensor, path string) {
	t.Helper()
	touch(t, path, user())
	events := drain(t, s)
	if len(events) != 1 || events[0].Placement != 5 || events[0].UID != 1234 || events[0].EUID != 1234 {
		t.Errorf("%s: %d events, want one by user 1234: %+v", path, len(events), events)
	}
}

func touchNever(t *testing.T, s *Sensor, path string) {
	t.Helper()
	touch(t, path, user())
	if events := drain(t, s); len(events) != 0 {
		t.Errorf("%s: %d events, want none: %+v", path, len(events), events)
	}
}

// An open of an overlay file passes the hook twice and is one event; the file
// below it, reached on the host, is watched too.
func testOverlayUpper(t *testing.T, s *Sensor) {
	eachFilesystem(t, func(t *testing.T, base string) {
		merged, upper, _ := overlay(t, base, nil)
		path := token(t, merged)
		w := watch(t, s, path, 5)
		touchOnce(t, s, path)
		touchOnce(t, s, filepath.Join(upper, "token"))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		touchNever(t, s, path)
		touchNever(t, s, filepath.Join(upper, "token"))
	})
}

// A token of an image layer, before and after it is copied up.
func testOverlayLower(t *testing.T, s *Sensor) {
	eachFilesystem(t, func(t *testing.T, base string) {
		merged, upper, lower := overlay(t, base, func(dir string) {
			put(t, filepath.Join(dir, "token"), []byte("secret"))
		})
		path := filepath.Join(merged, "token")
		defer watch(t, s, path, 5).Close()
		touchOnce(t, s, path)
		touchOnce(t, s, filepath.Join(lower, "token"))

		cmd := child("append", path)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if e := one(t, s); e.Flags&unix.O_ACCMODE != unix.O_WRONLY {
			t.Errorf("flags of the write: %#x", e.Flags)
		}
		untilCopied(t, s, 5)
		touchOnce(t, s, path)
		touchOnce(t, s, filepath.Join(upper, "token"))
	})
}

// untilCopied waits for the new inode of an overlay file to be watched: the third.
func untilCopied(t *testing.T, s *Sensor, placement uint64) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		inodes := s.byPlacement[placement].inodes
		s.mu.Unlock()
		if inodes == 3 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d inodes are watched", inodes)
		}
	}
}

// The word that a file is being copied up comes before the copy, so who acts on it
// at once finds nothing new. One that never comes is looked for at the next write.
func testCopyUpIsWaitedFor(t *testing.T, s *Sensor) {
	merged, upper, _ := overlay(t, "/tmp", func(dir string) {
		put(t, filepath.Join(dir, "token"), []byte("secret"))
	})
	path := filepath.Join(merged, "token")
	defer watch(t, s, path, 5).Close()
	if s.copiedUp(5) {
		t.Fatal("found before there was one")
	}
	s.copies.mu.Lock() // as after all tries
	s.copies.of[5] = &copyUp{tries: copyUpTries}
	s.copies.mu.Unlock()
	s.copies.written(5)
	for tries := 0; tries < 3; time.Sleep(time.Millisecond) {
		s.copies.mu.Lock()
		tries = s.copies.of[5].tries
		s.copies.mu.Unlock()
	}
	// Nobody reads what the kernel says of this.
	if out, err := child("append", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	untilCopied(t, s, 5)
	one(t, s)
	touchOnce(t, s, filepath.Join(upper, "token"))
}

// Watched on the host only: what comes through the overlay is seen, under the
// name of who did it and not of who mounted it.
func testOverlayWatchedBelow(t *testing.T, s *Sensor) {
	eachFilesystem(t, func(t *testing.T, base string) {
		merged, upper, _ := overlay(t, base, nil)
		path := token(t, merged)
		defer watch(t, s, filepath.Join(upper, "token"), 5).Close()
		touchOnce(t, s, path)
		touchOnce(t, s, filepath.Join(upper, "token"))
	})
}
