package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// tree makes an image's root with a file "inside" and, beside it, what must
// never be reached, under the same names.
func tree(t *testing.T) (root string, inside, outside os.FileInfo) {
	t.Helper()
	top := t.TempDir()
	root = filepath.Join(top, "rootfs")
	for _, dir := range []string{root + "/run/secrets", root + "/var", root + "/etc", top + "/run/secrets"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{root + "/run/secrets/token", top + "/run/secrets/token"} {
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inside, outside = stat(t, root+"/run/secrets/token"), stat(t, top+"/run/secrets/token")
	return root, inside, outside
}

func stat(t *testing.T, name string) os.FileInfo {
	t.Helper()
	fi, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return fi
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

func lookup(t *testing.T, root, name string) (os.FileInfo, error) {
	t.Helper()
	r, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f, err := r.Lookup(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

func TestLookupStaysInside(t *testing.T) {
	root, inside, outside := tree(t)
	link(t, "/run", root+"/var/run")
	link(t, "../../../../run/secrets", root+"/etc/up")
	link(t, filepath.Dir(root)+"/run/secrets", root+"/etc/out")
	link(t, "/var/run/secrets/token", root+"/etc/chain")

	for _, name := range []string{
		"/run/secrets/token",
		"run/secrets/token",
		"/var/run/secrets/token",
		"/../../run/secrets/token",
		"/etc/up/token",
		"/etc/chain",
	} {
		got, err := lookup(t, root, name)
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case os.SameFile(got, outside):
			t.Errorf("%s: left the root", name)
		case !os.SameFile(got, inside):
			t.Errorf("%s: another file", name)
		}
	}
	if _, err := lookup(t, root, "/etc/out/token"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absolute link to a path of the host: %v, want not found", err)
	}

	// The proof that the look-up matters: a plain join leaves the root.
	link(t, filepath.Dir(root)+"/run", root+"/var/run2")
	if got := stat(t, root+"/var/run2/secrets/token"); !os.SameFile(got, outside) {
		t.Error("a plain join did not leave the root: the test's tree is wrong")
	}
}

func TestLookupRefusesMagicLinks(t *testing.T) {
	outside, err := os.Create(filepath.Join(t.TempDir(), "outside"))
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	name := fmt.Sprintf("/self/fd/%d", outside.Fd())
	if _, err := lookup(t, "/proc", name); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("magic link %s: %v, want ELOOP", name, err)
	}
}

func TestLookupLoop(t *testing.T) {
	root, _, _ := tree(t)
	link(t, "/etc/a", root+"/etc/b")
	link(t, "/etc/b", root+"/etc/a")
	if _, err := lookup(t, root, "/etc/a"); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("loop: %v, want ELOOP", err)
	}
}

func TestLookupDoesNotBlockOnFIFO(t *testing.T) {
	root, _, _ := tree(t)
	if err := syscall.Mkfifo(root+"/etc/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	fi, err := lookup(t, root, "/etc/fifo")
	if err != nil || fi.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("FIFO: %v, %v", fi, err)
	}
}

func TestOpenFollowsProcRoot(t *testing.T) {
	r, err := Open(fmt.Sprintf("/proc/%d/root", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f, err := r.Lookup("/")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || !os.SameFile(fi, stat(t, "/")) {
		t.Errorf("root of this process: %v, %v", fi, err)
	}
}

func TestOpenErrors(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("file: %v", err)
	}
}
