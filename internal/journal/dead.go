package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/beesting-otel/beesting/internal/state"
)

// maxDead bounds the dead letters; the oldest go first.
const maxDead = 10_000

const (
	deadName   = "dead-letters" // no segment's suffix
	bucketDead = "dead"         // sequence, big-endian → DeadLetter in CBOR
)

// DeadLetter is an entry that a back end will never take as it is.
type DeadLetter struct {
	ID     uint64 `cbor:"-"`
	Cursor string // whose
	Cause  string // in a word
	At     time.Time
	Entry  Entry
}

// deadLetters is where they are. The file is made with the first.
type deadLetters struct {
	name  string
	codec codec
	o     Options

	mu      sync.Mutex
	db      *bbolt.DB
	n       int
	dropped uint64
}

// openDead opens the file if there is one. One that is damaged is set aside.
func openDead(dir string, c codec, o Options) *deadLetters {
	d := &deadLetters{name: filepath.Join(dir, deadName), codec: c, o: o}
	if _, err := os.Stat(d.name); err == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		if err := d.open(); err != nil {
			o.Log.Error("dead letters can't be read", slog.Any("error", err))
		}
	}
	return d
}

// open opens the file; d.mu is held.
func (d *deadLetters) open() error {
	if d.db != nil {
		return nil
	}
	err := inspect(d.name)
	var damaged *state.DamagedError
	if errors.As(err, &damaged) {
		kept := d.name + suffixDamaged
		d.o.Log.Error("the file of dead letters is damaged and set aside", slog.String("kept_as", kept), slog.Any("error", err))
		err = os.Rename(d.name, kept)
	}
	if err != nil {
		return err
	}
	err = state.GuardBolt(func() (err error) {
		d.db, err = bbolt.Open(d.name, 0o600, &bbolt.Options{Timeout: lockWait, NoStatistics: true, PageSize: pageSize})
		return err
	})
	if err != nil {
		return fmt.Errorf("dead letters: %w", err)
	}
	return d.update(func(b *bbolt.Bucket) error {
		d.n = b.Stats().KeyN
		return nil
	})
}

func (d *deadLetters) update(f func(*bbolt.Bucket) error) error {
	err := state.GuardBolt(func() error {
		return d.db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte(bucketDead))
			if err != nil {
				return err
			}
			return f(b)
		})
	})
	if err != nil {
		return fmt.Errorf("dead letters: %w", err)
	}
	return nil
}

// add keeps entries of a cursor. Those for which there is no room are counted.
func (d *deadLetters) add(cursor, cause string, entries []Entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, dropped := d.n, uint64(0)
	err := d.open()
	if err == nil {
		err = d.update(func(b *bbolt.Bucket) error {
			for _, e := range entries {
				id, err := b.NextSequence()
				if err != nil {
					return err
				}
				raw, err := d.codec.enc.Marshal(DeadLetter{Cursor: cursor, Cause: cause, At: d.o.Now(), Entry: e})
				if err != nil {
					return err
				}
				if err := b.Put(binary.BigEndian.AppendUint64(nil, id), raw); err != nil {
					return err
				}
				n++
			}
			for ; n > maxDead; n-- {
				key, _ := b.Cursor().First()
				if err := b.Delete(key); err != nil {
					return err
				}
				dropped++
			}
			return nil
		})
	}
	if err != nil {
		d.dropped += uint64(len(entries))
		d.o.Log.Error("entries that a back end refuses can't be set aside", slog.Int("entries", len(entries)), slog.Any("error", err))
		return
	}
	d.n, d.dropped = n, d.dropped+dropped
}

func (d *deadLetters) count() (now int, dropped uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n, d.dropped
}

// list returns them, oldest first.
func (d *deadLetters) list() ([]DeadLetter, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.db == nil {
		return nil, nil
	}
	var all []DeadLetter
	err := state.GuardBolt(func() error {
		return d.db.View(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(bucketDead)).ForEach(func(key, value []byte) error {
				var l DeadLetter
				if err := d.codec.dec.Unmarshal(value, &l); err != nil || len(key) != 8 {
					return nil //nolint:nilerr // one that makes no sense can't be sent
				}
				l.ID = binary.BigEndian.Uint64(key)
				all = append(all, l)
				return nil
			})
		})
	})
	return all, err
}

func (d *deadLetters) remove(ids []uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.update(func(b *bbolt.Bucket) error {
		for _, id := range ids {
			if err := b.Delete(binary.BigEndian.AppendUint64(nil, id)); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		d.n -= len(ids)
	}
	return err
}

func (d *deadLetters) close() error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.db == nil {
		return nil
	}
	db := d.db
	d.db = nil
	return state.GuardBolt(db.Close)
}

// DeadLetters returns what is set aside, oldest first.
func (j *Journal) DeadLetters() ([]DeadLetter, error) { return j.dead.list() }

// Resend has the cursors deliver their dead letters once more, after all that they
// have to deliver, and returns how many those are. What is refused again becomes a
// dead letter again.
func (j *Journal) Resend() (n int, err error) {
	letters, err := j.dead.list()
	if err != nil {
		return 0, err
	}
	var done []uint64
	for _, l := range letters {
		e := l.Entry
		e.For = l.Cursor
		if err = j.Append(e); err != nil {
			break
		}
		done = append(done, l.ID)
	}
	if len(done) == 0 {
		return 0, err
	}
	return len(done), errors.Join(err, j.dead.remove(done))
}
