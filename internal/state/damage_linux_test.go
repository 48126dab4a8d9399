package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// fullDatabase is a database of a few hundred pages with branches, a list of
// free pages and a history.
func fullDatabase(t testing.TB) []byte {
	t.Helper()
	path := t.TempDir()
	d, err := Open(path, Options{MaxHistory: 300, CloseTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		c := fmt.Sprintf("c%d", i)
		id := strings.NewReplacer("0", "x", "1", "y", "8", "z", "9", "w").Replace(fmt.Sprintf("%026d", i))
		if err := d.WriteRecord(planting(c, id)); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			if err := d.RemoveRecord(c); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(path, databaseName))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// pageWith returns where the first page with the flags is that the root leads to,
// or the list of free pages.
func pageWith(t *testing.T, b []byte, flags uint16) int {
	t.Helper()
	m, err := currentMeta(bytes.NewReader(b), pageSize)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	p := pages{f: f, size: pageSize, used: make([]bool, m.pages)}
	if err := p.tree(m.root, bounds{}, true, 0); err != nil {
		t.Fatal(err)
	}
	if flags == flagFreelist {
		return int(m.freelist) * pageSize
	}
	for id, used := range p.used {
		if at := id * pageSize; used && binary.NativeEndian.Uint16(b[at+8:]) == flags && uint64(id) != m.root {
			return at
		}
	}
	t.Fatalf("no page with flags %#x", flags)
	return 0
}

func TestDamagedDatabaseIsSetAside(t *testing.T) {
	whole := fullDatabase(t)
	branch, leaf, free := pageWith(t, whole, flagBranch), pageWith(t, whole, flagLeaf), pageWith(t, whole, flagFreelist)
	put := binary.NativeEndian
	edit := func(f func(b []byte)) []byte { b := bytes.Clone(whole); f(b); return b }
	for name, b := range map[string][]byte{
		"one byte":                 {1},
		"garbage":                  bytes.Repeat([]byte("beesting"), 4096),
		"zeros":                    make([]byte, len(whole)),
		"a page":                   whole[:pageSize],
		"meta pages only":          whole[:2*pageSize],
		"truncated":                whole[:len(whole)/4],
		"not whole pages":          whole[:len(whole)/4+77],
		"another page size":        edit(func(b []byte) { b[headerBytes+9], b[pageSize+headerBytes+9] = 0x20, 0x20; resum(b) }),
		"both metas damaged":       edit(func(b []byte) { b[20]++; b[pageSize+20]++ }),
		"zeroed behind the metas":  edit(func(b []byte) { clear(b[2*pageSize:]) }),
		"a branch's child outside": edit(func(b []byte) { put.PutUint64(b[branch+headerBytes+8:], 1<<40) }),
		"a branch's child itself":  edit(func(b []byte) { put.PutUint64(b[branch+headerBytes+8:], uint64(branch/pageSize)) }),
		"a branch of nothing":      edit(func(b []byte) { put.PutUint16(b[branch+10:], 0) }),
		"a first key of its own":   edit(func(b []byte) { b[firstKeyEnd(b, branch)]-- }),
		"too many elements":        edit(func(b []byte) { put.PutUint16(b[leaf+10:], 0xFFFF) }),
		"a key outside":            edit(func(b []byte) { put.PutUint32(b[leaf+headerBytes+4:], 1<<31) }),
		"a key too long":           edit(func(b []byte) { put.PutUint32(b[leaf+headerBytes+8:], 1<<31) }),
		"a bucket in a bucket":     edit(func(b []byte) { put.PutUint32(b[leaf+headerBytes:], flagBucket) }),
		"a leaf that overflows":    edit(func(b []byte) { put.PutUint32(b[leaf+12:], 1<<30) }),
		"a leaf that is free":      edit(func(b []byte) { put.PutUint64(b[free+headerBytes:], uint64(leaf/pageSize)) }),
		"too many free":            edit(func(b []byte) { put.PutUint16(b[free+10:], 0xFFFF); put.PutUint64(b[free+headerBytes:], 1<<60) }),
		"a page of another kind":   edit(func(b []byte) { put.PutUint16(b[leaf+8:], 0x40) }),
		"another page's number":    edit(func(b []byte) { b[leaf]++ }),
	} {
		t.Run(name, func(t *testing.T) { setAside(t, b) })
	}
}

// setAside opens a directory with the bytes as database.
func setAside(t *testing.T, b []byte) {
	path := t.TempDir()
	file := filepath.Join(path, databaseName)
	must(t, os.WriteFile(file, b, 0o600))
	if _, err := OpenReadOnly(path); !errors.As(err, new(*DamagedError)) {
		t.Errorf("for reading: %v", err)
	}
	var log strings.Builder
	d := openWith(t, path, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if s := d.Stats(); s.SetAside != file+".damaged" || s.Containers != 0 {
		t.Errorf("%+v", s)
	}
	if !strings.Contains(log.String(), "kept_as="+file+".damaged") {
		t.Errorf("log: %s", log.String())
	}
	if kept, err := os.ReadFile(file + ".damaged"); err != nil || !bytes.Equal(kept, b) {
		t.Errorf("kept %d bytes of %d (%v)", len(kept), len(b), err)
	}
	must(t, d.WriteRecord(planting("new", tokenID("x"))), d.Close())
	if s := open(t, path).Stats(); s.Containers != 1 || s.SetAside != "" {
		t.Errorf("after a restart: %+v", s)
	}
}

// What is no damage is left alone: a torn write of a meta page, an empty file.
func TestUndamagedDatabases(t *testing.T) {
	whole := fullDatabase(t)
	for name, b := range map[string][]byte{"whole": whole, "empty": nil} {
		path := t.TempDir()
		must(t, os.WriteFile(filepath.Join(path, databaseName), b, 0o600))
		if s := open(t, path).Stats(); s.SetAside != "" || s.Containers != len(b)/max(len(b), 1)*500 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	older := 0
	if newer, err := currentMeta(bytes.NewReader(whole), pageSize); err != nil || newer.txid%2 == 0 {
		older = pageSize
	}
	torn := bytes.Clone(whole)
	clear(torn[older+20 : older+200])
	path := t.TempDir()
	must(t, os.WriteFile(filepath.Join(path, databaseName), torn, 0o600))
	if s := open(t, path).Stats(); s.SetAside != "" || s.Containers != 500 {
		t.Errorf("torn: %+v", s)
	}
}

// A database of a later version is kept for it: rolling back starts all the
// same.
func TestOtherSchema(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	must(t, d.WriteRecord(planting("c1", tokenID("x"))), d.Close())
	file := filepath.Join(path, databaseName)
	db, err := bbolt.Open(file, 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketMeta)).Put([]byte("schema"), []byte(strconv.Itoa(schema+1)))
	}), db.Close())
	d = open(t, path)
	if s := d.Stats(); s.SetAside != file+".other-version" || s.Containers != 0 {
		t.Errorf("%+v", s)
	}
	if _, err := os.Stat(file + ".other-version"); err != nil {
		t.Error(err)
	}
}

