package journal

import (
	"context"
	"errors"
	"io/fs"
	"time"
)

// Scanner reads what is in a journal, also beside the process that writes it, and
// changes nothing. It is for one goroutine.
type Scanner struct {
	dir   string
	codec codec
	next  uint64 // the first entry that was not given yet
	sizes map[string]seen
}

// seen is how a file was when it was last read.
type seen struct {
	size int64
	time time.Time
}

// NewScanner reads the journal in dir. An error is fs.ErrNotExist if there is none.
func NewScanner(dir string) (*Scanner, error) {
	c, err := newCodec()
	if err != nil {
		return nil, err
	}
	if _, err := segmentFiles(dir); err != nil {
		return nil, err
	}
	return &Scanner{dir: dir, codec: c, next: 1, sizes: map[string]seen{}}, nil
}

// Scan gives the entries that were recorded at since or later and not given yet,
// oldest first, until f returns an error, which it returns.
func (s *Scanner) Scan(since time.Time, f func(Entry) error) error {
	files, err := segmentFiles(s.dir)
	if err != nil {
		return err
	}
	for i, file := range files {
		last := i == len(files)-1
		if !last && (file.last < s.next || file.newest.Before(since)) {
			continue
		}
		now := seen{file.size, file.newest}
		if s.sizes[file.name] == now {
			continue // bbolt writes through the file, so its time tells
		}
		if err := s.file(file, last, since, f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err // one that was removed meanwhile is none
		}
		s.sizes[file.name] = now
	}
	return nil
}

func (s *Scanner) file(file *segment, active bool, since time.Time, f func(Entry) error) error {
	found, err := framesOf(file.name)
	if err != nil {
		return err
	}
	if active && holes(found, max(s.next, file.first)) {
		// A frame may have come while its part of the file had been read already, and
		// one after it. In a second look it is there, or damaged.
		if found, err = framesOf(file.name); err != nil {
			return err
		}
	}
	for _, fr := range found {
		if fr.last() < s.next {
			continue
		}
		entries, _ := s.codec.decode(fr) // the checksum was right
		for _, e := range entries {
			if e.Seq < s.next {
				continue
			}
			s.next = e.Seq + 1
			if e.Recorded.Before(since) || e.For != "" {
				continue
			}
			if err := f(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// holes says whether an entry is missing between next and the last frame.
func holes(found []frame, next uint64) bool {
	for _, fr := range found {
		if fr.first > next {
			return true
		}
		next = max(next, fr.last()+1)
	}
	return false
}

// scanEvery is how often Follow looks whether there is more.
const scanEvery = 250 * time.Millisecond

// Follow is Scan that goes on with what comes, until ctx ends, which is no error.
func (s *Scanner) Follow(ctx context.Context, since time.Time, f func(Entry) error) error {
	tick := time.NewTicker(scanEvery)
	defer tick.Stop()
	for {
		if err := s.Scan(since, f); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
