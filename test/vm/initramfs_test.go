package vm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cavaliergopher/cpio"
)

func TestArchiveHoldsWhatWasPut(t *testing.T) {
	host := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(host, "d", "sub"), 0o750))
	must(t, os.WriteFile(filepath.Join(host, "d", "sub", "f"), []byte("abc"), 0o640))
	must(t, os.Symlink("sub/f", filepath.Join(host, "d", "link")))
	must(t, os.Symlink(filepath.Join(host, "d", "sub", "f"), filepath.Join(host, "named")))

	var buf bytes.Buffer
	a := newArchive(&buf)
	must(t, a.copy("/opt/tree", filepath.Join(host, "d")))
	must(t, a.copy("/opt/file", filepath.Join(host, "named")))
	must(t, a.data("/etc/x", 0o600, []byte("12345")))
	must(t, a.symlink("/bin/sh", "busybox"))
	must(t, a.w.Close())

	got := map[string]string{}
	seen := map[int64]string{}
	for r := cpio.NewReader(&buf); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		if other, dup := seen[h.Inode]; dup {
			t.Errorf("%s and %s share inode %d: the kernel would link them", h.Name, other, h.Inode)
		}
		seen[h.Inode] = h.Name
		body, err := io.ReadAll(r)
		must(t, err)
		if _, dup := got[h.Name]; dup {
			t.Errorf("%s is there twice", h.Name)
		}
		got[h.Name] = fmt.Sprintf("%o %s%s", h.Mode, h.Linkname, body)
	}
	want := map[string]string{
		"opt": "40755 ", "etc": "40755 ", "bin": "40755 ",
		"opt/tree": "40750 ", "opt/tree/sub": "40750 ",
		"opt/tree/sub/f": "100640 abc", "opt/file": "100640 abc",
		"opt/tree/link": "120777 sub/f", "bin/sh": "120777 busybox",
		"etc/x": "100600 12345",
	}
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%s: got %q, want %q", name, got[name], w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d entries, want %d: %v", len(got), len(want), got)
	}
}

func TestArchiveRefusesDevices(t *testing.T) {
	err := newArchive(io.Discard).copy("/x", os.DevNull)
	if err == nil || !strings.Contains(err.Error(), os.DevNull) {
		t.Errorf("got %v", err)
	}
}

func TestCheckFiles(t *testing.T) {
	for guest, ok := range map[string]bool{
		"/usr/bin/x": true, "/tmpx/y": true, "relative": false, "/": false, "": false,
		"/tmp/x": false, "/run/../tmp/x": false, "/dev": false,
	} {
		if err := checkFiles(map[string]string{guest: "x"}); (err == nil) != ok {
			t.Errorf("%q: %v", guest, err)
		}
	}
}

func TestModuleClosure(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"modules.dep": "kernel/fs/btrfs/btrfs.ko: kernel/lib/raid6/raid6_pq.ko kernel/crypto/xor.ko\n" +
			"kernel/lib/raid6/raid6_pq.ko:\nkernel/crypto/xor.ko:\nkernel/crypto/crc32c-cryptoapi.ko:\nkernel/net/a-b.ko:\n",
		"modules.softdep": "# comment\nsoftdep btrfs pre: crypto-crc32c\nsoftdep btrfs pre: sha256\n",
		"modules.alias":   "alias crypto-crc32c crc32c_cryptoapi\nalias fs-btrfs btrfs\nalias net-x a_b\n",
		"modules.builtin": "kernel/fs/ext4/ext4.ko\n",
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	tree, err := readModuleTree(dir)
	must(t, err)
	paths, err := tree.closure([]string{"btrfs", "ext4", "nonesuch"})
	must(t, err)
	want := "kernel/crypto/crc32c-cryptoapi.ko kernel/crypto/xor.ko kernel/fs/btrfs/btrfs.ko kernel/lib/raid6/raid6_pq.ko"
	if got := strings.Join(paths, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	aliases, err := tree.index("modules.alias", paths)
	must(t, err)
	if got := string(aliases); got != "alias crypto-crc32c crc32c_cryptoapi\nalias fs-btrfs btrfs\n" {
		t.Errorf("aliases: %q", got)
	}
	for name, want := range map[string]bool{"a-b": true, "a_b": true, "ext4": true, "nonesuch": false} {
		if got, err := tree.has(name); err != nil || got != want {
			t.Errorf("has(%s) = %v, %v", name, got, err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
