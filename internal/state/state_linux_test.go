package state

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
)

func open(t *testing.T, path string) *Dir {
	t.Helper()
	return openWith(t, path, Options{})
}

func file(container string) File {
	return File{PodUID: "5e0e-1", ContainerName: "web", ContainerID: container, Token: "aws",
		Content: []byte("secret"), Mode: 0o640, UID: os.Getuid(), GID: os.Getgid()}
}

func TestOpenLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "state")
	d := open(t, path)
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v", fi, err)
	}
	if _, err := Open(path, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("second: %v, want ErrLocked", err)
	}
	if err := Check(path); err != nil {
		t.Errorf("check beside a running agent: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

func TestLockOfDirectory(t *testing.T) {
	dir := t.TempDir()
	lock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, err := Lock(dir); !errors.Is(err, ErrLocked) {
		t.Errorf("second: %v, want ErrLocked", err)
	}
	if _, err := Lock(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

func TestKey(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	key, err := d.Key()
	if err != nil || len(key) != KeyBytes {
		t.Fatalf("%d bytes, %v", len(key), err)
	}
	if fi, err := os.Stat(filepath.Join(path, "node.key")); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode: %v, %v", fi, err)
	}
	_ = d.Close()
	if again, err := open(t, path).Key(); err != nil || !bytes.Equal(again, key) {
		t.Errorf("after a restart: %x, %v; want %x", again, err, key)
	}
	if err := os.WriteFile(filepath.Join(path, "node.key"), key[:7], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Key(); err == nil || !strings.Contains(err.Error(), "7 bytes") {
		t.Errorf("damaged key: %v", err)
	}
}

func TestWriteAndRemove(t *testing.T) {
	d := open(t, t.TempDir())
	name, err := d.Write(file("c1"))
	if err != nil {
		t.Fatal(err)
	}
	if want := regexp.MustCompile(`/pods/5e0e-1/containers/web/[0-9a-f]{8}$`); !want.MatchString(name) || !d.Owns(name) {
		t.Errorf("path %s", name)
	}
	fi, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if fi.Mode() != 0o640 {
		t.Errorf("mode %v", fi.Mode())
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != "secret" {
		t.Errorf("content %q, %v", b, err)
	}

	other, err := d.Write(file("c2"))
	if err != nil || other == name {
		t.Fatalf("second container: %s, %v", other, err)
	}
	if fi2, err := os.Stat(other); err != nil || os.SameFile(fi, fi2) {
		t.Errorf("two containers share an inode: %v", err)
	}
	if err := d.Remove(name, name); err != nil {
		t.Errorf("remove twice: %v", err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("the other file: %v", err)
	}
	if err := d.Remove(other); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(d.Path(), "pods")); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestRemoveRefusesOthers(t *testing.T) {
	d := open(t, t.TempDir())
	outside := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{outside, filepath.Join(d.Path(), "lock"), d.Path() + "/pods/../lock", d.Path() + "/pods"} {
		if err := d.Remove(name); err == nil {
			t.Errorf("%s removed", name)
		}
	}
}

func TestHostileNames(t *testing.T) {
	d := open(t, t.TempDir())
	for _, s := range []string{"", ".", "..", "../../etc", "a/b", ".hidden", "a\x00b", strings.Repeat("x", 300), "ü"} {
		f := file(s)
		f.PodUID, f.ContainerName = s, s
		name, err := d.Write(f)
		if err != nil || !d.Owns(name) || filepath.Clean(name) != name {
			t.Errorf("%q: %s, %v", s, name, err)
		}
		if err := d.WriteRecord(Record{Container: s}); err != nil {
			t.Errorf("record of %q: %v", s, err)
		}
		if r, err := d.Record(s); err != nil || r.Container != s {
			t.Errorf("record of %q: %+v, %v", s, r, err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadDir(d.Path()); err != nil || len(got) != 3 { // lock, pods, records.db
		t.Errorf("state directory holds %v, %v", got, err)
	}
	d = open(t, d.Path())
	for _, c := range d.records.containers() { // by what is found under each, none stays
		if err := d.RemoveRecord(c); err != nil {
			t.Error(err)
		}
	}
	if s := d.Stats(); s.Containers != 0 {
		t.Errorf("after removal: %+v", s)
	}
}

func TestRecords(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	if _, err := d.Record("c1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none yet: %v", err)
	}
	if files, containers, err := d.Leftovers(); err != nil || files != nil || containers != nil {
		t.Errorf("empty directory: %v, %v, %v", files, containers, err)
	}
	name, err := d.Write(file("c1"))
	if err != nil {
		t.Fatal(err)
	}
	want := Record{
		Container: "c1", Name: "web", Image: "shop", CreatedAt: time.Unix(4, 0).UTC(),
		Tokens: []Token{{
			Name: "aws", Kind: "k", Strategy: beesting.StrategyBind, Path: "/p", File: name, Dev: 7, Inode: 1 << 60,
			ID: "abcdefghijklmnopqrstuvwxyz", PlacementID: 1<<64 - 1, PlantedAt: time.Unix(5, 6).UTC(),
		}},
	}
	if err := d.WriteRecord(want); err != nil {
		t.Fatal(err)
	}
	unfinished := filepath.Join(filepath.Dir(name), ".tmp-1")
	if err := os.WriteFile(unfinished, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"at once", "after a restart"} {
		got, err := d.Record("c1")
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", when, got, err, want)
		}
		got.Tokens[0].Name = "changed" // the reader's own
		files, containers, err := d.Leftovers()
		if err != nil || !slices.Equal(files, []string{unfinished, name}) || !slices.Equal(containers, []string{"c1"}) {
			t.Errorf("%s: leftovers %v, %v, %v", when, files, containers, err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		d = open(t, path)
	}
	if fi, err := os.Stat(filepath.Join(path, databaseName)); err != nil || fi.Mode() != 0o600 {
		t.Errorf("database: %v, %v", fi, err)
	}
	for _, c := range []string{"c1", "c1", "c2"} {
		if err := d.RemoveRecord(c); err != nil {
			t.Errorf("remove record %s: %v", c, err)
		}
	}
	if _, err := d.Record("c1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteRecord(want); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if s := open(t, path).Stats(); s.Containers != 0 || s.History != 1 {
		t.Errorf("after removal: %+v", s)
	}
}

// Directories are pruned while another container of the same pod gets its file.
func TestWriteBesideRemove(t *testing.T) {
	d := open(t, t.TempDir())
	var all sync.WaitGroup
	for _, container := range []string{"c1", "c2"} {
		all.Go(func() {
			for range 500 {
				f := File{PodUID: "uid", ContainerName: "web", ContainerID: container, Token: "aws", Mode: 0o600, UID: os.Getuid(), GID: os.Getgid()}
				name, err := d.Write(f)
				if err == nil {
					_, err = os.Stat(name)
				}
				if err = errors.Join(err, d.Remove(name)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}
