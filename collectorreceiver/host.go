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
	preflight func(config.Config) ([]check.Row, error)
	env       config.Environment
	linger    time.Duration
	// longestWait is as in exporter.PDataOptions.
	longestWait time.Duration

	mu     sync.Mutex
	nodes  map[component.ID]*node
	parked *engine
	timer  *time.Timer
}

func newHost() *host {
	return &host{
		open:      agent.OpenSensor,
		preflight: preflight,
		env:       config.Environment{LookupEnv: os.LookupEnv, Hostname: os.Hostname},
		linger:    linger,
		nodes:     map[component.ID]*node{},
	}
}

// preflight verifies what can be verified without changing anything, so that an
// error says what to do.
func preflight(c config.Config) ([]check.Row, error) {
	return check.Machine{
		Proc: "/proc", Sys: "/sys", OS: runtime.GOOS, Arch: runtime.GOARCH,
		NRISocket: c.NRI.Socket, StateDir: c.StateDir,
	}.Preflight()
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
	n.health.add(m, reporter)
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
		return n, n.attach(g)
	}
	c, err := g.cfg.resolve(h.env)
	if err != nil {
		return nil, err
	}
	e, err := h.engine(c, g)
	if err != nil {
		return nil, err
	}
	n, err := newNode(g, c, e)
	switch {
	case err == nil:
		h.nodes[g.id] = n
		return n, nil
	case e.last == nil: // nothing is known or watched yet
		return nil, errors.Join(err, e.close())
	default:
		h.park(e)
		return nil, err
	}
}

// engine returns the parked engine if it can be used with this configuration,
// else a new one.
func (h *host) engine(c config.Config, g *group) (*engine, error) {
	want := settings{stateDir: c.StateDir, sensor: c.Sensor, queue: g.cfg.QueueSize}
	e := h.unpark()
	if e != nil {
		e.log.set(g.set.Logger)
		if e.settings == want {
			g.set.Logger.Info("goes on with what was watched before")
			return e, nil
		}
		e.log.logger().Warn("settings of the sensor have changed: nothing is watched until it is attached again")
		if err := e.close(); err != nil {
			e.log.logger().Error("detach from the kernel", slog.Any("error", err))
		}
	}
	warnings, err := h.preflight(c)
	if err != nil {
		return nil, err
	}
	log := newRelay()
	log.set(g.set.Logger)
	for _, row := range warnings {
		log.logger().Warn("this machine", slog.String("check", row.Name), slog.String("found", row.Detail), slog.String("advice", row.Advice))
	}
	return openEngine(h, want, log)
}

// leave is the Shutdown of a member.
func (h *host) leave(ctx context.Context, m *member) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.nodes[m.group.id]
	if n == nil || !n.members[m] {
		return nil
	}
	delete(n.members, m)
	n.health.remove(m)
	if len(n.members) > 0 {
		n.detach(ctx, m, h)
		return nil
	}
	delete(h.nodes, m.group.id)
	usable, err := n.stop(ctx, m)
	if !usable {
		return errors.Join(err, n.engine.close())
	}
	h.park(n.engine)
	return err
}

// park keeps e for a successor, for a while. One that is there already, of
// another receiver, has to make room.
func (h *host) park(e *engine) {
	if old := h.unpark(); old != nil {
		if err := old.close(); err != nil {
			old.log.logger().Error("detach from the kernel", slog.Any("error", err))
		}
	}
	h.parked = e
	h.timer = time.AfterFunc(h.linger, func() { h.expire(e) })
}

func (h *host) unpark() *engine {
	e := h.parked
	if e != nil {
		h.timer.Stop()
		h.parked, h.timer = nil, nil
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
	if err := e.close(); err != nil {
		e.log.logger().Error("detach from the kernel", slog.Any("error", err))
	}
}
