package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	berrors "go.etcd.io/bbolt/errors"

	"github.com/beesting-otel/beesting/internal/state"
)

// segmentFiles are the segments in dir, oldest first, by their names.
func segmentFiles(dir string) ([]*segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	var all []*segment
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), suffix)
		first, err := strconv.ParseUint(digits, 16, 64)
		if !ok || len(digits) != 16 || err != nil || first == 0 {
			continue
		}
		s := &segment{name: filepath.Join(dir, e.Name()), first: first, last: first - 1}
		if fi, err := e.Info(); err == nil {
			s.size, s.newest = fi.Size(), fi.ModTime()
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *segment) int { return strings.Compare(a.name, b.name) })
	for i, s := range all[:max(len(all)-1, 0)] {
		s.last = all[i+1].first - 1
	}
	return all, nil
}

// load finds what there is. Segments that every cursor has left behind are history:
// they are not opened.
func (j *Journal) load() error {
	var err error
	if j.segments, err = segmentFiles(j.dir); err != nil {
		return err
	}
	known := false
	oldest := ^uint64(0) // that a cursor has still to deliver
	for i := len(j.segments) - 1; i >= 0; i-- {
		s := j.segments[i]
		if known && s.last < oldest {
			break
		}
		if err := j.open1(i); err != nil {
			return err
		}
		if known {
			continue
		}
		at, err := j.segments[i].cursors()
		if err != nil {
			return err
		}
		if len(at) == 0 {
			continue
		}
		delete(at, marker) // it is in each, and no cursor
		known, j.stored = true, at
		for _, seq := range at {
			oldest = min(oldest, seq)
		}
	}
	for _, at := range j.stored { // the tail of a damaged file may be gone
		j.next = max(j.next, at)
	}
	if !known && len(j.segments) > 0 {
		j.unknown = j.segments[0].first
	}
	if len(j.segments) == 0 {
		return j.begin()
	}
	j.next = max(j.next, j.active().last+1)
	if full := j.active(); full.size >= j.o.segmentBytes() {
		return errors.Join(j.begin(), full.close())
	}
	return nil
}

// open1 opens a segment that is there, or what of it can be saved.
func (j *Journal) open1(i int) error {
	old := j.segments[i]
	s, err := openSegment(old.name)
	var damaged *state.DamagedError
	if err != nil && !errors.As(err, &damaged) && !isBolt(err) {
		return err
	}
	var lost uint64
	if err != nil {
		if s, lost, err = salvage(old.name, old.last, j.o.Log, err); err != nil {
			return err
		}
		j.damaged(lost)
	} else if lost, err = s.count(old); err != nil {
		return errors.Join(err, s.close())
	} else if lost > 0 {
		j.o.Log.Error("a part of the journal is damaged and left out",
			slog.String("file", s.name), slog.Uint64("entries", lost), slog.Any("error", errFrame))
		j.damaged(lost)
	}
	s.last = max(s.last, old.last)
	j.segments[i] = s
	if i < len(j.segments)-1 {
		return s.close()
	}
	return nil
}

// damaged counts a damaged file.
func (j *Journal) damaged(lost uint64) {
	j.stats.Damaged += lost
	j.stats.DamagedFiles++
}

// isBolt says that an error is bbolt's opinion of a file.
func isBolt(err error) bool {
	var errno syscall.Errno
	return !errors.As(err, &errno) && !errors.Is(err, berrors.ErrTimeout)
}

// count fills in the numbers, and returns how many entries should be there and are
// not.
func (s *segment) count(old *segment) (lost uint64, err error) {
	s.first, s.last = old.first, old.first-1
	err = s.each(0, func(key uint64, f frame, ok bool) bool {
		if key > s.last+1 {
			lost += key - s.last - 1
		}
		if !ok { // of its entries at least the first is gone
			lost, s.last = lost+1, max(s.last, key)
			return true
		}
		s.note(&f, f.recorded)
		return true
	})
	if old.last > s.last {
		lost += old.last - s.last
	}
	return lost, err
}

// begin makes a new segment for what comes.
func (j *Journal) begin() error {
	s, err := openSegment(segmentName(j.dir, j.next))
	if err != nil {
		return err
	}
	s.first, s.last, s.newest = j.next, j.next-1, j.o.Now()
	j.segments = append(j.segments, s)
	j.moved = true
	return state.SyncDir(j.dir)
}

// salvage writes the frames that are whole in a damaged file into a new one in its
// place, and keeps the damaged one beside it, until the next. last is the last
// entry that should be there; the entries that aren't are counted.
func salvage(name string, last uint64, log *slog.Logger, cause error) (_ *segment, lost uint64, err error) {
	found, err := framesOf(name)
	if err != nil {
		return nil, 0, err
	}
	fresh := name + ".new"
	if err := removeIfThere(fresh); err != nil {
		return nil, 0, fmt.Errorf("segment: %w", err)
	}
	s, err := openSegment(fresh)
	if err != nil {
		return nil, 0, err
	}
	first, _ := strconv.ParseUint(strings.TrimSuffix(filepath.Base(name), suffix), 16, 64)
	s.first, s.last, s.newest = first, first-1, time.Now()
	for _, f := range found {
		if f.first <= s.last {
			continue
		}
		lost += f.first - s.last - 1
		if s.size, err = s.write(f.bytes(), f.first, nil); err != nil {
			return nil, 0, errors.Join(err, s.close())
		}
		s.note(&f, f.recorded)
	}
	if last > s.last {
		lost += last - s.last
	}
	kept := filepath.Join(filepath.Dir(name), "segment"+suffixDamaged)
	// bbolt has the new file open; its name doesn't matter to it. There is a file with
	// the segment's name at any time.
	err = errors.Join(s.flush(), removeIfThere(kept), os.Link(name, kept), os.Rename(fresh, name), state.SyncDir(filepath.Dir(name)))
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("segment: %w", err), s.close())
	}
	s.name = name
	log.Error("a file of the journal is damaged: what is whole in it is kept", slog.String("file", name),
		slog.String("kept_as", kept), slog.Uint64("entries", s.last+1-first), slog.Uint64("lost", lost), slog.Any("error", cause))
	return s, lost, nil
}

func removeIfThere(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// framesOf are the frames that are whole in a file, each once, by their entries.
func framesOf(name string) ([]frame, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	byFirst := map[uint64]frame{}
	for f := range framesIn(b) {
		if was, ok := byFirst[f.first]; !ok || f.count > was.count {
			byFirst[f.first] = f
		}
	}
	all := make([]frame, 0, len(byFirst))
	for _, f := range byFirst {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b frame) int {
		if a.first < b.first {
			return -1
		}
		return 1
	})
	return all, nil
}
