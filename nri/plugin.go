package nri

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/containerd/nri/pkg/api"
)

// DefaultSocket is where containerd and CRI-O listen.
const DefaultSocket = api.DefaultSocketPath

// Options of a plugin. The zero value means the defaults.
type Options struct {
	// Socket is the path of the runtime's NRI socket; DefaultSocket if empty.
	Socket string
	// Name and Index identify the plugin to the runtime. Index is two digits;
	// plugins are asked in its order. The defaults are "beesting" and "90":
	// late, so that the mounts that other plugins add are known.
	Name, Index string
	// Budget bounds the time for a request; 500 ms if zero. The runtime waits
	// 2 s, unless it is configured otherwise.
	Budget time.Duration
	// MinBackoff and MaxBackoff bound the pause before a reconnect, which
	// doubles with each; 100 ms and 5 s if zero. What is created while nobody
	// is connected goes without tokens, so the pause is short.
	MinBackoff, MaxBackoff time.Duration
	// Patient goes on trying also before the first registration has succeeded.
	Patient bool
	// Previous is the last status of the plugin that this one takes the place
	// of, if any: its counters go on, and the time in between counts as blind.
	Previous *Status
	// Changed, if not nil, is told of each registration, of its end, and of
	// each failure to get one. It must not block.
	Changed func(connected bool, err error)
	// Log takes warnings and errors; none are written if nil.
	Log *slog.Logger
	// Now is the wall clock; time.Now if nil.
	Now func() time.Time
}

// Plugin is an NRI plugin. Make it with New, and Run it once.
type Plugin struct {
	planter      Planter
	socket       string
	name, index  string
	budget       time.Duration
	registration time.Duration // how long a registration may take
	grace        time.Duration // how long the stub may take to give up
	minBackoff   time.Duration
	maxBackoff   time.Duration
	patient      bool
	changed      func(connected bool, err error)
	log          *slog.Logger
	now          func() time.Time

	slots     chan struct{} // one for each call of the planter under way
	snapshots chan Snapshot // holds the latest one that is not handled
	again     chan struct{} // holds the wish for another registration

	mu    sync.Mutex
	state Status
}

// Status says how the plugin fares. It is a copy.
type Status struct {
	Socket string `json:"socket"`
	// Connected says that the runtime has registered the plugin. Reconnects
	// counts the registrations but the first.
	Connected    bool      `json:"connected"`
	RegisteredAt time.Time `json:"registered_at,omitzero"`
	Reconnects   uint64    `json:"reconnects"`
	Runtime      string    `json:"runtime,omitempty"`
	RuntimeVer   string    `json:"runtime_version,omitempty"`
	// BlindSeconds is the time without registration since the first one, in
	// which containers were created without being seen; BlindSince is set
	// while it lasts.
	BlindSeconds float64   `json:"blind_seconds"`
	BlindSince   time.Time `json:"blind_since,omitzero"`
	LastError    string    `json:"last_error,omitempty"`
	LastErrorAt  time.Time `json:"last_error_at,omitzero"`
	// Requests counts what came, Missed what was answered without the planter.
	Requests map[Request]uint64 `json:"requests"`
	Missed   map[Request]uint64 `json:"missed"`
	// Durations are from a request's arrival to its answer.
	Durations map[Request]Histogram `json:"durations"`
}

// New checks o.
func New(p Planter, o Options) (*Plugin, error) {
	if p == nil {
		return nil, errors.New("NRI plugin: no planter")
	}
	plugin := &Plugin{
		planter:      p,
		socket:       orDefault(o.Socket, DefaultSocket),
		name:         orDefault(o.Name, "beesting"),
		index:        orDefault(o.Index, "90"),
		budget:       orDefault(o.Budget, 500*time.Millisecond),
		registration: 10 * time.Second,
		grace:        time.Second,
		minBackoff:   orDefault(o.MinBackoff, 100*time.Millisecond),
		maxBackoff:   orDefault(o.MaxBackoff, 5*time.Second),
		patient:      o.Patient,
		changed:      o.Changed,
		log:          o.Log,
		now:          o.Now,
		slots:        make(chan struct{}, maxStuck),
		snapshots:    make(chan Snapshot, 1),
		again:        make(chan struct{}, 1),
	}
	if plugin.log == nil {
		plugin.log = slog.New(slog.DiscardHandler)
	}
	if plugin.now == nil {
		plugin.now = time.Now
	}
	if err := api.CheckPluginName(plugin.name); err != nil {
		return nil, fmt.Errorf("NRI plugin name: %w", err)
	}
	if err := api.CheckPluginIndex(plugin.index); err != nil {
		return nil, fmt.Errorf("NRI plugin index: %w", err)
	}
	if plugin.budget < 0 || plugin.minBackoff < 0 || plugin.maxBackoff < plugin.minBackoff {
		return nil, errors.New("NRI plugin: negative budget or back-off, or a maximum below the minimum")
	}
	if plugin.changed == nil {
		plugin.changed = func(bool, error) {}
	}
	plugin.state = plugin.first(o.Previous)
	return plugin, nil
}

// first is the status to begin with.
func (p *Plugin) first(previous *Status) Status {
	if previous == nil {
		return Status{
			Socket: p.socket, Requests: map[Request]uint64{}, Missed: map[Request]uint64{}, Durations: map[Request]Histogram{},
		}
	}
	s := previous.clone()
	s.Socket, s.Connected = p.socket, false
	if !s.RegisteredAt.IsZero() {
		s.BlindSince = p.now() // BlindSeconds has what was before
	}
	return s
}

