package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/beesting-otel/beesting/internal/state"
)

// The buckets of a segment.
const (
	bucketFrames  = "frames"  // number of the first entry, big-endian → frame
	bucketCursors = "cursors" // name → number of the entry to deliver next, big-endian
)

const (
	suffix        = ".db"
	suffixDamaged = ".damaged"
	// pageSize is the same on a kernel with other pages. bbolt leaves room for two
	// keys in a page that is full: the more entries a page has, the less is lost.
	pageSize = 16384
	// lockWait bounds the wait for bbolt's own lock. Nobody else is to have it: a
	// journal has one process, see Open.
	lockWait = time.Second
)

// segment is a file of frames. Its numbers are guarded by Journal.mu; the file by
// Journal.files. Only the one that is written to is open: bbolt maps a file as a
// whole, and what has been read of that counts as the process's memory.
type segment struct {
	name        string
	db          *bbolt.DB // nil while it is closed
	first, last uint64    // entries; last is first-1 if there are none
	shapes      [shapes]uint64
	size        int64
	newest      time.Time
}

func segmentName(dir string, first uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x%s", first, suffix))
}

// openSegment opens a file after a look at all of it, or makes it if it is missing.
// One that can't be made whole isn't left there to take room.
func openSegment(name string) (_ *segment, err error) {
	if _, errStat := os.Lstat(name); errors.Is(errStat, fs.ErrNotExist) {
		defer func() {
			if err != nil {
				err = errors.Join(err, removeIfThere(name))
			}
		}()
	}
	if err := inspect(name); err != nil {
		return nil, err
	}
	s := &segment{name: name}
	err = state.GuardBolt(func() (err error) {
		s.db, err = bbolt.Open(name, 0o600, &bbolt.Options{
			Timeout: lockWait, NoStatistics: true, PageSize: pageSize, NoFreelistSync: true,
			// A commit only has to outlive the process; flush is for the node.
			NoSync: true,
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("segment %s: %w", filepath.Base(name), err)
	}
	s.db.AllocSize = 1 << 20 // bbolt's own 16 MiB are as much as a whole segment
	err = state.GuardBolt(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			for _, b := range []string{bucketFrames, bucketCursors} {
				if _, err := tx.CreateBucketIfNotExists([]byte(b)); err != nil {
					return err
				}
			}
			s.size = tx.Size()
			return nil
		})
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("segment %s: %w", filepath.Base(name), err), s.close())
	}
	return s, nil
}

// inspect looks at a file before bbolt believes what is in it.
func inspect(name string) error {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || fi.Size() == 0 {
		return err // bbolt makes it anew
	}
	if err := state.VerifyBolt(f, pageSize); err != nil {
		return &state.DamagedError{Err: fmt.Errorf("segment %s: %w", filepath.Base(name), err)}
	}
	return nil
}

func keyOf(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

// marker is a cursor's name that nobody has: where it is missing, the cursors are.
const marker = "-"

// errFrame says that bbolt's file is whole and a frame in it isn't.
var errFrame = errors.New("a frame's checksum is wrong")

// frames gives the frames from the one with the entry from on, until f returns
// false. Their payloads are valid until it returns. Damaged ones are left out.
func (s *segment) frames(from uint64, f func(frame) bool) error {
	return s.each(from, func(_ uint64, fr frame, ok bool) bool { return !ok || fr.last() < from || f(fr) })
}

// each is frames with the damaged ones, and what the first entry of each is by its
// key.
func (s *segment) each(from uint64, f func(key uint64, fr frame, ok bool) bool) error {
	return s.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(bucketFrames)).Cursor()
		key, value := c.Seek(keyOf(from))
		switch { // the one before may have it in its middle
		case key == nil:
			key, value = c.Last()
		case string(key) != string(keyOf(from)):
			if key, value = c.Prev(); key == nil {
				key, value = c.First()
			}
		}
		for ; key != nil; key, value = c.Next() {
			fr, ok := parseFrame(value)
			if len(key) != 8 || !f(binary.BigEndian.Uint64(key), fr, ok) {
				return nil
			}
		}
		return nil
	})
}

// view reads from the file, which is opened for that if it is closed.
func (s *segment) view(f func(*bbolt.Tx) error) error {
	return s.guard(func() (err error) {
		db := s.db
		if db == nil {
			db, err = bbolt.Open(s.name, 0o600, &bbolt.Options{Timeout: lockWait, NoStatistics: true, PageSize: pageSize, ReadOnly: true})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, db.Close()) }()
		}
		return db.View(f)
	})
}

// cursors reads where the cursors stood when it was last written to.
func (s *segment) cursors() (map[string]uint64, error) {
	at := map[string]uint64{}
	err := s.view(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketCursors)).ForEach(func(name, value []byte) error {
			if len(value) == 8 {
				at[string(name)] = binary.BigEndian.Uint64(value)
			}
			return nil
		})
	})
	return at, err
}

// write commits a frame, if it has entries, and where the cursors stand, and
// returns how large the file is then.
func (s *segment) write(raw []byte, first uint64, cursors map[string]uint64) (size int64, err error) {
	err = s.guard(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			if len(raw) > 0 {
				b := tx.Bucket([]byte(bucketFrames))
				b.FillPercent = 1 // keys only grow
				if err := b.Put(keyOf(first), raw); err != nil {
					return err
				}
			}
			b := tx.Bucket([]byte(bucketCursors))
			for name, _ := b.Cursor().First(); name != nil; name, _ = b.Cursor().Seek(append(name, 0)) {
				if _, ok := cursors[string(name)]; !ok { // given up
					if err := b.Delete(name); err != nil {
						return err
					}
				}
			}
			for name, seq := range cursors {
				if err := b.Put([]byte(name), keyOf(seq)); err != nil {
					return err
				}
			}
			size = tx.Size()
			return nil
		})
	})
	return size, err
}

// flush has the disk keep what is written.
func (s *segment) flush() error { return s.guard(s.db.Sync) }

func (s *segment) guard(f func() error) error {
	if err := state.GuardBolt(f); err != nil {
		return fmt.Errorf("segment %s: %w", filepath.Base(s.name), err)
	}
	return nil
}

func (s *segment) close() error {
	if s.db == nil {
		return nil
	}
	err := s.guard(s.db.Close)
	s.db = nil
	return err
}

// note adds a frame to the numbers.
func (s *segment) note(f *frame, at time.Time) {
	if s.first == 0 {
		s.first = f.first
	}
	s.last, s.newest = f.last(), at
	for i, n := range f.shapes {
		s.shapes[i] += uint64(n)
	}
}
