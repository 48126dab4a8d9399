package collectorreceiver

import (
	"context"
	"log/slog"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
)

// relay is a logger for what outlives a receiver: it writes to the logger of the
// receiver that is there now. A Collector that starts afresh closes the old one.
type relay struct{ current *atomic.Pointer[slog.Handler] }

func newRelay() relay {
	r := relay{current: new(atomic.Pointer[slog.Handler])}
	r.set(zap.NewNop())
	return r
}

// set changes where it writes to.
func (r relay) set(to *zap.Logger) {
	// Stack traces are for a defect's panic, not for an error of the world.
	var h slog.Handler = zapslog.NewHandler(to.Core(), zapslog.AddStacktraceAt(slog.LevelError+1))
	r.current.Store(&h)
}

func (r relay) logger() *slog.Logger { return slog.New(relayed{relay: r}) }

// relayed is the slog handler of a relay. It keeps what With and WithGroup ask
// for, to ask the current handler for the same.
type relayed struct {
	relay
	wrap []func(slog.Handler) slog.Handler
}

// Enabled implements slog.Handler.
func (h relayed) Enabled(ctx context.Context, level slog.Level) bool {
	return (*h.current.Load()).Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h relayed) Handle(ctx context.Context, r slog.Record) error {
	to := *h.current.Load()
	for _, wrap := range h.wrap {
		to = wrap(to)
	}
	return to.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h relayed) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func(to slog.Handler) slog.Handler { return to.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (h relayed) WithGroup(name string) slog.Handler {
	return h.with(func(to slog.Handler) slog.Handler { return to.WithGroup(name) })
}

func (h relayed) with(wrap func(slog.Handler) slog.Handler) slog.Handler {
	return relayed{relay: h.relay, wrap: append(h.wrap[:len(h.wrap):len(h.wrap)], wrap)}
}