func orDefault[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

// Run registers with the runtime and serves it until ctx ends, which gives nil.
//
// When the first registration doesn't succeed it returns the error, unless it is
// patient: a wrong socket path or a runtime without NRI is for a person to see,
// not to be waited out in silence. Once the runtime has taken it on it is known to
// be there, and however it goes away the plugin comes back.
func (p *Plugin) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var worker sync.WaitGroup
	worker.Go(func() { p.synchronize(ctx) })
	err := p.serve(ctx)
	stop()
	worker.Wait()
	return errors.Join(err, p.settle())
}

func (p *Plugin) serve(ctx context.Context) error {
	pause := p.minBackoff
	for {
		err := p.session(ctx)
		if ctx.Err() != nil {
			err = nil
		}
		was := p.disconnected(err)
		switch {
		case errors.Is(err, errAgain):
			p.log.Info("registering with the runtime once more, to be told of its containers anew")
			pause = p.minBackoff
			continue
		case err == nil:
			return nil
		}
		if was.RegisteredAt.IsZero() && !p.patient && !errors.Is(err, errDropped) {
			return err
		}
		p.changed(false, err)
		if was.Connected {
			pause = p.minBackoff
		}
		// Half of it is random: the plugins of a node don't come in step.
		wait := pause/2 + rand.N(pause/2+1)
		p.log.Warn("not connected to the runtime: new containers get no tokens",
			slog.Any("error", err), slog.Duration("retry_in", wait))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, p.maxBackoff)
	}
}

var (
	errAgain = errors.New("another registration is wanted")
	// errDropped comes after the runtime has taken the plugin on: a node that is busy
	// starting takes longer to tell of its containers than it grants a plugin.
	errDropped = errors.New("closed by the runtime")
)

// Resync has the plugin leave and register once more, so that the runtime tells
// all its containers anew: NRI has no other way to ask. In between, some
// milliseconds, it is blind, which is counted; what is created then is in the new
// snapshot. It returns at once, and may be called at any time; without a
// connection the next registration is soon enough.
func (p *Plugin) Resync() {
	select {
	case p.again <- struct{}{}:
	default: // it is wanted already
	}
}

// quiet waits until no request has been under way for a moment, in which the last
// answer is sent; for a second at most. The runtime creates without tokens what a
// connection's end cuts off.
func (p *Plugin) quiet(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for still := 0; still < 10; still++ {
		if len(p.slots) > 0 {
			still = 0
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
}

// settle waits for the calls of the planter that are under way, and lets no
// further one begin.
func (p *Plugin) settle() error {
	timeout := time.NewTimer(p.budget + time.Second)
	defer timeout.Stop()
	for range maxStuck {
		select {
		case p.slots <- struct{}{}:
		case <-timeout.C:
			return errors.New("NRI plugin: calls of the planter are stuck")
		}
	}
	return nil
}

// snapshot hands a snapshot to the worker, in place of one that it has not
// begun with: the later one is nearer to the truth.
func (p *Plugin) snapshot(s Snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.snapshots:
	default:
	}
	p.snapshots <- s
}

func (p *Plugin) synchronize(ctx context.Context) {
	for {
		select {
		case s := <-p.snapshots:
			_, err := protect(func() struct{} {
				p.planter.Synchronize(ctx, s)
				return struct{}{}
			})
			if err != nil {
				p.missed(Container{}, RequestSynchronize, err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// Status returns how the plugin fares.
func (p *Plugin) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.state.clone()
	if !s.BlindSince.IsZero() {
		s.BlindSeconds += p.now().Sub(s.BlindSince).Seconds()
	}
	return s
}

func (s Status) clone() Status {
	s.Requests, s.Missed, s.Durations = maps.Clone(s.Requests), maps.Clone(s.Missed), maps.Clone(s.Durations)
	return s
}

// count counts a request that has come; answered is to be called with its answer.
func (p *Plugin) count(r Request) (answered func()) {
	began := time.Now() // not p.now, which may be set
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.Requests[r]++
	return func() {
		took := time.Since(began)
		p.mu.Lock()
		defer p.mu.Unlock()
		h := p.state.Durations[r]
		h.add(took)
		p.state.Durations[r] = h
	}
}

func (p *Plugin) registered(info runtimeInfo) {
	p.mu.Lock()
	first := p.state.RegisteredAt.IsZero()
	now := p.now()
	if !first {
		p.state.Reconnects++
	}
	if !p.state.BlindSince.IsZero() {
		p.state.BlindSeconds += now.Sub(p.state.BlindSince).Seconds()
		p.state.BlindSince = time.Time{}
	}
	p.state.Connected, p.state.RegisteredAt = true, now
	p.state.Runtime, p.state.RuntimeVer = info.name, info.version
	blind := p.state.BlindSeconds
	p.mu.Unlock()
	p.changed(true, nil)
	p.log.Info("registered with the runtime", slog.String("runtime", info.name),
		slog.String("version", info.version), slog.Bool("again", !first), slog.Float64("blind_seconds", blind))
}

// disconnected returns the state before.
func (p *Plugin) disconnected(err error) Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.state
	p.state.Connected = false
	if was.Connected {
		p.state.BlindSince = p.now()
	}
	if err != nil && !errors.Is(err, errAgain) {
		p.state.LastError, p.state.LastErrorAt = err.Error(), p.now()
	}
	return was
}
