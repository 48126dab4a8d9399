package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	databaseName = "records.db"
	// schema is the layout of the buckets and of what is in them.
	schema = 1
	// lockWait bounds the wait for bbolt's own lock, which readers and the writer
	// have for as long as they are at it; zero would be for ever. It is never
	// waited for with a request of the runtime.
	lockWait = time.Second
)

// The buckets. A key of the history sorts by time; the index has it under each
// canary id.
const (
	bucketMeta       = "meta"       // "schema", "placements": decimal
	bucketContainers = "containers" // recordKey → Record
	bucketRemoved    = "removed"    // removal time, recordKey → Record
	bucketTokens     = "tokens"     // canary id → key in removed
)

// ErrBusy says that another process read or wrote the records all the time that
// they were waited for.
var ErrBusy = errors.New("in use by another process")

// DamagedError says that the database could not be used.
type DamagedError struct {
	Err error
	// Kept is where it is now; empty if it is where it was.
	Kept string
}

func (e *DamagedError) Error() string {
	if e.Kept == "" {
		return fmt.Sprintf("record database damaged: %v", e.Err)
	}
	return fmt.Sprintf("record database damaged, kept as %s: %v", e.Kept, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// database is the file. It is open for as long as it is read or written, so that
// a tool can read it beside an agent, and the disk can be remounted read-only.
// Its commits come from one goroutine.
type database struct {
	name string
	log  *slog.Logger
	step func(string)
	// maxPlacements and maxAge bound the history.
	maxPlacements int
	maxAge        time.Duration

	mu       sync.RWMutex // held for writing during a commit
	verified bool         // looked at, and since then written by an agent only
	bad      error        // the file is damaged and could not be set aside yet
}

// contents are what a database has.
type contents struct {
	live    map[string]Record
	history int // placements
}

// GuardBolt turns what bbolt panics about into a DamagedError, and so what the
// kernel refuses of the memory map that it reads: behind the end of a file that
// was truncated, or where the disk can't be read.
func GuardBolt(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &DamagedError{Err: fmt.Errorf("bbolt: %v", p)}
		}
	}()
	return f()
}

// open opens the file with bbolt.
func (d *database) open(readOnly bool) (*bbolt.DB, *os.File, error) {
	var file *os.File
	var db *bbolt.DB
	err := GuardBolt(func() (err error) {
		db, err = bbolt.Open(d.name, 0o600, &bbolt.Options{
			ReadOnly: readOnly, Timeout: lockWait, NoStatistics: true,
			PageSize: pageSize, // the same on a kernel with other pages
			OpenFile: func(name string, flag int, mode fs.FileMode) (*os.File, error) {
				f, err := os.OpenFile(name, flag, mode)
				file = f
				return f, err
			},
		})
		return err
	})
	var damaged *DamagedError
	var errno syscall.Errno
	switch {
	case err == nil:
		return db, file, nil
	case errors.As(err, &damaged):
		// bbolt does it in an orderly return only. The memory map stays until the
		// process ends.
		_ = file.Close()
		return nil, nil, err
	case errors.Is(err, berrors.ErrTimeout):
		return nil, nil, fmt.Errorf("record database: %w", ErrBusy)
	case errors.As(err, &errno):
		return nil, nil, fmt.Errorf("record database: %w", err)
	default:
		return nil, nil, &DamagedError{Err: err}
	}
}

// reading opens the file for reading, which has to be closed, verified. It
// returns nil if there is none.
func (d *database) reading() (*bbolt.DB, error) {
	fi, err := os.Stat(d.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("record database: %w", err)
	case fi.Mode().IsRegular() && fi.Size() == 0:
		return nil, nil
	}
	db, file, err := d.open(true)
	if err != nil {
		return nil, err
	}
	if d.verified {
		return db, nil
	}
	if err := VerifyBolt(file, pageSize); err != nil {
		return nil, errors.Join(&DamagedError{Err: err}, db.Close())
	}
	return db, nil
}

// load reads the file, or nothing where there is none.
func (d *database) load() (contents, error) {
	c := contents{live: map[string]Record{}}
	db, err := d.reading()
	d.verified = err == nil
	if db == nil || err != nil {
		return c, err
	}
	err = GuardBolt(func() error { return db.View(func(tx *bbolt.Tx) error { return d.loadFrom(tx, &c) }) })
	return c, errors.Join(err, db.Close())
}

// errSchema says that a later version of this program wrote the database.
var errSchema = errors.New("written by another version")