// bbolt finds a database damaged that was well when it was verified: all that
// is known goes into a new one.
func TestDamageWhileOpen(t *testing.T) {
	path := t.TempDir()
	file := filepath.Join(path, databaseName)
	must(t, os.WriteFile(file, fullDatabase(t), 0o600))
	d := open(t, path)
	eventually(t, d, "first commit", flushed)
	must(t, os.Truncate(file, 3*pageSize), d.WriteRecord(planting("new", tokenID("x"))))
	eventually(t, d, "new database", func(s Stats) bool { return s.SetAside != "" && flushed(s) })
	if s := d.Stats(); s.SetAside != file+".damaged" || s.Containers != 501 {
		t.Errorf("%+v", s)
	}
	must(t, d.Close())
	if s := open(t, path).Stats(); s.Containers != 501 || s.History != 0 {
		t.Errorf("after a restart: %+v", s)
	}
}

// One record that makes no sense costs nothing but itself.
func TestDamagedRecord(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	must(t, d.WriteRecord(planting("c1", tokenID("x"))), d.WriteRecord(planting("c2", tokenID("y"))), d.Close())
	db, err := bbolt.Open(filepath.Join(path, databaseName), 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketContainers)).Put([]byte("c1"), []byte("{")) }), db.Close())
	if s := open(t, path).Stats(); s.Containers != 1 || s.SetAside != "" {
		t.Errorf("%+v", s)
	}
}

