// Package reload takes up changes of the configuration while the agent runs.
//
// Files are looked at every two seconds and compared by their contents. That
// needs no watch that could be lost: a Kubernetes ConfigMap is a link to a link that
// the kubelet swaps, editors replace a file or write into it, a directory can be
// mounted anew, and network file systems tell nobody (inotify(7)). A look costs
// one read of files that have a few KiB as a rule.
package reload

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/beesting-otel/beesting/internal/config"
)

// Outcome is what became of an attempt to read the configuration again.
type Outcome string

// The outcomes, all of them.
const (
	// Applied configurations are in use, but for the pending keys.
	Applied Outcome = "applied"
	// Unchanged ones were in use already.
	Unchanged Outcome = "unchanged"
	// Refused ones have mistakes: nothing of them is used.
	Refused Outcome = "refused"
)

// Options set up a Reloader. All but Interval are needed.
type Options struct {
	// Load reads the configuration; the Source is good also with an error.
	Load func() (config.Config, config.Source, error)
	// Config is the one that the agent was started with, read from Source.
	Config config.Config
	Source config.Source
	// File is the configuration's name, for people.
	File string
	// Apply has the agent use what can be changed while it runs: the tokens, match
	// and the log's level. It is called by one goroutine at a time.
	Apply func(config.Config)
	Log   *slog.Logger
	// Now is the wall clock.
	Now func() time.Time
	// Interval is the time between two looks at the files; 2 s if zero. A change is
	// taken up when two looks have seen the same, since a file can be half written.
	Interval time.Duration
}

// Reloader reads the configuration again when it changes or when it is asked to.
// A valid one is applied, one with mistakes refused as a whole. Its methods may be
// called concurrently; one Run at a time.
type Reloader struct {
	o Options

	op     sync.Mutex    // held while the configuration is read and applied
	latest config.Source // of the latest attempt, whatever became of it
	tokens int           // of the configuration in use

	seen config.Source // of the look before; Run's own

	mu     sync.Mutex // guards status; never held during I/O
	status Status
}

// Status says which configuration is in use. It is a copy, made for JSON.
type Status struct {
	File string `json:"file"`
	// LoadedAt is when the one in use was taken up, and Hash tells it from others.
	LoadedAt time.Time `json:"loaded_at"`
	Hash     string    `json:"hash"`
	// Reloads are the attempts since the start, by outcome.
	Reloads map[Outcome]uint64 `json:"reloads"`
	// Pending are keys of the configuration in use that have other values than at
	// the start, and get them at the next.
	Pending []string `json:"pending,omitempty"`
	// LastError says why the files, as they were at LastErrorAt, are refused: one
	// line for each mistake. It is empty when the latest attempt was not.
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
}

// Result is what became of one attempt.
type Result struct {
	Outcome Outcome `json:"outcome"`
	Hash    string  `json:"hash"` // of the configuration in use
	// Tokens is how many that has.
	Tokens int `json:"tokens"`
	// Pending is as in Status.
	Pending []string `json:"pending,omitempty"`
	// Mistakes are why it was refused, one line each.
	Mistakes []string `json:"mistakes,omitempty"`
}

// New makes a Reloader. Nothing happens before Run or Reload.
func New(o Options) (*Reloader, error) {
	if o.Load == nil || o.Apply == nil || o.Log == nil || o.Now == nil {
		return nil, errors.New("reload: an option is missing")
	}
	if o.Interval <= 0 {
		o.Interval = 2 * time.Second
	}
	return &Reloader{o: o, latest: o.Source, seen: o.Source, tokens: len(o.Config.Tokens), status: Status{
		File: o.File, LoadedAt: o.Now(), Hash: o.Source.Hash(),
		Reloads: map[Outcome]uint64{Applied: 0, Unchanged: 0, Refused: 0},
	}}, nil
}

// Run looks at the files until ctx ends, and reads them at once for everything
// that comes from hangup.
func (r *Reloader) Run(ctx context.Context, hangup <-chan os.Signal) {
	ticker := time.NewTicker(r.o.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			r.attempt("signal")
		case <-ticker.C:
			r.look()
		}
	}
}

// Reload reads the configuration now.
func (r *Reloader) Reload() Result { return r.attempt("request") }

// look reads the configuration if its files have changed since the latest attempt,
// and not any more since the look before.
func (r *Reloader) look() {
	r.op.Lock()
	latest := r.latest
	r.op.Unlock()
	now := latest.Now()
	settled := now.Equal(r.seen)
	r.seen = now
	if !now.Equal(latest) && settled {
		r.attempt("change")
	}
}

func (r *Reloader) attempt(trigger string) Result {
	r.op.Lock()
	defer r.op.Unlock()
	c, source, err := r.o.Load()
	before := r.latest
	r.latest = source
	if err != nil {
		return r.refuse(trigger, err)
	}
	if s := r.Status(); s.LastError == "" && source.Equal(before) {
		r.o.Log.Info("configuration read again: nothing has changed", slog.String("trigger", trigger))
		return r.conclude(Unchanged, c, func(*Status) {})
	}
	r.o.Apply(c)
	pending := config.NeedRestart(r.o.Config, c)
	result := r.conclude(Applied, c, func(s *Status) {
		s.LoadedAt, s.Hash, s.Pending = r.o.Now(), source.Hash(), pending
		s.LastError, s.LastErrorAt = "", time.Time{}
	})
	r.o.Log.Info("configuration reloaded", slog.String("trigger", trigger), slog.Int("tokens", len(c.Tokens)),
		slog.String("hash", result.Hash))
	if len(pending) > 0 {
		r.o.Log.Warn("configuration keys wait for a restart: they keep their old values", slog.Any("keys", pending))
	}
	return result
}

func (r *Reloader) refuse(trigger string, err error) Result {
	mistakes := Lines(err.Error())
	for _, line := range mistakes {
		r.o.Log.Error("configuration mistake", slog.String("mistake", line))
	}
	r.o.Log.Error("configuration refused: the old one stays in use", slog.String("trigger", trigger), slog.Int("mistakes", len(mistakes)))
	result := r.conclude(Refused, config.Config{}, func(s *Status) { s.LastError, s.LastErrorAt = err.Error(), r.o.Now() })
	result.Mistakes = mistakes
	return result
}

// conclude counts an outcome, changes the status with it, and makes the result.
func (r *Reloader) conclude(outcome Outcome, c config.Config, change func(*Status)) Result {
	if outcome != Refused {
		r.tokens = len(c.Tokens)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.Reloads[outcome]++
	change(&r.status)
	return Result{Outcome: outcome, Hash: r.status.Hash, Tokens: r.tokens, Pending: slices.Clone(r.status.Pending)}
}

// Status says which configuration is in use, and what became of the attempts.
func (r *Reloader) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.status
	s.Reloads, s.Pending = maps.Clone(s.Reloads), slices.Clone(s.Pending)
	return s
}

// Lines takes the text of an error apart, one line for each mistake.
func Lines(text string) []string { return strings.Split(strings.TrimRight(text, "\n"), "\n") }
