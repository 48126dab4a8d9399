package collectorreceiver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver/receiverhelper"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/collectorreceiver/internal/metadata"
	"github.com/beesting-otel/beesting/exporter"
	"github.com/beesting-otel/beesting/internal/agent"
	"github.com/beesting-otel/beesting/internal/config"
	"github.com/beesting-otel/beesting/internal/proc"
)

// firstMetrics is when metrics are given for the first time: late enough for the
// runtime to have told of its containers, early enough for who is watching.
const firstMetrics = 5 * time.Second

// node is one run of an engine: the agent under one configuration, and where its
// telemetry goes. Its methods are called with the host's lock held.
type node struct {
	group     *group // the one that it was started by
	config    config.Config
	engine    *engine
	mapping   *exporter.Mapping
	agent     *agent.Agent
	telemetry *metadata.TelemetryBuilder
	obs       *receiverhelper.ObsReport
	health    *health
	members   map[*member]bool
	forget    map[string]*time.Timer // of signals that lost their component

	cancel  context.CancelFunc
	ran     chan struct{} // closed when the agent's run has ended, with err
	err     error
	metrics metricsLoop
}

// newNode starts all that runs. After an error nothing does.
func newNode(g *group, c config.Config, e *engine) (_ *node, err error) {
	n := &node{
		group: g, config: c, engine: e, health: newHealth(time.Now),
		members: map[*member]bool{}, forget: map[string]*time.Timer{}, ran: make(chan struct{}),
	}
	if n.mapping, err = newMapping(c); err != nil {
		return nil, err
	}
	n.obs, err = receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: g.id, ReceiverCreateSettings: g.set})
	if err != nil {
		return nil, fmt.Errorf("receiver telemetry: %w", err)
	}
	n.agent, err = agent.New(e.core, agent.Options{
		StateDir: c.StateDir, Select: n.tokensFor, Log: e.log.logger(), After: e.last,
		NRISocket: c.NRI.Socket, PluginName: c.NRI.PluginName, PluginIndex: c.NRI.PluginIndex,
		// One runtime that is away for a moment must not end a Collector that
		// has other things to do as well.
		Patient: true, Changed: n.connection,
	})
	if err != nil {
		return nil, err
	}
	if n.telemetry, err = n.observe(); err != nil {
		return nil, errors.Join(err, n.agent.Close())
	}
	if err := n.attach(g); err != nil {
		n.telemetry.Shutdown()
		return nil, errors.Join(err, n.agent.Close())
	}
	// Not Start's context, which ends when everything has been started.
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	go n.run(ctx)
	n.metrics.start(ctx, g.cfg.MetricsInterval)
	return n, nil
}

func newMapping(c config.Config) (*exporter.Mapping, error) {
	host := proc.FS("/proc")
	return exporter.NewMapping(exporter.MappingOptions{
		Node: exporter.Node{Name: c.NodeName, HostName: host.HostName(), HostID: host.HostID()},
		Args: exporter.ArgsMode(c.CommandArgs),
	})
}

// run ends with the context, or when nothing can be seen any more.
func (n *node) run(ctx context.Context) {
	n.err = n.agent.Run(ctx)
	broken := ctx.Err() == nil
	close(n.ran)
	if broken {
		// After the mark that Shutdown waits for: see fatal.
		n.health.fatal(fmt.Errorf("receiver %s: accesses can't be seen any more: %w", n.group.id, n.err))
	}
}

// tokensFor is the policy: all tokens, for the containers of matched pods.
func (n *node) tokensFor(c beesting.Container) []beesting.Token {
	if n.config.Match.Pod(c.Pod) {
		return n.config.Tokens
	}
	return nil
}

// connection is told of the container runtime coming and going.
func (n *node) connection(connected bool, err error) {
	if connected {
		err = nil
	} else {
		err = fmt.Errorf("containers that are created get no tokens: %w", err)
	}
	n.health.runtime(err)
}

// attach gives the group's pipelines what they are due.
func (n *node) attach(g *group) error {
	var errs []error
	if g.logs != nil {
		n.keep(signalLogs)
		errs = append(errs, n.engine.out.AttachLogs(n.mapping, n.pushLogs(g.logs)))
	}
	if g.traces != nil {
		n.keep(signalTraces)
		errs = append(errs, n.engine.out.AttachTraces(n.mapping, n.pushTraces(g.traces)))
	}
	if g.metrics != nil {
		n.metrics.set(n.pushMetrics(g.metrics))
	}
	return errors.Join(errs...)
}

// detach ends the delivery of one signal while the others go on. What is queued
// waits for a successor of m for a while.
func (n *node) detach(ctx context.Context, m *member, h *host) {
	if m.signal == signalMetrics {
		n.metrics.set(nil)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, n.group.cfg.ShutdownTimeout)
	defer cancel()
	n.engine.out.Detach(ctx, m.signal)
	n.forget[m.signal] = time.AfterFunc(h.linger, func() { h.forget(n, m.signal) })
}

// keep takes back what detach has in store.
func (n *node) keep(signal string) {
	if t := n.forget[signal]; t != nil {
		t.Stop()
		delete(n.forget, signal)
	}
}

// stop ends all that runs, delivers what is there for as long as the
// configuration allows, and says whether the engine can be used again.
func (n *node) stop(ctx context.Context) (usable bool, err error) {
	n.cancel()
	<-n.ran
	ctx, cancel := context.WithTimeout(ctx, n.group.cfg.ShutdownTimeout)
	defer cancel()
	n.metrics.stop(ctx)
	var wg sync.WaitGroup
	for _, signal := range []string{signalLogs, signalTraces} {
		n.keep(signal)
		wg.Go(func() {
			if left := n.engine.out.Detach(ctx, signal); left > 0 {
				n.engine.log.logger().Warn("telemetry not delivered: lost unless the receiver is started again in this process",
					"signal", signal, "accesses", left)
			}
		})
	}
	wg.Wait()
	n.telemetry.Shutdown()
	n.engine.last = n.agent
	return n.err == nil, errors.Join(n.err, n.agent.Close())
}

func (n *node) pushMetrics(next consumer.Metrics) func(context.Context) {
	return func(ctx context.Context) {
		md := n.engine.meter.PData(n.mapping, n.state())
		count := md.DataPointCount()
		ctx = n.obs.StartMetricsOp(ctx)
		err := next.ConsumeMetrics(ctx, md)
		n.obs.EndMetricsOp(ctx, metadata.Type.String(), count, err)
		n.health.delivery(signalMetrics, err)
	}
}
