package collectorreceiver

import (
	"context"
	"errors"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/beesting-otel/beesting/collectorreceiver/internal/metadata"
)

// pushLogs hands over to a pipeline, which may refuse: see exporter.PData.
func (n *node) pushLogs(next consumer.Logs) func(context.Context, plog.Logs) error {
	return func(ctx context.Context, ld plog.Logs) error {
		count := ld.LogRecordCount() // it is the pipeline's to change then
		ctx = n.obs.StartLogsOp(ctx)
		done := n.health.push(signalLogs)
		err := next.ConsumeLogs(ctx, ld)
		n.obs.EndLogsOp(ctx, metadata.Type.String(), count, err)
		done(err)
		return err
	}
}

func (n *node) pushTraces(next consumer.Traces) func(context.Context, ptrace.Traces) error {
	return func(ctx context.Context, td ptrace.Traces) error {
		count := td.SpanCount()
		ctx = n.obs.StartTracesOp(ctx)
		done := n.health.push(signalTraces)
		err := next.ConsumeTraces(ctx, td)
		n.obs.EndTracesOp(ctx, metadata.Type.String(), count, err)
		done(err)
		return err
	}
}

// leftLogs finds in a pipeline's refusal what of the batch it refuses.
func leftLogs(err error) (plog.Logs, bool) {
	var partial consumererror.Logs
	if !errors.As(err, &partial) {
		return plog.Logs{}, false
	}
	return partial.Data(), true
}

// leftTraces is leftLogs for spans.
func leftTraces(err error) (ptrace.Traces, bool) {
	var partial consumererror.Traces
	if !errors.As(err, &partial) {
		return ptrace.Traces{}, false
	}
	return partial.Data(), true
}
