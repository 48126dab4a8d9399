package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/content"
	"github.com/beesting-otel/beesting/internal/state"
	"github.com/beesting-otel/beesting/nri"
)

// Options set up an Agent. StateDir and Select are needed, the zero value of
// the others means the default.
type Options struct {
	// StateDir is where planted files are kept. It must outlive the agent.
	StateDir string
	// FilesDir is where planted files are made, see state.Options.Files; StateDir if
	// empty. It must outlive the agent too.
	FilesDir string
	// Select returns the tokens for a container, by the policy of the node. It
	// is called with a budget of well under a second.
	Select func(beesting.Container) []beesting.Token
	// NRISocket, PluginName and PluginIndex are as in nri.Options.
	NRISocket, PluginName, PluginIndex string
	// Budget bounds the answer to a request of the runtime; 500 ms if zero.
	Budget time.Duration
	// Patient and Changed are as in nri.Options.
	Patient bool
	Changed func(connected bool, err error)
	// After is the agent in whose place this one steps, with the same core and
	// state directory: it has been run and closed. What it knew of the node's
	// containers and its counters go on.
	After *Agent
	// UseHooks has what planting by hooks needs made ready at once. Otherwise it is
	// when the policy first asks for it, and tokens are mounted until then.
	UseHooks bool
	// CostlyContent has contents whose making takes tens of milliseconds prepared
	// from the start on, not from the first one on.
	CostlyContent bool
	// Attacher mounts tokens in containers that run; the kernel if nil.
	Attacher Attacher
	// Log takes warnings and errors; none are written if nil.
	Log *slog.Logger
	// Now is the wall clock; time.Now if nil.
	Now func() time.Time
	// Step is as in state.Options, for tests.
	Step func(name string)
}

// Agent plants tokens in the containers of a node and watches them. Make it
// with New and run it once.
type Agent struct {
	core     *Core
	plugin   *nri.Plugin
	state    *state.Dir
	nriLock  *os.File
	policy   atomic.Pointer[func(beesting.Container) []beesting.Token]
	attacher Attacher
	hooks    *hookRoom
	identity Identity
	maker    *content.Maker
	log      *slog.Logger
	now      func() time.Time
	since    time.Time
	setUp    time.Duration // the constant, but in tests

	attempts *attempts
	failures *failures
	looks    *patience
	attaches *patience

	// locks are held while a container's files and watches are dealt with. A call
	// that has run out of time can give up waiting.
	locks *locks
	sweep *sweeper

	changed   chan struct{} // holds the word that the policy is another one
	unsure    chan struct{} // holds the word that again is not empty
	ready     chan struct{} // closed after the first synchronization
	readyOnce sync.Once

	gap watchGap

	mu        sync.Mutex // guards what follows; never held during I/O
	tenants   map[string]*tenant
	removed   *fifo[string, struct{}]
	again     map[string]bool // containers to be looked at again
	unwatched time.Duration
}

