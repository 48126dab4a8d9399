package main

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/config"
	"github.com/beesting-otel/beesting/internal/journal"
)

// openJournal returns nil where the configuration wants none, or there is no place
// for one.
func openJournal(c config.Config, log *slog.Logger) (*journal.Journal, error) {
	if c.Journal.MaxBytes == 0 {
		return nil, nil
	}
	return journal.OpenBelow(c.StateDir, journal.Options{MaxBytes: int64(c.Journal.MaxBytes), MaxAge: c.Journal.MaxAge, Log: log})
}

// journalStats returns nil where the configuration wants no journal.
func (n *node) journalStats() *journal.Stats {
	switch {
	case n.config.Journal.MaxBytes == 0:
		return nil
	case n.journal == nil:
		return &journal.Stats{Error: "it could not be opened when the agent started; the log says why"}
	}
	s := n.journal.Stats()
	return &s
}

// journalText sums up the journal for people.
func journalText(s journal.Stats) string {
	text := fmt.Sprintf("%.1f MiB in %d files", float64(s.Bytes)/(1<<20), s.Segments)
	if s.Error != "" {
		text = fmt.Sprintf("NOT WRITTEN, %d accesses are in memory: %s", s.Waiting, s.Error)
	}
	for _, more := range []struct {
		n    uint64
		what string
	}{
		{uint64(s.DeadLetters), "set aside (`beesting dead-letters`)"}, //nolint:gosec // a count
		{s.Dropped, "removed before they were delivered"},
		{s.Damaged, "lost to damaged files"},
	} {
		if more.n > 0 {
			text += fmt.Sprintf(", %d %s", more.n, more.what)
		}
	}
	return text
}

// deadLetter is what is told of one.
type deadLetter struct {
	Signal string    `json:"signal"`
	Cause  string    `json:"cause"`
	Time   time.Time `json:"time"` // when it was set aside
	// AccessID is empty for a gap.
	AccessID string `json:"access_id,omitempty"`
	Kind     string `json:"kind"`
	Token    string `json:"token"`
	Pod      string `json:"pod,omitempty"`
}

// deadLettersAnswer answers both questions about them.
type deadLettersAnswer struct {
	DeadLetters []deadLetter `json:"dead_letters"`
	Resent      int          `json:"resent"`
	Error       string       `json:"error,omitempty"`
}

// deadLetters lists them, or has them sent once more.
func (n *node) deadLetters(resend bool) any {
	var answer deadLettersAnswer
	var err error
	switch {
	case n.journal == nil:
		err = errors.New("this agent keeps no journal: journal.maxBytes is 0, or the log says why")
	case resend:
		answer.Resent, err = n.journal.Resend()
	default:
		var all []journal.DeadLetter
		all, err = n.journal.DeadLetters()
		answer.DeadLetters = make([]deadLetter, 0, len(all))
		for _, l := range all {
			answer.DeadLetters = append(answer.DeadLetters, toldOf(l))
		}
	}
	if err != nil {
		answer.Error = err.Error()
	}
	return answer
}

func toldOf(l journal.DeadLetter) deadLetter {
	told := deadLetter{Signal: l.Cursor, Cause: l.Cause, Time: l.At}
	var p beesting.Placement
	if a := l.Entry.Access; a != nil {
		p, told.Kind, told.AccessID = a.Placement, string(a.Kind), fmt.Sprintf("%x", a.ID)
	} else if g := l.Entry.Gap; g != nil {
		p, told.Kind = g.Placement, string(g.Kind)
	}
	told.Token = p.Token.Name
	if c := p.Container; c != nil {
		told.Pod = c.Pod.Namespace + "/" + c.Pod.Name
	}
	return told
}
