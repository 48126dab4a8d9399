package collectorreceiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"runtime"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"

	"github.com/beesting-otel/beesting/exporter"
	"github.com/beesting-otel/beesting/internal/agent"
	"github.com/beesting-otel/beesting/internal/check"
	"github.com/beesting-otel/beesting/internal/config"
)

// linger is how long an engine is kept for a successor. A full reload of the
// Collector shuts everything down in between, persistent queues included.
const linger = time.Minute

// shared is the one variable of this package. A Collector that reloads makes new
// factories, new configurations and new components, and shuts the old ones down
// before (service.Graph.UpdateReceivers, 0.165): what is to be handed over from
// one to the next can be held by nothing smaller than the process.
var shared = newHost() //nolint:gochecknoglobals // see above

// host is what receivers of one process share: who runs, and what the one that
// ran last left behind. Safe for concurrent use; one Start or Shutdown at a time.
type host struct {
	open      func(agent.SensorOptions) (agent.Sensor, []agent.ModeAttempt, error)
	uninstall func(pin string) error
	platform  func() error // before any file is read
	preflight func(config.Config) (found, error)
	env       config.Environment
	linger    time.Duration
	// longestWait is as in exporter.PDataOptions, drain as in agent.CoreOptions.
	longestWait, drain time.Duration
	comes              time.Duration // as in health, which has its own if 0

	mu     sync.Mutex
	nodes  map[component.ID]*node
	parked *engine
	timer  *time.Timer
}

func newHost() *host {
	return &host{
		open:      agent.OpenSensor,
		uninstall: agent.UninstallSensor,
		platform:  platform,
		preflight: preflight,
		env:       config.Environment{LookupEnv: os.LookupEnv, Hostname: os.Hostname},
		linger:    linger,
		nodes:     map[component.ID]*node{},
	}
}

// found is what preflight says of the machine.
type found struct {
	warnings []check.Row
	pin      string // where programs can stay; empty for nowhere
}

// platform refuses all others than the receiver can do anything on.
func platform() error {
	return check.Machine{OS: runtime.GOOS, Arch: runtime.GOARCH}.Platform().Err()
}

// preflight verifies what can be verified without changing anything, so that an
// error says what to do.
func preflight(c config.Config) (found, error) {
	m := check.Machine{
		Proc: "/proc", Sys: "/sys", OS: runtime.GOOS, Arch: runtime.GOARCH,
		NRISocket: c.NRI.Socket, StateDir: c.StateDir, FilesDir: c.FilesDir,
		Mode: c.Sensor.Mode, Pin: c.Sensor.Pin, PinDefault: config.DefaultPin,
	}
	warnings, err := m.Preflight()
	return found{warnings: warnings, pin: m.PinPath()}, err
}

// join is the Start of a member.
func (h *host) join(m *member, reporter component.Host) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	g := m.group
	if !g.started {
		g.started = true
		g.node, g.err = h.start(g)
	}
	if g.err != nil {
		return g.err
	}
	n := g.node
	if h.nodes[g.id] != n {
		return fmt.Errorf("receiver %s: already shut down", g.id)
	}
	n.members[m] = true
	if err := n.health.add(m, reporter); err != nil {
		g.err = err // it has ended as soon as it began
		h.part(context.Background(), n, m)
		return err
	}
	return nil
}

// start makes the group's node run, or has a running one take the group in: when
// just one signal's pipeline gets or loses the receiver, the Collector re-creates
// the component of that signal alone, with a configuration of its own.
func (h *host) start(g *group) (*node, error) {
	if n := h.nodes[g.id]; n != nil {
		if !reflect.DeepEqual(n.group.cfg, g.cfg) {
			return nil, fmt.Errorf("receiver %s: runs in this process with another configuration", g.id)
		}
		if err := n.attach(g); err != nil {
			return nil, err // its Shutdown is no other's
		}
		return n, nil
	}
	for other := range h.nodes {
		return nil, fmt.Errorf("receiver %s: %s runs in this process already, and a node has room for one", g.id, other)
	}
	if err := h.platform(); err != nil {
		return nil, err
	}
	c, err := g.cfg.resolve(h.env)
	if err != nil {
		return nil, err
	}
	e, err := h.engine(c, g)
	if err != nil {
		return nil, err
	}
	n, err := newNode(h, g, c, e)
	switch {
	case err == nil:
		h.nodes[g.id] = n
		return n, nil
	case e.last == nil: // nothing is known or watched yet
		e.close()
		return nil, err
	default:
		h.park(e)
		return nil, err
	}
}

