package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/beesting-otel/beesting/exporter"
	"github.com/beesting-otel/beesting/internal/agent"
	"github.com/beesting-otel/beesting/internal/check"
	"github.com/beesting-otel/beesting/internal/config"
	"github.com/beesting-otel/beesting/internal/control"
	"github.com/beesting-otel/beesting/internal/journal"
	"github.com/beesting-otel/beesting/internal/kube"
	"github.com/beesting-otel/beesting/internal/proc"
	"github.com/beesting-otel/beesting/internal/reload"
	"github.com/beesting-otel/beesting/internal/web"
)

func (a *app) agent() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "agent --config FILE",
		Short: "Plant tokens in the containers of this node and report who touches them",
		Long: `Plant tokens in the containers of this node and report who touches them.

The agent is a plugin of the container runtime (NRI). It plants in containers
that are created while it runs, and watches again what it planted before.
Whatever goes wrong in planting, the container starts; "beesting status" tells.

Everything is verified before anything is planted. SIGINT and SIGTERM end it:
what happened until then is delivered, and the exit code is 0. A second signal
ends it at once. Planted files stay, as containers mount them. Where a bpffs is
mounted at /sys/fs/bpf they stay watched, too: the next agent tells what was
touched meanwhile. "sensor: {pin: ''}" in the configuration switches that off,
and "beesting uninstall" removes it.

The configuration is read again a few seconds after it, or a file that it takes
a token's content from, has changed, and on SIGHUP: tokens, match and the log's
level change at once, and the log names what else waits for a restart. One with
mistakes is refused as a whole, and the old one stays in use.

Telemetry goes where the standard OTEL_* variables say. /healthz, /readyz and
/metrics (for Prometheus) are answered on the control socket, and over TCP where
the configuration has an "http: {address: HOST:PORT}". What the back end has not
accepted yet waits on disk, also for the next agent; "beesting accesses" shows it,
and what was delivered lately.`,
		Example: `  beesting config example > beesting.yaml
  sudo beesting agent --config beesting.yaml

  # To an OpenTelemetry Collector on another host
  export OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318
  sudo -E beesting agent --config beesting.yaml

  # Why it isn't ready, if it isn't
  sudo curl --unix-socket /run/beesting/control.sock http://agent/readyz`,
		Args: noArgs,
	}
	file := cmd.Flags().String("config", "", "configuration `FILE` (required)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *file == "" {
			return usageError{fmt.Errorf("--config FILE must be given (see `%s --help`)", cmd.CommandPath())}
		}
		hangup, stop := hangups()
		defer stop()
		c, source, err := a.loadSource(*file)
		if err != nil {
			return err
		}
		n := node{app: a, file: *file, config: c, source: source, hangup: hangup, started: time.Now()}
		n.log, n.level = a.levelLogger(c.Log)
		a.spareMemory()
		return n.run(cmd.Context())
	}
	return cmd
}

// node is one run of the agent command.
type node struct {
	app      *app
	file     string
	config   config.Config // that of the start
	source   config.Source
	hangup   <-chan os.Signal
	log      *slog.Logger
	level    *slog.LevelVar
	started  time.Time
	metrics  *metrics
	scrapes  http.Handler // answers Prometheus
	outputs  outputs
	journal  *journal.Journal // nil for none
	agent    *agent.Agent
	cluster  *kube.Cluster // nil where the API server isn't asked
	reloader *reload.Reloader
	pin      string // where programs stay; empty for nowhere
	// warnings are told when the agent is up: an end before that is one line.
	warnings []check.Row
}

// run verifies what can be verified without changing anything, then brings the
// parts up in the order in which they depend on each other. Each is taken down
// again when a later one can't be had; the first thing that others can see, the
// plugin, comes last.
func (n *node) run(ctx context.Context) (err error) {
	machine := n.app.machine(n.config, "/proc", "/sys")
	if n.warnings, err = machine.Preflight(); err != nil {
		return err
	}
	n.pin = machine.PinPath()
	mapping, err := exporter.NewMapping(exporter.MappingOptions{
		PodLabels: n.config.Kubernetes.Labels, PodAnnotations: n.config.Kubernetes.Annotations,
		Node: hostNode(n.config.NodeName), Args: exporter.ArgsMode(n.config.CommandArgs), Version: readVersion().Version, Getenv: n.app.getenv,
	})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal has its usual effect
	// An access that standard output has no reader for is counted as an error
	// of the output; the other outputs go on.
	signal.Ignore(syscall.SIGPIPE)

	if n.cluster, err = n.app.cluster(n.config, n.log); err != nil {
		return err
	}
	n.metrics = newMetrics(n.log)
	if n.scrapes, err = n.metrics.prometheus(mapping); err != nil {
		return err
	}
	if slices.Contains(n.config.Output, "otlp") || n.config.Log.OTLP {
		if err := exporter.CheckOTLP(n.app.getenv); err != nil {
			return err
		}
	}
	// Before anything that only one agent may have open: who is second hears of
	// the first.
	socket, err := control.Listen(n.config.ControlSocket)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, socket.Close()) }()
	own, err := n.ownLog(ctx, mapping)
	if err != nil {
		return err
	}
	defer own()
	if n.journal, err = openJournal(n.config, n.log); err != nil {
		return err
	}
	if n.journal != nil {
		defer func() { err = errors.Join(err, n.journal.Close()) }()
	}
	to := destinations{stdout: n.app.stdout, journal: n.journal, metrics: n.metrics}
	if n.outputs, err = n.app.newOutputs(ctx, n.config.Output, to, mapping, n.log); err != nil {
		return err
	}
	defer func() {
		last, done := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer done()
		err = errors.Join(err, n.outputs.Shutdown(last))
	}()
	return n.runAgent(ctx, socket)
}

