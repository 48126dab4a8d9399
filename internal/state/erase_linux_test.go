package state

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// used makes a state directory with everything that an agent puts there.
func used(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state")
	d, err := Open(path, Options{CloseTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	_, errKey := d.Key()
	_, errWrite := d.Write(File{PodUID: "p", ContainerName: "c", ContainerID: "id", Token: "t", Content: []byte("x"), Mode: 0o600})
	err = errors.Join(errKey, errWrite, d.WriteRecord(Record{Container: "id"}), d.Mark("boot", 1), d.Close(),
		os.WriteFile(filepath.Join(path, ".tmp-1"), nil, 0o600),
		os.WriteFile(filepath.Join(path, "records.db.damaged"), nil, 0o600),
		os.MkdirAll(filepath.Join(path, "containers", "old.json"), 0o700))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestErase(t *testing.T) {
	path := used(t)
	if n, err := Look(path); err != nil || n != 1 {
		t.Errorf("holds %d files (%v)", n, err)
	}
	if err := Erase(path); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 0 {
		t.Errorf("left: %v (%v)", left, err)
	}
	for name, f := range map[string]func(string) error{
		"look": func(s string) error { _, err := Look(s); return err }, "erase": Erase,
	} {
		if err := f(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s without a directory: %v", name, err)
		}
	}
}

// A directory that was named by mistake keeps what it has.
func TestEraseLeavesOthersAlone(t *testing.T) {
	path := used(t)
	mine, other := filepath.Join(path, "mine"), t.TempDir()
	kept := filepath.Join(other, "kept")
	err := errors.Join(os.WriteFile(mine, nil, 0o600), os.WriteFile(kept, nil, 0o600), os.Symlink(other, filepath.Join(path, "pods", "link")))
	if err != nil {
		t.Fatal(err)
	}
	if err := Erase(path); err == nil || !strings.Contains(err.Error(), mine+" is not the agent's: nothing is removed") {
		t.Errorf("error %v", err)
	}
	for _, name := range []string{mine, kept, filepath.Join(path, "lock"), filepath.Join(path, "node.key")} {
		if _, err := os.Lstat(name); err != nil {
			t.Error(err)
		}
	}
	if err := os.Remove(mine); err != nil {
		t.Fatal(err)
	}
	if err := Erase(path); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(kept); err != nil {
		t.Error(err)
	}
}