// engine returns the parked engine if it can be used with this configuration,
// else a new one, with what the parked one has not delivered.
func (h *host) engine(c config.Config, g *group) (*engine, error) {
	want := settings{stateDir: c.StateDir, filesDir: c.FilesDir, sensor: c.Sensor, journal: c.Journal}
	log, out := newRelay(), wayOut{}
	if e := h.unpark(); e != nil {
		log = e.log
		log.set(g.set.Logger)
		e.out.Resize(g.cfg.QueueSize)
		e.out.SetArgs(exporter.ArgsMode(c.CommandArgs))
		if reflect.DeepEqual(e.settings, want) {
			g.set.Logger.Info("goes on with what was watched before")
			return e, nil
		}
		h.retire(e, want)
		if e.settings.fits(want) {
			out = e.out
		} else {
			e.giveUp()
		}
	}
	log.set(g.set.Logger)
	e, err := h.attach(c, want, g.cfg.QueueSize, log, &out)
	if err == nil || out.PData == nil {
		return e, err
	}
	lost, errOut := out.giveUp()
	if lost > 0 {
		log.logger().Error("telemetry given up: the sensor can't be attached again", slog.Int("accesses", lost))
	}
	return nil, errors.Join(err, errOut)
}

// attach makes an engine, after a look at the machine, and its way out if there is
// none yet.
func (h *host) attach(c config.Config, want settings, queue int, log relay, out *wayOut) (*engine, error) {
	machine, err := h.preflight(c)
	if err != nil {
		return nil, err
	}
	for _, row := range machine.warnings {
		log.logger().Warn("this machine", slog.String("check", row.Name), slog.String("found", row.Detail), slog.String("advice", row.Advice))
	}
	if out.PData == nil {
		if *out, err = openWayOut(h, want, queue, log); err != nil {
			return nil, err
		}
		out.SetArgs(exporter.ArgsMode(c.CommandArgs))
	}
	return openEngine(h, want, machine.pin, log, *out)
}

// retire ends an engine for one with other settings. What it has pinned goes on
// if the next one is to have it.
func (h *host) retire(e *engine, want settings) {
	log := e.log.logger()
	stays := e.pin != "" && e.settings.sensor.Pin == want.sensor.Pin
	if stays {
		log.Info("settings of the sensor have changed: it is attached again, over what is pinned")
	} else {
		log.Warn("settings of the sensor have changed: nothing is watched until it is attached again")
	}
	e.detach(e.drain())
	if e.pin == "" || stays {
		return
	}
	if err := h.uninstall(e.pin); err != nil {
		log.Error("what was pinned stays: remove it with `beesting uninstall`", slog.String("path", e.pin), slog.Any("error", err))
	}
}

// leave is the Shutdown of a member.
func (h *host) leave(ctx context.Context, m *member) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := m.group.node
	if m.gone || n == nil || h.nodes[m.group.id] != n {
		return
	}
	m.gone = true
	// It may not have been started when another one of its group was, which
	// gives its pipeline its due all the same.
	h.part(ctx, n, m)
}

// part takes a member out of a node, which ends with the last one. An error is
// for the log: one from Shutdown would end a Collector that is reloading.
func (h *host) part(ctx context.Context, n *node, m *member) {
	delete(n.members, m)
	n.health.remove(m)
	if len(n.members) > 0 {
		n.detach(ctx, m)
		return
	}
	delete(h.nodes, n.group.id)
	if n.stop(ctx, m) {
		h.park(n.engine)
	} else {
		n.engine.close()
	}
}

// park keeps e for a successor, for a while. There is one at a time, as there is
// one node. The process may end meanwhile, as it does where the Collector ends.
func (h *host) park(e *engine) {
	e.owe()
	if e.out.journal != nil {
		e.out.journal.Save()
	}
	h.parked = e
	h.timer = time.AfterFunc(h.linger, func() { h.expire(e) })
}

func (h *host) unpark() *engine {
	e := h.parked
	if e != nil {
		h.timer.Stop()
		h.parked, h.timer = nil, nil
		e.core.Repay()
	}
	return e
}

// forget gives up a signal whose component was not made again.
func (h *host) forget(n *node, signal string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.nodes[n.group.id] != n || n.forget[signal] == nil {
		return
	}
	n.keep(signal)
	n.giveUp(signal)
}

// expire closes e if nobody has taken it over.
func (h *host) expire(e *engine) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.parked != e {
		return
	}
	h.unpark()
	err := e.drain()
	e.owe()
	e.detach(err)
	e.giveUp()
}
