package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/beesting-otel/beesting"
)

const (
	// oldRecords is the directory of the first layout: containers/ID.json.
	oldRecords = "containers"
	// maxOldRecord bounds one of its files, in bytes: 4 KiB paths, many times.
	maxOldRecord = 4 << 20
)

// oldLayout are records as they were before there was a database. They are
// removed when the database has them, and so read again after a crash.
type oldLayout struct {
	dir     string
	files   []string // all that have been read
	records map[string]Record
}

// readOld reads the old records, if there are any. One that makes no sense is
// renamed, so that it is told of once.
func readOld(dir string, log *slog.Logger) oldLayout {
	o := oldLayout{records: map[string]Record{}}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return o
	}
	o.dir = dir
	if err != nil {
		log.Warn("older container records can't be read: what they say is found out again", slog.Any("error", err))
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		switch filepath.Ext(name) {
		case ".damaged":
			continue
		case ".json":
		default: // a write that was not finished
			o.files = append(o.files, name)
			continue
		}
		r, err := readOldRecord(name)
		if err != nil {
			log.Warn("older container record makes no sense and is left out",
				slog.String("kept_as", name+".damaged"), slog.Any("error", errors.Join(err, os.Rename(name, name+".damaged"))))
			continue
		}
		o.files = append(o.files, name)
		o.records[recordKey(r.Container)] = r
	}
	return o
}

func readOldRecord(name string) (Record, error) {
	fi, err := os.Lstat(name)
	if err == nil && !fi.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		return Record{}, fmt.Errorf("container record %s: %w", name, err)
	}
	f, err := os.Open(name)
	if err != nil {
		return Record{}, fmt.Errorf("container record: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxOldRecord))
	if err != nil {
		return Record{}, fmt.Errorf("container record: %w", err)
	}
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return Record{}, fmt.Errorf("container record %s: %w", name, err)
	}
	if r.Container == "" {
		r.Container = strings.TrimSuffix(filepath.Base(name), ".json")
	}
	for i := range r.Tokens {
		if r.Tokens[i].Strategy == "" {
			r.Tokens[i].Strategy = beesting.StrategyBind // there was no other
		}
	}
	return r, nil
}

// remove removes what has been read: the database has it. What can't be removed
// is tried again after the next commit.
func (o *oldLayout) remove(log *slog.Logger, step func(string)) {
	if o.dir == "" {
		return
	}
	var errs []error
	for _, name := range o.files {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		step("old record removed")
	}
	if err := errors.Join(errs...); err != nil {
		log.Warn("older container records can't be removed", slog.Any("error", err))
		return
	}
	_ = os.Remove(o.dir) // unless a damaged one is kept there
	*o = oldLayout{}
}