// firstKeyEnd returns where the last byte of a branch's first key is.
func firstKeyEnd(b []byte, branch int) int {
	at, u32 := branch+headerBytes, binary.NativeEndian.Uint32
	return at + int(u32(b[at:])+u32(b[at+4:])) - 1
}

// FuzzOpen: whatever the file holds, the directory opens, works, and opens
// again.
func FuzzOpen(f *testing.F) {
	// A small one, so that an input is tried in a millisecond.
	path := f.TempDir()
	d, err := Open(path, Options{CloseTimeout: time.Minute})
	if err != nil {
		f.Fatal(err)
	}
	for i := range 60 {
		c := fmt.Sprintf("c%d", i)
		_ = d.WriteRecord(planting(c, tokenID(string(rune('a'+i%26)))))
		if i%3 == 0 {
			_ = d.RemoveRecord(c)
		}
	}
	if err := d.Close(); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(path, databaseName))
	if err != nil {
		f.Fatal(err)
	}
	m, err := currentMeta(bytes.NewReader(whole), pageSize)
	if err != nil {
		f.Fatal(err)
	}
	// What a page is, and where its first element points to.
	for page := range int(m.pages) {
		for _, at := range []int{8, 24} {
			f.Add(uint32(page*pageSize+at), byte(1), uint64(1), uint32(len(whole)))
		}
	}
	f.Add(uint32(0), byte(0), uint64(0), uint32(2*pageSize))
	f.Fuzz(func(t *testing.T, at uint32, bit byte, value uint64, size uint32) {
		b := bytes.Clone(whole)
		i := int(at) % (len(b) - 8)
		if bit%2 == 0 {
			binary.NativeEndian.PutUint64(b[i:], value)
		} else {
			b[i] ^= byte(value)
		}
		resum(b)
		openDamaged(t, b[:min(int(size), len(b))])
	})
}

// resum makes the checksums of the meta pages right, or no damaged meta page
// would ever be looked at.
func resum(b []byte) {
	for _, meta := range [][]byte{b[headerBytes:], b[pageSize+headerBytes:]} {
		binary.NativeEndian.PutUint64(meta[56:], checksum(meta))
	}
}

func openDamaged(t *testing.T, b []byte) {
	path := t.TempDir()
	must(t, os.WriteFile(filepath.Join(path, databaseName), b, 0o600))
	for range 2 {
		d, err := Open(path, Options{MaxHistory: 10, CloseTimeout: time.Minute})
		must(t, err)
		if _, err := d.ByTokenID("b"); err != nil {
			t.Errorf("find: %v", err)
		}
		for _, c := range append(d.records.containers(), "new") {
			must(t, d.WriteRecord(planting(c, tokenID("new"))), d.RemoveRecord(c))
		}
		// bbolt may find damage at a commit: then the next one makes a new file.
		eventually(t, d, "commit", flushed)
		must(t, d.Close())
	}
	d, err := Open(path, Options{CloseTimeout: time.Minute})
	must(t, err)
	if s := d.Stats(); s.SetAside != "" || s.Containers != 0 || s.History == 0 {
		t.Errorf("%+v", s)
	}
	must(t, d.Close())
}
