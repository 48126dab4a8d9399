package proc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMounts(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "7"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "7", "mountinfo"), []byte("1 2 3:4 /a\\040b\\134 /c\\011\\9 ro,noexec shared:1 master:2 - ext4 src rw\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := FS(dir).Mounts(7)
	if err != nil || len(all) != 1 || all[0] != (Mount{ID: 1, Device: "3:4", Root: `/a b\`, Point: "/c\t" + `\9`, Options: "ro,noexec", Kind: "ext4"}) {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err := FS(dir).Mounts(8); err == nil {
		t.Error("no process, no error")
	}
	for _, bad := range []string{"x", "1 2 3:4 / / rw", "x 2 3:4 / / rw - ext4 a b", "1 2 3:4 / / rw -", "1 2 3:4 / / - ext4"} {
		if all, err := parseMounts(strings.NewReader(bad)); err == nil {
			t.Errorf("%q: %+v", bad, all)
		}
	}
}

func FuzzMounts(f *testing.F) {
	f.Add("100 1 0:50 / / rw,relatime - overlay overlay rw\n101 100 254:1 /a\\040b /dev/termination-log rw - ext4 /dev/vda1 rw")
	f.Fuzz(func(t *testing.T, s string) {
		all, err := parseMounts(strings.NewReader(s))
		for _, m := range all {
			if err == nil && (m.Root == "" || m.Point == "" || m.Kind == "") {
				t.Errorf("%+v", m)
			}
		}
	})
}