func (n *node) runAgent(ctx context.Context, socket *control.Socket) (err error) {
	c := n.config.Sensor
	o := sensorOptions(c, n.pin)
	sensor, refused, err := agent.OpenSensor(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sensor.Close()) }()
	core, err := agent.NewCore(agent.CoreOptions{
		Sensor: sensor, Sink: countedSink{n.outputs, n.metrics.meter}, Log: n.log, MaxPlacements: c.MaxWatches,
		Exempt:      agent.Exempt{Binaries: c.Exempt.Binaries, Cgroups: c.Exempt.Cgroups},
		OpenTimeout: c.OpenTimeout, RepeatInterval: c.RepeatInterval,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, core.Close()) }()
	if n.cluster != nil {
		core.SetWorkloads(n.cluster, n.config.Kubernetes.WaitForPod)
	}
	n.agent, err = agent.New(core, agent.Options{
		StateDir: n.config.StateDir, FilesDir: n.config.FilesDir, Select: n.config.Policy().Selector(n.log), Log: n.log,
		UseHooks: agent.WantHooks(n.config.Tokens), CostlyContent: agent.WantCostlyContent(n.config.Tokens),
		NRISocket: n.config.NRI.Socket, PluginName: n.config.NRI.PluginName, PluginIndex: n.config.NRI.PluginIndex,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.agent.Close()) }()
	if n.reloader, err = n.newReloader(); err != nil {
		return err
	}
	n.metrics.attach(&sources{
		agent: n.agent.Summary, reloads: func() map[string]uint64 { return reloadCounts(n.reloader.Status().Reloads) },
		outputs: n.outputs.stats, journal: n.journalStats,
	})
	defer n.metrics.detach() // before the sensor is closed, which has the counts of losses
	how := started(sensor, o, refused)
	n.pin = how.Pin
	n.announce(how)
	return n.serve(ctx, socket)
}

// spareMemory has the collector run more often: a node has other uses for memory,
// and little of what an access is made of lasts. GOGC says otherwise.
func (a *app) spareMemory() {
	const percent = 50
	if a.getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

// hostNode says who this host is; name is the node's in Kubernetes, if any.
func hostNode(name string) exporter.Node {
	host := proc.FS("/proc")
	return exporter.Node{Name: name, HostName: host.HostName(), HostID: host.HostID()}
}

// announce tells the log what the agent runs with.
func (n *node) announce(how check.Start) {
	for _, row := range n.warnings {
		n.log.Warn("this machine", slog.String("check", row.Name), slog.String("found", row.Detail), slog.String("advice", row.Advice))
	}
	how.Log(n.log, slog.Int("tokens", len(n.config.Tokens)),
		slog.String("version", readVersion().Version), slog.String("node", n.config.NodeName))
}

// serve runs the agent, and answers questions as long as it does.
func (n *node) serve(ctx context.Context, socket *control.Socket) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		answers := control.Answers{
			Status: func() any { return n.status() }, Reload: n.reloadAnswer,
			Trace:       func(ids []string) any { return n.agent.Trace(ids) },
			DeadLetters: n.deadLetters,
			Web:         n.web().Handler(),
		}
		if err := socket.Serve(ctx, rootUID, answers, n.log); err != nil {
			n.log.Error("status can't be asked any more", slog.Any("error", err))
		}
	})
	wg.Go(func() { n.reloader.Run(ctx, n.hangup) })
	if n.cluster != nil {
		wg.Go(func() { n.cluster.Run(ctx) })
	}
	if n.config.HTTP.Address != "" {
		wg.Go(func() { web.Serve(ctx, n.web()) })
	}
	wg.Go(func() {
		select {
		case <-n.agent.Ready():
			n.log.Info("ready: connected to the runtime, containers found")
		case <-ctx.Done():
		}
	})
	return n.agent.Run(ctx)
}

// rootUID may use the control socket.
const rootUID = 0

func (n *node) status() nodeStatus {
	s := nodeStatus{
		Version: readVersion().Version, Node: n.config.NodeName, PID: os.Getpid(), Pin: n.pin,
		Config: n.reloader.Status(), Status: n.agent.Status(), Outputs: n.outputs.stats(), Journal: n.journalStats(),
	}
	if n.cluster != nil {
		k := n.cluster.Status()
		s.Kubernetes = &k
	}
	return s
}
