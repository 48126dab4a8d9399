//go:build linux

package place

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/internal/hook/wire"
)

// image makes a root and, beside it, a directory of the host that links of the
// image want to lead to.
func image(t *testing.T) (root string, rootFD int, host string) {
	t.Helper()
	top := t.TempDir()
	root, host = filepath.Join(top, "rootfs"), filepath.Join(top, "host")
	for _, dir := range []string{root + "/etc", root + "/run", root + "/var", host + "/etc"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return root, fd, host
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

func token(path, content string) wire.File {
	return wire.File{
		Mode: 0o640, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Path: path,
		Seconds: 1_600_000_000, Nanoseconds: 5, Size: uint32(len(content)),
	}
}

// put makes a file as the hook does.
func put(root int, f wire.File, content string) (*os.File, error) {
	p, err := Create(root, f)
	if err != nil {
		return nil, err
	}
	if err := p.Write([]byte(content)); err != nil {
		p.Abandon()
		return nil, err
	}
	fd, err := p.Commit()
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Path), nil
}

func outcomeOf(err error) wire.Outcome {
	var e *Error
	if errors.As(err, &e) {
		return e.Outcome
	}
	return 0
}

// list has all names below dir.
func list(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		all = append(all, strings.TrimPrefix(path, dir))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestPut(t *testing.T) {
	root, fd, _ := image(t)
	before := openFiles(t)
	f, err := put(fd, token("/home/app/.aws/credentials", "secret"), "secret")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	path := root + "/home/app/.aws/credentials"
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode() != 0o640 || !st.ModTime().Equal(time.Unix(1_600_000_000, 5)) {
		t.Errorf("mode %v, time %v", st.Mode(), st.ModTime())
	}
	if data, err := os.ReadFile(path); string(data) != "secret" {
		t.Errorf("content %q, %v", data, err)
	}
	if same, err := f.Stat(); err != nil || !os.SameFile(st, same) {
		t.Errorf("the descriptor is of another file: %v", err)
	}
	if _, err := f.Write([]byte("x")); err == nil {
		t.Error("the descriptor can be written through")
	}
	for _, dir := range []string{"/home", "/home/app", "/home/app/.aws"} {
		st, err := os.Stat(root + dir)
		if err != nil || st.Mode() != fs.ModeDir|0o755 || !st.ModTime().Equal(time.Unix(1_600_000_000, 5)) {
			t.Errorf("%s: %v, %v, %v", dir, st.Mode(), st.ModTime(), err)
		}
	}
	if now := openFiles(t); now != before+1 {
		t.Errorf("%d descriptors were open, now %d", before, now)
	}
}

func TestLinksStayInside(t *testing.T) {
	root, fd, host := image(t)
	link(t, "/run", root+"/var/run")
	link(t, "../../../../../../run", root+"/var/up")
	link(t, host, root+"/var/host") // leads to root+host, which isn't there
	for _, path := range []string{"/var/run/a", "/var/up/b", "/var/run/new/c"} {
		f, err := put(fd, token(path, "x"), "x")
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		_ = f.Close()
		if _, err := os.Stat(filepath.Join(root, "run", strings.TrimPrefix(strings.TrimPrefix(path, "/var/run"), "/var/up"))); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := put(fd, token("/var/host/etc/d", "x"), "x"); outcomeOf(err) != wire.Exists {
		t.Errorf("link that leads nowhere inside: %v", err)
	}
	// With the target made inside the root, the link is one like others.
	if err := os.MkdirAll(root+host, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := put(fd, token("/var/host/e", "x"), "x")
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if _, err := os.Stat(root + host + "/e"); err != nil {
		t.Error(err)
	}
	if got := list(t, host); len(got) != 2 { // itself and etc
		t.Errorf("written outside of the root: %q", got)
	}
}

func TestExistingIsLeftAlone(t *testing.T) {
	root, fd, host := image(t)
	if err := os.WriteFile(root+"/etc/passwd", []byte("theirs"), 0o644); err != nil {
		t.Fatal(err)
	}
	link(t, host+"/etc/new", root+"/etc/dangling")
	link(t, "passwd", root+"/etc/alias")
	if err := syscall.Mkfifo(root+"/etc/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	before := list(t, root)
	for _, path := range []string{"/etc/passwd", "/etc/dangling", "/etc/alias", "/etc/fifo", "/etc"} {
		if _, err := put(fd, token(path, "x"), "x"); outcomeOf(err) != wire.Exists {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := put(fd, token("/etc/passwd/below", "x"), "x"); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("below a file: %v", err)
	}
	if data, err := os.ReadFile(root + "/etc/passwd"); string(data) != "theirs" {
		t.Errorf("content %q, %v", data, err)
	}
	if after := list(t, root); strings.Join(after, "\n") != strings.Join(before, "\n") {
		t.Errorf("before %q, after %q", before, after)
	}
	if got := list(t, host); len(got) != 2 {
		t.Errorf("written outside of the root: %q", got)
	}
}

func TestRefusedPaths(t *testing.T) {
	_, fd, _ := image(t)
	for _, path := range []string{
		"", "/", "etc/a", "//a", "/a//b", "/a/", "/../a", "/a/../b", "/./a", "/a\x00b",
		"/proc/1/x", "/sys/x", "/dev/shm/x", "/dev",
		"/" + strings.Repeat("a/", 2048) + "b", "/" + strings.Repeat("a", 256), "/" + strings.Repeat("a/", 64) + "b",
	} {
		if _, err := put(fd, token(path, "x"), "x"); outcomeOf(err) != wire.Refused || len(err.Error()) > wire.MaxText {
			t.Errorf("%q: %v", path, err)
		}
	}
	// Strange, and a file name all the same.
	for _, path := range []string{"/etc/new\nline", "/etc/\xff\xfe", "/etc/" + strings.Repeat("a", 255), "/deviations"} {
		f, err := put(fd, token(path, "x"), "x")
		if err != nil {
			t.Errorf("%q: %v", path, err)
			continue
		}
		_ = f.Close()
	}
}

// Whatever goes wrong on the way, nothing is left.
func TestNothingIsLeft(t *testing.T) {
	root, fd, _ := image(t)
	before, files := strings.Join(list(t, root), "\n"), openFiles(t)
	start := func() *File {
		t.Helper()
		p, err := Create(fd, token("/a/b/c", "four"))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := start()
	p.Abandon()
	p = start()
	if err := p.Write([]byte("too long")); err == nil {
		t.Error("more than announced")
	}
	p.Abandon()
	p = start()
	if _, err := p.Commit(); err == nil {
		t.Error("less than announced")
	}
	p = start()
	p.left = 0
	// fchown(2) refuses a descriptor that was opened with O_PATH.
	if err := unix.Dup3(fd, p.fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Commit(); !errors.Is(err, unix.EBADF) {
		t.Errorf("owner of a descriptor that can't have one: %v", err)
	}
	if after := strings.Join(list(t, root), "\n"); after != before {
		t.Errorf("left behind: %q", after)
	}
	if now := openFiles(t); now != files {
		t.Errorf("%d descriptors were open, now %d", files, now)
	}
}

// A file that somebody puts in place of ours is neither reported nor removed.
func TestReplacedMeanwhile(t *testing.T) {
	root, fd, _ := image(t)
	p, err := Create(fd, token("/etc/a", ""))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/etc/other", []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(root+"/etc/other", root+"/etc/a"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Commit(); err == nil || !strings.Contains(err.Error(), "replaced") {
		t.Errorf("got %v", err)
	}
	if data, err := os.ReadFile(root + "/etc/a"); string(data) != "theirs" {
		t.Errorf("content %q, %v", data, err)
	}
}

// A directory of the path is exchanged with a link to the host's, all the time.
func TestRaces(t *testing.T) {
	root, fd, host := image(t)
	if err := os.MkdirAll(root+"/x/etc", 0o755); err != nil {
		t.Fatal(err)
	}
	link(t, "../host", root+"/y")
	stop := make(chan struct{})
	var racer sync.WaitGroup
	racer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				// Renames one in place of the other, atomically (Linux 3.15).
				_ = unix.Renameat2(unix.AT_FDCWD, root+"/x", unix.AT_FDCWD, root+"/y", unix.RENAME_EXCHANGE)
			}
		}
	})
	made, failed := 0, 0
	for began := time.Now(); time.Since(began) < 2*time.Second && (made < 300 || failed < 300); {
		for _, path := range []string{"/x/etc/a", "/x/new/a"} {
			f, err := put(fd, token(path, "x"), "x")
			if err != nil {
				failed++
			} else {
				made++
				_ = f.Close()
			}
			if _, err := os.Lstat(host + "/etc/a"); err == nil {
				t.Fatal("written outside of the root")
			}
			if _, err := os.Lstat(host + "/new"); err == nil {
				t.Fatal("directory made outside of the root")
			}
			for _, dir := range []string{"/x", "/y"} {
				_ = os.RemoveAll(root + dir + "/new")
				_ = os.Remove(root + dir + "/etc/a")
			}
		}
	}
	close(stop)
	racer.Wait()
	if made == 0 || failed == 0 {
		t.Errorf("%d made, %d failed: no race took place", made, failed)
	}
}

func TestWriteInParts(t *testing.T) {
	root, fd, _ := image(t)
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	f := token("/etc/large", string(content))
	p, err := Create(fd, f)
	if err != nil {
		t.Fatal(err)
	}
	for rest := content; len(rest) > 0; {
		n := min(len(rest), wire.MaxChunk)
		if err := p.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
		if p.Missing() != len(rest) {
			t.Fatalf("missing %d, want %d", p.Missing(), len(rest))
		}
	}
	out, err := p.Commit()
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(out)
	if data, err := os.ReadFile(root + "/etc/large"); !bytes.Equal(data, content) {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

// FuzzSplit: a path that passes has no way to be anything else than names.
func FuzzSplit(f *testing.F) {
	f.Add("/etc/a")
	f.Add("/../a")
	f.Fuzz(func(t *testing.T, path string) {
		names, ok := split(path)
		if !ok {
			return
		}
		if "/"+strings.Join(names, "/") != path || filepath.Clean(path) != path {
			t.Errorf("%q is taken for %q", path, names)
		}
	})
}
