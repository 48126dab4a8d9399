package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/beesting-otel/beesting/exporter"
)

// ownLog has the log sent as well, if that is wanted. What it returns sends the
// rest; what is logged after that is on the console only.
func (n *node) ownLog(ctx context.Context, m *exporter.Mapping) (end func(), err error) {
	if !n.config.Log.OTLP {
		return func() {}, nil
	}
	console := n.log
	own, err := exporter.NewOwnLog(ctx, m, n.app.getenv, console)
	if err != nil {
		return nil, err
	}
	n.log = slog.New(slog.NewMultiHandler(console.Handler(), leveled{own.Handler(), n.level}))
	return func() {
		last, done := context.WithTimeout(context.WithoutCancel(ctx), ownLogTime)
		defer done()
		if err := own.Shutdown(last); err != nil {
			console.Warn("the last lines of this log were not sent", slog.Any("error", err))
		}
	}, nil
}

// ownLogTime bounds how long the end waits for the agent's own last lines.
const ownLogTime = 2 * time.Second

// leveled is a handler of its own for the lines from a level on.
type leveled struct {
	slog.Handler
	level slog.Leveler
}

func (l leveled) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= l.level.Level() && l.Handler.Enabled(ctx, level)
}

func (l leveled) WithAttrs(attrs []slog.Attr) slog.Handler {
	return leveled{l.Handler.WithAttrs(attrs), l.level}
}

func (l leveled) WithGroup(name string) slog.Handler {
	return leveled{l.Handler.WithGroup(name), l.level}
}
