package collectorreceiver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver/receiverhelper"

	"github.com/beesting-otel/beesting/collectorreceiver/internal/metadata"
	"github.com/beesting-otel/beesting/exporter"
	"github.com/beesting-otel/beesting/internal/agent"
	"github.com/beesting-otel/beesting/internal/config"
	"github.com/beesting-otel/beesting/internal/kube"
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
	cluster   *kube.Cluster // nil where the API server isn't asked
	telemetry *metadata.TelemetryBuilder
	host      *host
	obs       *receiverhelper.ObsReport
	health    *health
	members   map[*member]bool
	forget    map[string]*time.Timer // of signals that lost their component
	resume    *time.Timer            // ends a pause
	until     time.Time              // by when the members that leave now must have delivered
	left      time.Time              // when one of them last did

	cancel  context.CancelFunc
	ran     chan struct{} // closed when the agent's run has ended, with err
	err     error
	metrics metricsLoop
}

// newNode starts all that runs. After an error nothing does.
func newNode(h *host, g *group, c config.Config, e *engine) (_ *node, err error) {
	n := &node{
		host: h, group: g, config: c, engine: e, health: newHealth(time.Now),
		members: map[*member]bool{}, forget: map[string]*time.Timer{}, ran: make(chan struct{}),
	}
	if h.comes > 0 {
		n.health.comes, n.health.goes = h.comes, h.comes
	}
	if n.mapping, err = newMapping(c); err != nil {
		return nil, err
	}
	if n.cluster, err = n.openCluster(); err != nil {
		return nil, err
	}
	n.obs, err = receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: g.id, ReceiverCreateSettings: g.set})
	if err != nil {
		return nil, fmt.Errorf("receiver telemetry: %w", err)
	}
	n.agent, err = agent.New(e.core, agent.Options{
		StateDir: c.StateDir, FilesDir: c.FilesDir, Select: c.Policy().Selector(e.log.logger()), Log: e.log.logger(), After: e.last,
		UseHooks: agent.WantHooks(c.Tokens), CostlyContent: agent.WantCostlyContent(c.Tokens),
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
	n.drop(g)
	if n.cluster != nil {
		e.core.SetWorkloads(n.cluster, c.Kubernetes.WaitForPod)
	} else {
		e.core.SetWorkloads(nil, 0)
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

		PodLabels: c.Kubernetes.Labels, PodAnnotations: c.Kubernetes.Annotations,
	})
}

// openCluster opens what asks the API server. It ends with the node: the next one
// finds out the same within a moment.
func (n *node) openCluster() (*kube.Cluster, error) {
	k, build := n.config.Kubernetes, n.group.set.BuildInfo
	getenv := func(name string) string {
		v, _ := n.host.env.LookupEnv(name)
		return v
	}
	c, err := kube.OpenAs(k.Enabled, kube.Options{
		Place: kube.Place{Kubeconfig: k.Kubeconfig, Getenv: getenv, ServiceAccount: kube.ServiceAccount},
		Node:  n.config.NodeName, Labels: k.Labels, Annotations: k.Annotations, Log: n.engine.log.logger(),
		UserAgent: build.Command + "/" + build.Version,
	})
	if err != nil {
		return nil, fmt.Errorf("kubernetes: %w", err)
	}
	return c, nil
}

