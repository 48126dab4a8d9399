package check

import (
	"log/slog"
	"slices"
)

// Start is how tokens are watched from now on.
type Start struct {
	Asked   string // the mode that was asked for
	Refused []Attempt
	Mode    string // the one that was taken
	Tier    string
	Kinds   Kinds
	// Pin is where programs stay attached; empty for nowhere.
	Pin string
	// PinRefused is where they were to stay, had the mode been able to.
	PinRefused string
}

// Log tells it, with what a reader of the log has to know of: what can't be
// seen, and what happens when the agent stops. attrs go with the word that it
// has begun.
func (s Start) Log(log *slog.Logger, attrs ...any) {
	for _, r := range s.Refused {
		log.Info("attach mode refused", slog.String("mode", r.Mode), slog.Any("error", r.Err))
	}
	kinds := []any{slog.String("seen", s.Kinds.Seen())}
	if text := s.Kinds.Limits(); text != "" {
		kinds = append(kinds, slog.String("in_part", text))
	}
	if text := s.Kinds.Unseen(); text != "" {
		kinds = append(kinds, slog.String("not_seen", text))
	}
	if s.Mode == ModeFanotify && s.Asked != ModeFanotify {
		log.Warn("eBPF can't be used here: fanotify watches, which sees less", kinds...)
	}
	log.Info("attached", slices.Concat([]any{slog.String("mode", s.Mode), slog.String("tier", s.Tier)}, attrs, kinds)...)
	switch {
	case s.PinRefused != "":
		log.Warn("not pinned: this attach mode ends with its process on this kernel, and tokens are not watched until the next start",
			slog.String("mode", s.Mode), slog.String("path", s.PinRefused))
	case s.Pin == "":
		log.Info("not pinned: when this process ends, tokens are not watched until the next start")
	default:
		log.Info("pinned: when this process ends, tokens stay watched, and touches are kept for the next start", slog.String("path", s.Pin))
	}
}