func (d *database) loadFrom(tx *bbolt.Tx, c *contents) error {
	meta := tx.Bucket([]byte(bucketMeta))
	if meta == nil {
		if key, _ := tx.Cursor().First(); key != nil {
			return &DamagedError{Err: fmt.Errorf("bucket %s is missing", bucketMeta)}
		}
		return nil // made, and nothing written to it
	}
	version, err := strconv.Atoi(string(meta.Get([]byte("schema"))))
	if err == nil && version != schema {
		return &DamagedError{Err: fmt.Errorf("%w: its schema is %d, this one knows %d", errSchema, version, schema)}
	}
	containers := tx.Bucket([]byte(bucketContainers))
	if err != nil || containers == nil || tx.Bucket([]byte(bucketRemoved)) == nil || tx.Bucket([]byte(bucketTokens)) == nil {
		return &DamagedError{Err: errors.New("schema or buckets are missing")}
	}
	c.history = readCount(meta)
	return containers.ForEach(func(key, value []byte) error {
		if r, ok := d.decode(key, value); ok {
			c.live[string(key)] = r
		}
		return nil
	})
}

// decode leaves out a record that makes no sense: it is found out again.
func (d *database) decode(key, value []byte) (r Record, ok bool) {
	if err := json.Unmarshal(value, &r); err != nil {
		d.log.Warn("container record makes no sense and is left out", slog.String("container", string(clip(key))), slog.Any("error", err))
		return r, false
	}
	if recordKey(r.Container) != string(key) {
		r.Container = string(key) // an id that JSON can't hold
	}
	return r, true
}

func readCount(meta *bbolt.Bucket) int {
	n, err := strconv.Atoi(string(meta.Get([]byte("placements"))))
	if err != nil {
		return 0
	}
	return max(n, 0)
}

// commit brings a batch to disk and returns how many placements the history
// has then. After a DamagedError the file is out of the way.
func (d *database) commit(batch map[string]change, now time.Time) (history int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bad != nil {
		if err := d.setAside(); d.bad != nil {
			return 0, err
		}
	}
	db, file, err := d.writing()
	var damaged *DamagedError
	if err == nil {
		err = GuardBolt(func() error {
			return db.Update(func(tx *bbolt.Tx) (err error) {
				if history, err = d.apply(tx, batch, now); err != nil {
					return fmt.Errorf("record database: %w", err)
				}
				return nil
			})
		})
		if errors.As(err, &damaged) {
			// Closing db could wait for ever for what the panic left locked.
			_ = file.Close()
		} else {
			err = errors.Join(err, db.Close())
		}
	}
	switch {
	case errors.As(err, &damaged):
		d.bad = damaged.Err
		return 0, d.setAside()
	case err != nil:
		return 0, err
	}
	return history, nil
}

// writing opens the file for writing, which bbolt does without a look at it.
func (d *database) writing() (*bbolt.DB, *os.File, error) {
	db, err := d.reading()
	if err != nil {
		return nil, nil, err
	}
	d.verified = true
	fresh := db == nil
	if !fresh {
		if err := db.Close(); err != nil {
			return nil, nil, err
		}
	}
	db, file, err := d.open(false)
	switch {
	case err != nil && fresh && !errors.Is(err, ErrBusy):
		// Half made, for want of room: that is no damage.
		return nil, nil, errors.Join(err, os.Remove(d.name))
	case err != nil:
		return nil, nil, err
	case fresh:
		// The file outlives a crash of the node as soon as its name does.
		if err := SyncDir(filepath.Dir(d.name)); err != nil {
			return nil, nil, errors.Join(err, db.Close())
		}
	}
	return db, file, nil
}

// setAside renames the damaged file, over an earlier one, so that a disk that
// goes bad isn't filled with them. It returns a DamagedError in any case; d.mu
// is held, or nobody else knows d.
func (d *database) setAside() error {
	d.verified = false
	e := &DamagedError{Err: d.bad}
	kept := d.name + ".damaged"
	if errors.Is(d.bad, errSchema) {
		kept = d.name + ".other-version"
	}
	if err := os.Rename(d.name, kept); err != nil {
		return errors.Join(e, err)
	}
	e.Kept, d.bad = kept, nil
	d.step("set aside")
	d.log.Warn("record database is set aside and a new one made: the history of removed containers is in the old one only",
		slog.String("kept_as", kept), slog.Any("error", e.Err))
	return e
}

func (d *database) find(prefix string, f *finding) error {
	return d.view(func(tx *bbolt.Tx) error {
		tokens, removed := tx.Bucket([]byte(bucketTokens)), tx.Bucket([]byte(bucketRemoved))
		if tokens == nil || removed == nil {
			return nil
		}
		c := tokens.Cursor()
		for id, key := c.Seek([]byte(prefix)); bytes.HasPrefix(id, []byte(prefix)); id, key = c.Next() {
			var r Record
			if json.Unmarshal(removed.Get(key), &r) == nil {
				f.addRecord(r, string(id))
			}
		}
		return nil
	})
}

func (d *database) view(read func(*bbolt.Tx) error) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.bad != nil {
		return &DamagedError{Err: d.bad}
	}
	db, err := d.reading()
	if db == nil || err != nil {
		return err
	}
	return errors.Join(GuardBolt(func() error { return db.View(read) }), db.Close())
}
