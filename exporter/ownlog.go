package exporter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	sdklog "go.opentelemetry.io/otel/sdk/log"
)

// ownLogQueue is how many of the agent's own lines wait at most; the SDK leaves the
// oldest out then. All of them are on the console.
const ownLogQueue = 2048

// OwnLog sends the agent's own log to where accesses go. Unlike those it is not in
// the journal and may be lost. Safe for concurrent use.
type OwnLog struct {
	provider *sdklog.LoggerProvider // nil where logs are turned off
	handler  slog.Handler
}

// NewOwnLog reads the environment as NewOTLP does. console hears when lines don't
// arrive, and when they do again.
func NewOwnLog(ctx context.Context, m *Mapping, getenv func(string) string, console *slog.Logger) (*OwnLog, error) {
	off, err := disabled(getenv)
	if err != nil {
		return nil, err
	}
	e := env{getenv: getenv, signal: logsSignal()}
	on, err := e.selected()
	if err != nil {
		return nil, err
	}
	if off || !on {
		return &OwnLog{handler: slog.DiscardHandler}, nil
	}
	target, err := e.endpoint()
	if err != nil {
		return nil, err
	}
	exporter, release, err := logExporter(ctx, target)
	if err != nil {
		return nil, fmt.Errorf("own log to %s: %w", target, err)
	}
	provider := sdklog.NewLoggerProvider(
		sdklog.WithResource(m.NodeResource()),
		sdklog.WithProcessor(sdklog.NewBatchProcessor(&ownLogExporter{Exporter: exporter, release: release, console: console},
			sdklog.WithMaxQueueSize(ownLogQueue))),
	)
	return &OwnLog{
		provider: provider,
		handler: otelslog.NewHandler(ScopeName, otelslog.WithLoggerProvider(provider),
			otelslog.WithVersion(m.version), otelslog.WithSchemaURL(SchemaURL)),
	}, nil
}

// Handler takes the lines.
func (o *OwnLog) Handler() slog.Handler { return o.handler }

// Shutdown sends what waits, for as long as ctx lasts.
func (o *OwnLog) Shutdown(ctx context.Context) error {
	if o.provider == nil {
		return nil
	}
	return o.provider.Shutdown(ctx)
}

// ownLogExporter keeps errors from the SDK's global handler, which would write them
// somewhere of its own.
type ownLogExporter struct {
	sdklog.Exporter
	release func() error
	console *slog.Logger
	failing atomic.Bool
	lost    atomic.Uint64
}

// Export implements sdklog.Exporter. What fails is not tried again.
func (e *ownLogExporter) Export(ctx context.Context, records []sdklog.Record) error {
	err := e.Exporter.Export(ctx, records)
	switch failed := e.failing.Swap(err != nil); {
	case err != nil:
		e.lost.Add(uint64(len(records)))
		if !failed {
			e.console.Warn("own log not sent; it is here only", slog.Any("error", err))
		}
	case failed:
		e.console.Info("own log is sent again", slog.Uint64("lines_missing", e.lost.Swap(0)))
	}
	return nil
}

// Shutdown implements sdklog.Exporter.
func (e *ownLogExporter) Shutdown(ctx context.Context) error {
	return errors.Join(e.Exporter.Shutdown(ctx), e.release())
}