// run ends with the context, or when nothing can be seen any more.
func (n *node) run(ctx context.Context) {
	beside, stop := context.WithCancel(ctx)
	var asks sync.WaitGroup
	if n.cluster != nil {
		asks.Go(func() { n.cluster.Run(beside) })
	}
	n.err = n.agent.Run(ctx)
	stop()
	asks.Wait()
	broken := ctx.Err() == nil
	close(n.ran)
	if broken {
		// After the mark that Shutdown waits for.
		n.health.fatal(fmt.Errorf("receiver %s: accesses can't be seen any more: %w", n.group.id, n.err))
	}
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

// attach gives the group's pipelines what they are due, all of them or none: a
// signal that runs already stays as it is.
func (n *node) attach(g *group) error {
	var done []string
	for _, signal := range []string{signalMetrics, signalLogs, signalTraces} {
		if !g.takes(signal) {
			continue
		}
		if err := n.deliver(g, signal); err != nil {
			for _, signal := range done {
				n.release(signal)
			}
			return fmt.Errorf("receiver %s: %w", g.id, err)
		}
		done = append(done, signal)
	}
	return nil
}

// release takes a signal back that has just been attached.
func (n *node) release(signal string) {
	if signal == signalMetrics {
		n.metrics.set(nil)
		return
	}
	ended, end := context.WithCancel(context.Background())
	end()
	n.engine.out.Detach(ended, signal)
	n.wait(signal)
}

// wait has a signal queue for a while, for a component that may come.
func (n *node) wait(signal string) {
	n.keep(signal)
	n.forget[signal] = time.AfterFunc(n.host.linger, func() { n.host.forget(n, signal) })
}

// drop gives up the signals that the engine has been delivering for somebody
// before, and that nobody takes any more.
func (n *node) drop(g *group) {
	for _, signal := range []string{signalLogs, signalTraces} {
		if !g.takes(signal) {
			n.giveUp(signal)
		}
	}
}

func (n *node) giveUp(signal string) {
	if lost := n.engine.out.Forget(signal); lost > 0 {
		n.engine.log.logger().Error("telemetry given up: no pipeline takes the signal any more", "signal", signal, "accesses", lost)
	}
}

// deliver begins to deliver a signal to the group's pipeline, if it has one. An
// error leaves all as it is.
func (n *node) deliver(g *group, signal string) (err error) {
	switch {
	case signal == signalMetrics && g.metrics != nil:
		return n.metrics.attach(n.pushMetrics(g.metrics))
	case signal == signalLogs && g.logs != nil:
		err = n.engine.out.AttachLogs(n.mapping, n.pushLogs(g.logs))
	case signal == signalTraces && g.traces != nil:
		err = n.engine.out.AttachTraces(n.mapping, n.pushTraces(g.traces))
	}
	if err == nil {
		n.keep(signal)
		n.engine.core.Resume()
	}
	return err
}

// together is how soon after one member has left another counts as leaving with
// it, and least what each of them has for its own pipeline in any case.
const (
	together = time.Second
	least    = 500 * time.Millisecond
)

// window bounds what members that leave one after the other may take: the time
// that the configuration gives is for all of them, since all of them deliver
// until each has left. A pipeline that refuses leaves the others the least.
func (n *node) window(ctx context.Context) (context.Context, context.CancelFunc) {
	now, whole := time.Now(), n.group.cfg.ShutdownTimeout
	if now.After(n.left.Add(together)) {
		n.until = now.Add(whole)
	}
	until := n.until
	if enough := now.Add(min(least, whole)); until.Before(enough) {
		until = enough
	}
	return context.WithDeadline(ctx, until)
}

// detach ends the delivery of one signal while the others go on. What is queued
// waits for a successor of m for a while.
func (n *node) detach(ctx context.Context, m *member) {
	defer n.health.clear(m.signal)
	ctx, cancel := n.window(ctx)
	defer cancel()
	defer func() { n.left = time.Now() }()
	if m.signal == signalMetrics {
		n.metrics.last(ctx)
		n.metrics.set(nil)
		return
	}
	n.pause(ctx)
	if m.signal == signalTraces {
		// The Collector may be ending, and then no pipeline takes a span later.
		n.engine.core.EndOpens()
	}
	n.engine.out.Detach(ctx, m.signal)
	n.wait(m.signal)
}

// pauseTime is how long what is touched after a signal's component has left waits
// in the kernel for what comes next: the end of all others, or their going on.
const pauseTime = 3 * time.Second

// pause waits until what was touched before it is queued, and where programs are
// pinned, leaves what is touched after it in the kernel for a while. The Collector
// may be ending, one component after the other, and the process with it: what was
// queued for a signal that has left already would be lost, and the next process
// could tell its number at best. There it finds everything.
func (n *node) pause(ctx context.Context) {
	if n.engine.core.Paused() {
		return // another one has left just now
	}
	n.flush(ctx)
	if n.engine.pin == "" {
		return
	}
	if n.engine.core.Pause(ctx) == nil {
		if n.resume != nil {
			n.resume.Stop()
		}
		n.resume = time.AfterFunc(pauseTime, n.engine.core.Resume)
	}
}

// keep takes back what detach has in store.
func (n *node) keep(signal string) {
	if t := n.forget[signal]; t != nil {
		t.Stop()
		delete(n.forget, signal)
	}
}

// stop ends all that runs with the last member, delivers what is there for as
// long as the configuration allows, and says whether the engine can be used
// again.
func (n *node) stop(ctx context.Context, last *member) (usable bool) {
	ctx, cancel := n.window(ctx)
	defer cancel()
	log := n.engine.log.logger()
	// First, with the runtime still connected: containers that are created after
	// the agent's end get no tokens.
	if !n.engine.core.Paused() {
		n.flush(ctx)
	}
	n.engine.out.Detach(ctx, last.signal)
	n.cancel()
	<-n.ran
	if n.resume != nil {
		n.resume.Stop() // the engine may run again, for another
	}
	n.health.close()
	n.metrics.stop(ctx)
	var err error
	if last.signal != signalMetrics && ctx.Err() == nil { // what came in the meantime
		err = n.deliver(last.group, last.signal)
	}
	for _, signal := range []string{signalLogs, signalTraces} {
		n.keep(signal)
		if left := n.engine.out.Detach(ctx, signal); left > 0 {
			log.Warn("telemetry not delivered: kept for a receiver that is started in this process soon", "signal", signal, "accesses", left)
		}
	}
	n.telemetry.Shutdown()
	n.engine.last = n.agent
	if err := errors.Join(err, n.err, n.agent.Close()); err != nil {
		log.Error("the receiver's end", "error", err)
	}
	return n.err == nil || errors.Is(n.err, agent.ErrUndrained)
}

// flush waits until what was touched before it is queued. Its only error says
// that ctx is over, or that nothing is read any more, which run tells of.
func (n *node) flush(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-n.ran:
			cancel()
		case <-stop:
		}
	}()
	_ = n.engine.core.Flush(ctx)
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
