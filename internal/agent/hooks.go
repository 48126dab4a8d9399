package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/hook"
	"github.com/beesting-otel/beesting/nri"
)

// hookProgram is the name of the unpacked program, which a version is added to.
// It is seen in the container's configuration, which only root reads, and among
// the host's processes for a millisecond.
const hookProgram = "oci-init"

// maxReports bounds the reports of hooks whose containers have not been started.
const maxReports = 1024

// Hooks is what the agent wants of package hook; a test has one without programs.
type Hooks interface {
	Expect(c hook.Container, files []hook.File) (hook.Ticket, error)
	Withdraw(container string)
	Serve(ctx context.Context) error
	Close() error
}

// hookRoom is planting by OCI hooks: the server that hooks talk to, once it is
// wanted, and what they said.
type hookRoom struct {
	open func() (Hooks, error)
	log  *slog.Logger

	want chan struct{} // holds the wish for a server

	mu      sync.Mutex
	server  Hooks
	problem error // why there is none
	reports map[string]hook.Report
	order   []string // of the reports, oldest first
	unmade  int      // containers with hooks in a row that were not made
}

// WantHooks reports whether one of the tokens is to be planted by a hook.
func WantHooks(tokens []beesting.Token) bool {
	return slices.ContainsFunc(tokens, func(t beesting.Token) bool { return t.Strategy == beesting.StrategyHook })
}

func newHookRoom(dir string, log *slog.Logger) *hookRoom {
	r := &hookRoom{log: log, want: make(chan struct{}, 1), reports: map[string]hook.Report{}}
	r.open = func() (Hooks, error) {
		program, err := hook.Unpack(filepath.Join(dir, "hook"), hookProgram)
		if err != nil {
			return nil, err
		}
		server, err := hook.Listen(hook.Options{
			Socket: filepath.Join(dir, "run", "hook"), Program: program, Deliver: r.deliver, Log: log,
		})
		if err != nil {
			return nil, errors.Join(err, program.Close())
		}
		return unpacked{server, program}, nil
	}
	return r
}

// unpacked is a server with its program.
type unpacked struct {
	*hook.Server
	program *hook.Program
}

// Close closes both.
func (u unpacked) Close() error { return errors.Join(u.Server.Close(), u.program.Close()) }

var (
	errNoHooksYet = errors.New("the hook program is being unpacked")
	errHooksFail  = errors.New("containers with hooks were not made: the runtime seems to refuse hooks")
)

// maxUnmade is how many containers with hooks in a row may fail to be made before
// it is the hooks' fault. The kubelet tries again each time.
const maxUnmade = 2

// prepare opens the server. It waits for the disk.
func (r *hookRoom) prepare() error {
	r.mu.Lock()
	there := r.server != nil
	r.mu.Unlock()
	if there {
		return nil
	}
	server, err := r.open()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.server, r.problem = server, err
	return err
}

// run serves hooks from when they are wanted until ctx ends.
func (r *hookRoom) run(ctx context.Context) {
	defer r.close()
	for {
		r.mu.Lock()
		server := r.server
		r.mu.Unlock()
		if server != nil {
			if err := server.Serve(ctx); err != nil && ctx.Err() == nil {
				r.log.Error("hooks can't be answered any more", slog.Any("error", err))
				r.lose(err)
			}
		}
		select {
		case <-r.want:
		case <-ctx.Done():
			return
		}
		if err := r.prepare(); err != nil {
			r.log.Warn("tokens can't be planted by hooks", slog.Any("error", err))
		}
	}
}

func (r *hookRoom) lose(err error) {
	r.mu.Lock()
	server := r.server
	r.server, r.problem = nil, err
	r.mu.Unlock()
	_ = server.Close()
}

func (r *hookRoom) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.server != nil {
		_ = r.server.Close()
		r.server = nil
	}
	for _, report := range r.reports {
		report.Close()
	}
	clear(r.reports)
	r.order = nil
}

// expect asks for a ticket. It never waits.
func (r *hookRoom) expect(c hook.Container, files []hook.File) (hook.Ticket, error) {
	r.mu.Lock()
	server, problem, unmade := r.server, r.problem, r.unmade
	r.mu.Unlock()
	switch {
	case unmade >= maxUnmade:
		return hook.Ticket{}, errHooksFail
	case server != nil:
		return server.Expect(c, files)
	}
	select {
	case r.want <- struct{}{}:
	default:
	}
	if problem == nil {
		problem = errNoHooksYet
	}
	return hook.Ticket{}, problem
}

// deliver keeps what a hook made until its container is started.
func (r *hookRoom) deliver(report hook.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(report.Container)
	if len(r.order) == maxReports {
		r.drop(r.order[0])
	}
	r.reports[report.Container] = report
	r.order = append(r.order, report.Container)
}

