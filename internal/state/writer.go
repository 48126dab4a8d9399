package state

import (
	"errors"
	"log/slog"
	"time"
)

const (
	// A commit that failed is tried again after minRetry, twice as long each
	// time, up to maxRetry.
	minRetry = 100 * time.Millisecond
	maxRetry = 10 * time.Second
	// tidyEvery is how often the history is shortened where nothing changes.
	tidyEvery = 24 * time.Hour
)

// run commits what is pending: one commit at a time, each of everything that has
// come while the one before it waited for the disk.
func (s *records) run() {
	defer close(s.done)
	tidy := time.NewTicker(tidyEvery)
	defer tidy.Stop()
	var wait time.Duration
	var retry <-chan time.Time
	for {
		select {
		case <-s.wake:
			if retry != nil {
				continue // the disk is given its time
			}
		case <-retry:
		case <-tidy.C:
		case <-s.stop:
			if s.statistics().Pending > 0 || s.old.dir != "" {
				_ = s.commit() // told by close
			}
			err := s.release()
			s.mu.Lock()
			s.endErr = err
			s.mu.Unlock()
			return
		}
		retry = nil
		if s.commit() == nil {
			wait = 0
			continue
		}
		wait = min(max(2*wait, minRetry), maxRetry)
		retry = time.After(wait)
	}
}

// commit brings what is pending to disk, all of it or nothing.
func (s *records) commit() error {
	s.mu.Lock()
	batch := s.pending
	s.flight, s.pending = batch, map[string]change{}
	s.mu.Unlock()
	s.step("batch taken")
	began := time.Now()
	history, err := s.db.commit(batch, s.now())
	took := time.Since(began)
	if err == nil {
		s.step("batch committed")
		s.old.remove(s.log, s.step)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flight = nil
	if err != nil {
		s.takeBack(batch, err)
		return err
	}
	if s.stats.FailedCommits > 0 && s.stats.Error != "" {
		s.log.Info("container records are written again")
	}
	s.countGone()
	s.stats.Commits++
	s.stats.Error, s.stats.History, s.stats.CommitSeconds = "", history, took.Seconds()
	s.stats.PendingSince = time.Time{}
	if len(s.pending) > 0 {
		s.stats.PendingSince = began // at the earliest
	}
	return nil
}

// takeBack makes pending again what was not committed, under what came later;
// s.mu is held.
func (s *records) takeBack(batch map[string]change, err error) {
	var damaged *DamagedError
	if errors.As(err, &damaged) {
		// The next commit makes a new database, with all that is known.
		s.stats.SetAside = damaged.Kept
		for key, r := range s.live {
			if _, ok := batch[key]; !ok {
				batch[key] = change{live: &r}
			}
		}
	}
	for key, c := range batch {
		later, ok := s.pending[key]
		if !ok {
			s.pending[key] = c
		} else if later.gone == nil && c.gone != nil {
			later.gone = c.gone
			s.pending[key] = later
		}
	}
	s.countGone()
	if s.stats.Error == "" {
		s.log.Warn("container records can't be written: they are kept in memory and tried again", slog.Any("error", err))
	}
	s.stats.FailedCommits++
	s.stats.Error = err.Error()
}

// countGone counts what waits for the history, when nothing is in flight; s.mu is
// held.
func (s *records) countGone() {
	s.gone = 0
	for _, c := range s.pending {
		if c.gone != nil {
			s.gone++
		}
	}
}
