//go:build vmtest && linux

package hook

// What takes a mount namespace, and so root: `make test-vm` runs these in a VM.

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inContainer runs f on a thread with a mount namespace of its own, in which
// root is a mount, as runc makes it. What f starts is in it too; the thread ends
// with f.
func inContainer(t *testing.T, root string, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
			done <- err
			return
		}
		err := errors.Join(
			unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount(root, root, "", unix.MS_BIND|unix.MS_REC, ""))
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestProgramInContainer(t *testing.T) {
	program, err := Unpack(shortDir(t), "init")
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	n := serve(t, program)
	top := t.TempDir()
	root, volume := top+"/rootfs", top+"/volume"
	for _, dir := range []string{root + "/etc", root + "/vol", root + "/run", root + "/shared", root + "/var", volume} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("/run", root+"/var/run"), os.Symlink(volume, root+"/etc/out"),
		os.WriteFile(root+"/etc/passwd", nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	want := map[string]Outcome{
		"/root/.aws/credentials": Placed, "/etc/passwd": Exists, "/vol/a": OtherMount, "/var/run/a": OtherMount,
		"/shared/a": OtherMount, "/shared/new/a": OtherMount, "/proc/a": Refused, "/etc/out/a": Exists,
	}
	var files []File
	for path := range want {
		f := credentials()
		f.Path, f.UID, f.GID, f.Mode, f.ModTime = path, 1000, 1001, 0o400, time.Unix(1_600_000_000, 7)
		files = append(files, f)
	}
	ticket := n.expect("c1", files...)
	var took time.Duration
	inContainer(t, root, func() error {
		err := errors.Join(unix.Mount("none", root+"/vol", "tmpfs", 0, ""), unix.Mount("none", root+"/run", "tmpfs", 0, ""),
			unix.Mount(volume, root+"/shared", "", unix.MS_BIND, "")) // the same file system as the root's
		began := time.Now()
		if out := runHook(t, ticket, root, `{"ociVersion":"1.2.1","id":"c1","pid":1}`); out != "" {
			t.Errorf("standard error: %q", out)
		}
		took = time.Since(began)
		return err
	})
	r := n.report()
	if r.Problem != "" || r.Container != "c1" || len(r.Results) != len(want) {
		t.Fatalf("report %+v", r)
	}
	t.Logf("a run with %d files took %v", len(files), took)
	for _, got := range r.Results {
		if got.Outcome != want[got.Path] {
			t.Errorf("%s: %s (%s), want %s", got.Path, got.Outcome, got.Problem, want[got.Path])
		}
		if got.Outcome == Placed {
			compare(t, got.File, root+got.Path)
		}
	}
	if entries, err := os.ReadDir(volume); len(entries) != 0 {
		t.Errorf("the volume has %v, %v", entries, err)
	}
}

// compare expects the file at path to be the one of the descriptor.
func compare(t *testing.T, f *os.File, path string) {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	same, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !os.SameFile(st, same) || !ok || sys.Uid != 1000 || sys.Gid != 1001 || st.Mode() != 0o400 || !st.ModTime().Equal(time.Unix(1_600_000_000, 7)) {
		t.Errorf("%s: %+v, the descriptor's %+v", path, sys, same.Sys())
	}
	if up, err := os.Stat(filepath.Dir(path)); err != nil || up.Mode() != os.ModeDir|0o755 {
		t.Errorf("directory of %s: %v, %v", path, up.Mode(), err)
	}
}

func TestReadOnlyRoot(t *testing.T) {
	program, err := Unpack(shortDir(t), "init")
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	n := serve(t, program)
	root := t.TempDir()
	below := credentials()
	below.Path = "/a"
	ticket := n.expect("c1", credentials(), below)
	inContainer(t, root, func() error {
		err := unix.Mount("", root, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
		runHook(t, ticket, root, `{"id":"c1"}`)
		return err
	})
	for _, got := range n.report().Results {
		if got.Outcome != ReadOnly {
			t.Errorf("%+v", got)
		}
	}
}

// A full file system: nothing is left of the file.
func TestFullRoot(t *testing.T) {
	program, err := Unpack(shortDir(t), "init")
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	n := serve(t, program)
	root := t.TempDir()
	large := credentials()
	large.Content = make([]byte, 200<<10)
	ticket := n.expect("c1", large)
	inContainer(t, root, func() error {
		err := unix.Mount("none", root, "tmpfs", 0, "size=64k")
		runHook(t, ticket, root, `{"id":"c1"}`)
		if entries, err := os.ReadDir(root); len(entries) != 0 {
			t.Errorf("left behind: %v, %v", entries, err)
		}
		return err
	})
	if got := n.report().Results[0]; got.Outcome != Failed || got.File != nil {
		t.Errorf("%+v", got)
	}
}

func TestNoExecDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", unix.MS_NOEXEC, "mode=700"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	if p, err := Unpack(dir, "init"); err == nil || err.Error() != "hook program in "+dir+
		": the file system is mounted noexec: choose a directory of one that isn't, or mount it exec" {
		t.Errorf("%v, %v", p, err)
	}
}
