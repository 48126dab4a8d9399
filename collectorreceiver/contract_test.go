//go:build linux

package collectorreceiver

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pipeline"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/beesting-otel/beesting/collectorreceiver/internal/metadata"
)

// The Collector's own check of a receiver and its next consumer: what is
// accepted comes once, what is refused comes again, what is refused for good
// does not.
func TestConsumeContract(t *testing.T) {
	for _, signal := range []pipeline.Signal{pipeline.SignalLogs, pipeline.SignalTraces} {
		t.Run(signal.String(), func(t *testing.T) {
			h := newTestHost(t)
			h.longestWait = 20 * time.Millisecond
			touches := &toucher{host: h, handled: make(chan struct{})}
			receivertest.CheckConsumeContract(receivertest.CheckConsumeContractParams{
				T: t, Signal: signal, Config: h.config(),
				Factory:   receiver.NewFactory(metadata.Type, createDefaultConfig, touches.options(newFactory(h.host))...),
				Generator: touches, GenerateCount: 100,
			})
		})
	}
}

// toucher generates one access at a time. The check's consumer decides at random
// about what it is given, as if it didn't depend on what that is; of several
// accesses that are refused for good together, those that a pipeline takes alone
// are delivered (see exporter.PData), which it would take for a repetition.
type toucher struct {
	host    *testHost
	turn    sync.Mutex
	handled chan struct{}
}

func (*toucher) Start() {}
func (*toucher) Stop()  {}

func (g *toucher) Generate() []receivertest.UniqueIDAttrVal {
	g.turn.Lock()
	defer g.turn.Unlock()
	g.host.touch(1)
	id := strconv.Itoa(g.host.touched)
	<-g.handled
	return []receivertest.UniqueIDAttrVal{receivertest.UniqueIDAttrVal(id)}
}

// done is told of each hand-over that is not going to be tried again.
func (g *toucher) done(err error) error {
	if err == nil || consumererror.IsPermanent(err) {
		g.handled <- struct{}{}
	}
	return err
}

// options make components whose telemetry bears the attribute that the check
// goes by: the number of the touch, which is the process's id.
func (g *toucher) options(f receiver.Factory) []receiver.FactoryOption {
	return []receiver.FactoryOption{
		receiver.WithLogs(func(ctx context.Context, set receiver.Settings, cfg component.Config, next consumer.Logs) (receiver.Logs, error) {
			marked, err := consumer.NewLogs(func(ctx context.Context, ld plog.Logs) error {
				for _, r := range ld.ResourceLogs().All() {
					for _, l := range r.ScopeLogs().At(0).LogRecords().All() {
						mark(l.Attributes())
					}
				}
				return g.done(next.ConsumeLogs(ctx, ld))
			})
			if err != nil {
				return nil, err
			}
			return f.CreateLogs(ctx, set, cfg, marked)
		}, component.StabilityLevelAlpha),
		receiver.WithTraces(func(ctx context.Context, set receiver.Settings, cfg component.Config, next consumer.Traces) (receiver.Traces, error) {
			marked, err := consumer.NewTraces(func(ctx context.Context, td ptrace.Traces) error {
				for _, r := range td.ResourceSpans().All() {
					for _, s := range r.ScopeSpans().At(0).Spans().All() {
						mark(s.Attributes())
					}
				}
				return g.done(next.ConsumeTraces(ctx, td))
			})
			if err != nil {
				return nil, err
			}
			return f.CreateTraces(ctx, set, cfg, marked)
		}, component.StabilityLevelAlpha),
	}
}

func mark(attrs pcommon.Map) {
	pid, _ := attrs.Get("process.pid")
	attrs.PutStr(receivertest.UniqueIDAttrName, pid.AsString())
}
