package agent

import (
	"context"
	"log/slog"
	"time"
)

// markEvery is how often the agent notes on disk that it watches: what a gap is
// known to, should it be killed.
const markEvery = 10 * time.Second

// watchGap is the time before this agent in which planted tokens were there and
// nobody watched them. There was none where everything stayed attached.
type watchGap struct {
	from  time.Duration // on the boot clock
	known bool          // else there was no agent in this boot, or it left no word
}

// readGap finds out when an agent before this one last watched.
func (a *Agent) readGap() {
	from, ok, err := a.state.Marked(a.core.bootID)
	if err != nil {
		a.log.Warn("how long tokens were not watched is not known", slog.Any("error", err))
	}
	a.gap = watchGap{from: from, known: ok}
}

// closeGap is called when the tokens of the containers that ran before are
// watched again.
func (a *Agent) closeGap() {
	blind := a.unwatchedBefore()
	if !a.gap.known || blind == 0 {
		return
	}
	now, err := a.core.clock.Boot()
	if err != nil || now < a.gap.from {
		return
	}
	gap := now - a.gap.from
	a.mu.Lock()
	a.unwatched = gap
	a.mu.Unlock()
	a.log.Warn("planted tokens were not watched before this start", slog.Duration("for_at_most", gap.Round(time.Millisecond)), slog.Int("tokens", blind))
}

// unwatchedBefore counts the tokens that were planted before this agent and did
// not stay watched until it came.
func (a *Agent) unwatchedBefore() (n int) {
	for _, p := range a.core.Placements() {
		if !a.core.stayed(p.ID) && !p.PlantedAt.After(a.since) {
			n++
		}
	}
	return n
}

// keepMark notes that the tokens are watched, until ctx ends and then once more.
// The state directory's troubles are told where they keep tokens from being
// planted; here they make the next agent's word less exact.
func (a *Agent) keepMark(ctx context.Context) {
	ticker := time.NewTicker(markEvery)
	defer ticker.Stop()
	for {
		now, err := a.core.clock.Boot()
		if err == nil {
			err = a.state.Mark(a.core.bootID, now)
		}
		if err != nil {
			a.log.Debug("watching is not noted", slog.Any("error", err))
		}
		if ctx.Err() != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}
