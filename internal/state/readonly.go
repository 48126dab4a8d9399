package state

import (
	"fmt"
	"os"
	"path/filepath"
)

// Reader reads the records of a state directory without its lock, and changes
// nothing. Its methods may be called concurrently.
type Reader struct {
	db   *database
	live map[string]Record
}

// OpenReadOnly reads the records of the state directory at path, beside an agent
// those that it has committed. It returns an error that is fs.ErrNotExist if
// there is no such directory, one that is ErrBusy if a commit takes longer than
// a second, and a *DamagedError, with the database where it was. There is
// nothing to close; removed containers are looked up in the file each time.
func OpenReadOnly(path string) (*Reader, error) {
	if _, err := os.ReadDir(path); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	o := Options{}.withDefaults()
	db := &database{name: filepath.Join(path, databaseName), log: o.Log, step: o.Step}
	loaded, err := db.load()
	if err != nil {
		return nil, err
	}
	return &Reader{db: db, live: loaded.live}, nil
}

// ByTokenID is [Dir.ByTokenID].
func (r *Reader) ByTokenID(prefix string) ([]Found, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	var f finding
	for _, record := range r.live {
		f.addRecord(record, prefix)
	}
	err := r.db.find(prefix, &f)
	return f.result(), err
}
