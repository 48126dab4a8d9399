package nri

import (
	"context"
	"fmt"
	"log/slog"
)

// stubLog gives the stub's messages, which are formatted text, to slog. What
// the stub calls information is of interest to its developers: debug here.
type stubLog struct{ log *slog.Logger }

func (l stubLog) write(ctx context.Context, level slog.Level, format string, args []any) {
	if !l.log.Enabled(ctx, level) {
		return
	}
	l.log.LogAttrs(ctx, level, "NRI stub", slog.String("message", fmt.Sprintf(format, args...)))
}

// Debugf is the stub's.
func (l stubLog) Debugf(ctx context.Context, format string, args ...any) {
	l.write(ctx, slog.LevelDebug, format, args)
}

// Infof is the stub's.
func (l stubLog) Infof(ctx context.Context, format string, args ...any) {
	l.write(ctx, slog.LevelDebug, format, args)
}

// Warnf is the stub's.
func (l stubLog) Warnf(ctx context.Context, format string, args ...any) {
	l.write(ctx, slog.LevelWarn, format, args)
}

// Errorf is the stub's.
func (l stubLog) Errorf(ctx context.Context, format string, args ...any) {
	l.write(ctx, slog.LevelWarn, format, args)
}
