package agent

import (
	"log/slog"
	"time"
)

// complainEvery is how often at most the log hears of one thing that the sink
// refuses: it can refuse as fast as tokens are touched.
const complainEvery = 10 * time.Second

// complaint tells the log of errors of one kind: of the first at once, and then at
// most every complainEvery with their number since. It is not safe for concurrent
// use.
type complaint struct {
	say   func(args ...any)
	told  time.Time
	since uint64 // not told yet
	last  error
}

// note counts an error. about is told with it.
func (p *complaint) note(err error, about slog.Attr) {
	p.since++
	p.last = err
	if now := time.Now(); now.Sub(p.told) >= complainEvery {
		p.told = now
		p.tell(about)
	}
}

// flush tells what the limit held back, and lifts it.
func (p *complaint) flush() {
	if p.since > 0 {
		p.tell()
	}
	p.told = time.Time{}
}

func (p *complaint) tell(about ...any) {
	p.say(append(about, slog.Uint64("accesses", p.since), slog.Any("error", p.last))...)
	p.since, p.last = 0, nil
}

// complaints are those about the sink.
type complaints struct{ deferred, lost, ends, gaps complaint }

func newComplaints(log *slog.Logger) complaints {
	return complaints{
		deferred: complaint{say: func(args ...any) { log.Error("accesses not delivered: their touches are told later", args...) }},
		lost:     complaint{say: func(args ...any) { log.Error("accesses lost: not delivered, nor counted by the kernel", args...) }},
		ends:     complaint{say: func(args ...any) { log.Error("ends of accesses not delivered", args...) }},
		gaps:     complaint{say: func(args ...any) { log.Error("gaps not delivered: they are told later", args...) }},
	}
}

func (c *complaints) flush() {
	for _, one := range []*complaint{&c.deferred, &c.lost, &c.ends, &c.gaps} {
		one.flush()
	}
}