// take returns what a container's hook said, for the caller to close.
func (r *hookRoom) take(container string) (hook.Report, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	report, ok := r.reports[container]
	if ok {
		delete(r.reports, container)
		r.order = slices.DeleteFunc(r.order, func(id string) bool { return id == container })
	}
	return report, ok
}

// drop forgets a report; r.mu is held.
func (r *hookRoom) drop(container string) {
	report, ok := r.reports[container]
	if !ok {
		return
	}
	report.Close()
	delete(r.reports, container)
	r.order = slices.DeleteFunc(r.order, func(id string) bool { return id == container })
}

// forget is for a container that is gone.
func (r *hookRoom) forget(container string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(container)
	if r.server != nil {
		r.server.Withdraw(container)
	}
}

// made notes whether a container with a hook was made.
func (r *hookRoom) made(ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ok {
		r.unmade = 0
		return
	}
	if r.unmade++; r.unmade == maxUnmade {
		r.log.Warn("the runtime seems to refuse hooks: tokens are mounted instead, until the next start",
			slog.String("advice", "see reject_oci_hook_adjustment of the runtime's NRI validator, or set the tokens' strategy to bind"))
	}
}

var (
	errHookless = errors.New("a container in its place was to get a hook and was not made")
	errNoRoom   = errors.New("too many tokens are planted")
)

// hook asks for a hook that makes the tokens whose strategy that is. If there is
// none for this container, the error says why, and they have to be mounted.
func (a *Agent) hook(c nri.Container, tokens []beesting.Token, may bool) (hooked []planted, adjust []nri.Hook, refused error) {
	var files []hook.File
	for _, token := range tokens {
		if token.Strategy != beesting.StrategyHook {
			continue
		}
		p := planted{token: described(token), strategy: beesting.StrategyHook, reason: whyConfigured, spec: specOf(token), at: a.now().Round(0)}
		f, err := a.fileOf(c, token, p.at)
		if err != nil {
			a.fail(c.Container, token.Name, ReasonContent, err)
			continue
		}
		files = append(files, hook.File{
			Token: token.Name, Path: token.Path, Mode: f.Mode, Content: f.Content, ModTime: f.ModTime,
			UID: uint32(f.UID), GID: uint32(f.GID),
		})
		hooked = append(hooked, p)
	}
	switch {
	case len(files) == 0:
		return nil, nil, nil
	case !may:
		return nil, nil, errHookless
	case a.plantedTotal()+len(files) > a.core.MaxPlacements():
		return nil, nil, errNoRoom
	}
	ticket, err := a.hooks.expect(hook.Container{
		ID: c.ID, UserNamespace: c.UserNamespace, MemoryLimit: c.MemoryLimit, PidsLimit: c.PidsLimit,
	}, files)
	if err != nil {
		return nil, nil, err
	}
	return hooked, []nri.Hook{{Path: ticket.Path, Args: ticket.Args, Env: ticket.Env}}, nil
}

// hookMade takes what the container's hook made. Files that are not there are said
// to be missing, for the reason that the hook gave.
func (a *Agent) hookMade(c nri.Container, expected []planted) []planted {
	report, ok := a.hooks.take(c.ID)
	if !ok {
		return expected // of an earlier agent, or of one that was killed meanwhile
	}
	defer report.Close()
	if report.Problem != "" {
		a.fail(c.Container, "", ReasonHook, errors.New(report.Problem))
	}
	results := map[string]hook.Result{}
	for _, r := range report.Results {
		results[r.Token] = r
	}
	var out []planted
	for _, p := range expected {
		r, of := results[p.token.Name]
		if p.strategy != beesting.StrategyHook || !of {
			out = append(out, p)
			continue
		}
		if r.Outcome != hook.Placed || r.File == nil {
			a.fail(c.Container, p.token.Name, reasonOfOutcome(r.Outcome), fmt.Errorf("hook: %s: %s", r.Outcome, r.Problem))
			continue
		}
		p.inode = inodeOf(r.File)
		out = append(out, p)
	}
	return out
}

func reasonOfOutcome(o hook.Outcome) Reason {
	if o == hook.Exists {
		return ReasonExists
	}
	return ReasonHook
}

// HookStatus says how planting by hooks fares.
type HookStatus struct {
	// Ready says that there is a program and a socket; Problem why not.
	Ready   bool         `json:"ready"`
	Problem string       `json:"problem,omitempty"`
	Server  *hook.Status `json:"server,omitempty"`
}

func (r *hookRoom) status() HookStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := HookStatus{Ready: r.server != nil && r.unmade < maxUnmade}
	switch {
	case r.unmade >= maxUnmade:
		s.Problem = errHooksFail.Error()
	case r.problem != nil:
		s.Problem = r.problem.Error()
	}
	if u, ok := r.server.(unpacked); ok {
		status := u.Status()
		status.Refused = maps.Clone(status.Refused)
		s.Server = &status
	}
	return s
}
