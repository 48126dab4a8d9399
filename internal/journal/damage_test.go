package journal

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// whole is a journal of three segments and 900 entries, of which a cursor has had
// none, and the names of its files.
func whole(t *testing.T) (dir string, files []string) {
	t.Helper()
	dir = t.TempDir()
	j := open(t, dir, options(t))
	j.o.MaxBytes = 4 << 20 // segments of 512 KiB
	cursor(t, j, "logs")
	fill(t, j, 0, 600)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	segments := must(segmentFiles(dir))
	if len(segments) < 3 {
		t.Fatalf("%d segments", len(segments))
	}
	for _, s := range segments {
		files = append(files, s.name)
	}
	return dir, files
}

// reopened is what a cursor gets of a journal, and its numbers.
func reopened(t *testing.T, dir string) ([]int, Stats) {
	t.Helper()
	j := open(t, dir, options(t))
	c := cursor(t, j, "logs")
	got := counts(read(t, c, 100))
	s := j.Stats()
	if s.Pending["logs"] != 0 {
		t.Errorf("all is delivered, and %d are pending", s.Pending["logs"])
	}
	fill(t, j, 1000, 1003) // it can be gone on with
	if more := counts(read(t, c, 100)); !slices.Equal(more, upTo(1000, 1003)) {
		t.Errorf("new ones are %v", more)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return got, s
}

// TestDamage damages each file in turn: what is in the others is there, and so is
// what is whole in it.
func TestDamage(t *testing.T) {
	edits := map[string]func([]byte) []byte{
		"empty":             func([]byte) []byte { return nil },
		"text":              func([]byte) []byte { return []byte("not a database\n") },
		"half":              func(b []byte) []byte { return b[:len(b)/2] },
		"torn page":         func(b []byte) []byte { return b[:len(b)/2+100] },
		"meta pages zeroed": func(b []byte) []byte { clear(b[:2*pageSize]); return b },
		"zeros in between":  func(b []byte) []byte { clear(b[len(b)/2 : len(b)/2+8*pageSize]); return b },
		"a bit of a frame": func(b []byte) []byte {
			for range 5 { // copies that bbolt left are no harm
				at := bytes.LastIndex(b, []byte(magic))
				b[at+headerBytes+10] ^= 4
			}
			return b
		},
	}
	for name, edit := range edits {
		t.Run(name, func(t *testing.T) {
			for i := range 2 {
				dir, files := whole(t)
				file := files[i]
				b := must(os.ReadFile(file))
				if err := os.WriteFile(file, edit(b), 0o600); err != nil {
					t.Fatal(err)
				}
				segments := must(segmentFiles(dir))
				got, s := reopened(t, dir)
				t.Logf("file %d: %d of 600 entries, stats %+v", i, len(got), s)
				sound(t, got)
				first, last := int(segments[i].first)-1, int(segments[i].last)
				for n := range 600 {
					if _, there := slices.BinarySearch(got, n); !there && (n < first || n >= last) {
						t.Fatalf("entry %d is lost, which is in another file", n)
					}
				}
				if int(s.Damaged) != 600-len(got) || s.DamagedFiles == 0 && len(got) < 600 {
					t.Errorf("%d entries are there, and %d said to be lost", len(got), s.Damaged)
				}
			}
		})
	}
}

// sound says that entries are in order and none is there twice.
func sound(t *testing.T, got []int) {
	t.Helper()
	for i := 1; i < len(got); i++ {
		if got[i] <= got[i-1] {
			t.Fatalf("entry %d after %d", got[i], got[i-1])
		}
	}
}

// TestRandomDamage changes bytes anywhere, the newest file included: nothing comes
// out that was not put in, and the journal works.
func TestRandomDamage(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 7))
		dir, files := whole(t)
		file := files[r.IntN(len(files))]
		b := must(os.ReadFile(file))
		for range 1 + r.IntN(20) {
			b[r.IntN(len(b))] ^= byte(1 + r.IntN(255))
		}
		if r.IntN(3) == 0 {
			b = b[:r.IntN(len(b))]
		}
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		got, s := reopened(t, dir)
		if !slices.IsSorted(got) || len(got) > 0 && got[len(got)-1] > 599 {
			t.Errorf("seed %d: entries %v", seed, got)
		}
		if len(got) < 600 && s.DamagedFiles == 0 {
			t.Errorf("seed %d: %d of 600 entries and no damage is told: %+v", seed, len(got), s)
		}
	}
}

// TestAFrameInsideAFrame is what an intruder would try: an argument that is a frame.
// Searching a damaged file does not find it.
func TestAFrameInsideAFrame(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, options(t))
	forged, c := frame{}, must(newCodec())
	e := entry(666)
	e.Seq, e.Recorded = 7, time.Now()
	forged.add([]Entry{e}, must(c.encode(room(1), &e)))
	a := access(1)
	packed := c.pack(&forged)
	a.Detail = string(packed.bytes())
	for m := range byte(255) { // and the magic under every mask of one byte
		for _, c := range []byte(magic) {
			a.Detail += string([]byte{c ^ (m + 1)})
		}
	}
	if err := j.Append(Entry{Access: &a}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	file := must(filepath.Glob(filepath.Join(dir, "*"+suffix)))[0]
	b := must(os.ReadFile(file))
	found := 0
	for f := range framesIn(b) {
		found++
		entries := must(c.decode(f))
		if len(entries) != 1 || entries[0].Access.Detail != a.Detail {
			t.Errorf("frame %+v", entries)
		}
	}
	if found == 0 {
		t.Error("the frame is not found")
	}
	for bytes.Contains(b, []byte(magic)) {
		b[bytes.Index(b, []byte(magic))]++ // damage all that can be found
		for f := range framesIn(b) {
			if f.first == 7 {
				t.Fatal("the forged frame is found")
			}
		}
	}
}

func FuzzFrames(f *testing.F) {
	c := must(newCodec())
	var fr frame
	for n := range 3 {
		e := entry(n)
		e.Seq, e.Recorded = uint64(n+1), time.Unix(1790000000, 0)
		fr.add([]Entry{e}, must(c.encode(room(1), &e)))
	}
	packed := c.pack(&fr)
	raw := packed.bytes()
	f.Add(raw, false)
	f.Add(append([]byte("xx"+magic), raw...), true)
	f.Add(raw[:len(raw)-1], false)
	f.Fuzz(func(t *testing.T, b []byte, sum bool) {
		if sum && len(b) >= headerBytes { // lets it past the checksum
			at := max(bytes.Index(b, []byte(magic)), 0)
			if len(b)-at >= headerBytes {
				part := b[at:]
				part[20], part[21], part[22], part[23] = byte(len(part)-headerBytes), byte((len(part)-headerBytes)>>8), 0, 0
				n := frameSum(part)
				part[sumAt], part[sumAt+1], part[sumAt+2], part[sumAt+3] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
			}
		}
		for fr := range framesIn(b) {
			entries, err := c.decode(fr)
			if err == nil && len(entries) != int(fr.count) {
				t.Errorf("%d entries of %d", len(entries), fr.count)
			}
			for _, e := range entries {
				if (e.Access == nil) == (e.Gap == nil) || e.Seq < fr.first || e.Seq > fr.last() {
					t.Errorf("entry %+v", e)
				}
			}
		}
	})
}