// New takes the state directory and makes sure that this is the node's only
// agent. Each error is one line that says what to do. core is the caller's to
// close, after the agent.
func New(core *Core, o Options) (*Agent, error) {
	if core == nil || o.Select == nil || o.StateDir == "" {
		return nil, errors.New("agent: no core, no state directory or no policy")
	}
	a := &Agent{
		core: core, attacher: o.Attacher, log: o.Log, now: o.Now, setUp: setUp,
		attempts: newAttempts(), looks: newQueue(8, 200*time.Millisecond),
		attaches: newQueue(8, 400*time.Millisecond), locks: newLocks(),
		changed: make(chan struct{}, 1), unsure: make(chan struct{}, 1), again: map[string]bool{}, ready: make(chan struct{}),
		tenants: map[string]*tenant{}, removed: newFIFO[string, struct{}](maxRemoved),
	}
	a.policy.Store(&o.Select)
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.now == nil {
		a.now = time.Now
	}
	if a.attacher == nil {
		a.attacher = mountAPI{}
	}
	a.since = a.now()
	a.failures = &failures{log: a.log, now: a.now, counts: map[Reason]uint64{}}
	if o.After != nil {
		a.inherit(o.After)
	}
	if o.NRISocket == "" {
		o.NRISocket = nri.DefaultSocket
	}
	if err := a.open(o); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// inherit takes over what another agent knew; nobody else has it any more.
func (a *Agent) inherit(old *Agent) {
	a.since, a.attempts, a.tenants, a.removed = old.since, old.attempts, old.tenants, old.removed
	a.unwatched = old.unwatched
	a.failures.latest, a.failures.counts = old.failures.copy()
}

func (a *Agent) open(o Options) (err error) {
	var previous *nri.Status
	if o.After != nil {
		s := o.After.plugin.Status()
		previous = &s
	}
	a.plugin, err = nri.New(a, nri.Options{
		Socket: o.NRISocket, Name: o.PluginName, Index: o.PluginIndex, Budget: o.Budget, Log: a.log, Now: a.now,
		Patient: o.Patient, Previous: previous, Changed: o.Changed,
	})
	if err != nil {
		return err
	}
	if o.After == nil { // else it has been there, and may be away for a restart
		if err := nri.CheckSocket(o.NRISocket); err != nil {
			return err
		}
	}
	a.sweep = a.newSweeper()
	if a.state, err = state.Open(o.StateDir, state.Options{Files: o.FilesDir, Log: a.log, Now: a.now, Step: o.Step}); err != nil {
		return err
	}
	// A second agent with a state directory of its own would still plant the
	// same tokens. What two agents of one runtime have in common is the
	// directory of its socket, which also those in pods see.
	if a.nriLock, err = state.Lock(filepath.Dir(o.NRISocket)); err != nil {
		return fmt.Errorf("NRI socket %s: %w", o.NRISocket, err)
	}
	a.hooks = newHookRoom(a.state.Path(), a.log)
	if o.UseHooks {
		if err := a.hooks.prepare(); err != nil {
			a.log.Warn("tokens can't be planted by hooks", slog.Any("error", err))
		}
	}
	key, err := a.state.Key()
	if err != nil {
		return err
	}
	a.identity = NewIdentity(key)
	a.maker = content.NewMaker(a.identity.nodeSeed())
	if o.CostlyContent {
		a.maker.Expect()
	}
	if o.After == nil { // else the watches have stayed
		a.readGap()
	}
	if o.After == nil && !a.core.knowsRuntime() {
		a.log.Warn("the container runtime's binary was not found, so what it touches while it sets a container up is told like the workload's",
			slog.String("advice", "run the agent in the host's pid namespace, or name the binaries"))
	}
	return nil
}

// Close lets the next agent in. The planted files stay, as containers mount
// them.
func (a *Agent) Close() error {
	var errs []error
	if a.hooks != nil {
		a.hooks.close()
	}
	if a.nriLock != nil {
		errs = append(errs, a.nriLock.Close())
	}
	if a.state != nil {
		errs = append(errs, a.state.Close())
	}
	return errors.Join(errs...)
}

// Run plants and watches until ctx ends, which gives nil, or something is wrong
// from the start, or events can't be read any more. Events that the kernel has
// are delivered before it returns.
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The core outlives the plugin: what happened until the last container was
	// dealt with is delivered.
	coreCtx, stopCore := context.WithCancel(context.WithoutCancel(ctx))
	defer stopCore()

	// Last of all: until the core ends, the tokens are watched.
	var mark sync.WaitGroup
	defer mark.Wait()
	markCtx, stopMark := context.WithCancel(context.WithoutCancel(ctx))
	defer stopMark()
	mark.Go(func() {
		select {
		case <-a.ready:
			a.keepMark(markCtx)
		case <-markCtx.Done():
		}
	})

	var beside sync.WaitGroup
	beside.Go(func() { a.follow(ctx) })
	beside.Go(func() { a.hooks.run(ctx) })
	beside.Go(func() { a.sweep.run(ctx, a.heard) })
	beside.Go(func() { a.maker.Warm(ctx) })
	defer beside.Wait()
	defer cancel()

	core := make(chan error, 1)
	plugin := make(chan error, 1)
	go func() { core <- a.core.Run(coreCtx) }()
	go func() { plugin <- a.plugin.Run(ctx) }()
	select {
	case err := <-plugin:
		stopCore()
		return errors.Join(err, <-core)
	case err := <-core:
		if err == nil {
			err = errors.New("sensor closed")
		}
		cancel()
		return errors.Join(err, <-plugin)
	}
}

// SetPolicy has the agent take another selector in the place of Options.Select,
// under the same terms. It holds at once for containers that are created from now
// on; those that are there get the difference soon, while Run does. It may be
// called at any time, from any goroutine.
func (a *Agent) SetPolicy(selector func(beesting.Container) []beesting.Token) {
	a.policy.Store(&selector)
	select {
	case a.changed <- struct{}{}:
	default: // the word is out
	}
}

// apply brings every container in line with the policy.
func (a *Agent) apply(ctx context.Context) {
	a.mu.Lock()
	ids := slices.Sorted(maps.Keys(a.tenants))
	a.mu.Unlock()
	for _, id := range ids {
		if !a.locks.acquire(ctx, id) {
			return
		}
		if t, ok := a.tenant(id); ok {
			wanted := len(a.selector(t.container))
			a.edit(id, func(t *tenant) { t.wanted = wanted })
			a.bring(t.describe())
		}
		a.locks.release(id)
	}
}

// selector returns the tokens that the policy has for a container now.
func (a *Agent) selector(c beesting.Container) []beesting.Token { return (*a.policy.Load())(c) }

// Ready is closed when the agent is registered with the runtime and has dealt
// with the containers that ran before.
func (a *Agent) Ready() <-chan struct{} { return a.ready }
