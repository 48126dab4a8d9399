package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/hook"
	"github.com/beesting-otel/beesting/nri"
)

// fakeHooks stands in for the server and the programs that the runtime starts,
// which package hook has tests of.
type fakeHooks struct {
	refuse   error
	expected map[string][]hook.File
}

func (f *fakeHooks) Expect(c hook.Container, files []hook.File) (hook.Ticket, error) {
	if f.refuse != nil {
		return hook.Ticket{}, f.refuse
	}
	f.expected[c.ID] = files
	return hook.Ticket{Path: "/hook", Args: []string{"hook"}, Env: []string{"TICKET=" + c.ID}}, nil
}

func (f *fakeHooks) Withdraw(container string)       { delete(f.expected, container) }
func (f *fakeHooks) Serve(ctx context.Context) error { <-ctx.Done(); return nil }
func (f *fakeHooks) Close() error                    { return nil }

// hooked is a node whose token is made by hooks.
func hooked(t *testing.T) (*testNode, *fakeHooks) {
	t.Helper()
	n := newNode(t)
	n.tokens[0].Strategy = beesting.StrategyHook
	return n, n.hooks()
}

func (n *testNode) hooks() *fakeHooks {
	n.t.Helper()
	f := &fakeHooks{expected: map[string][]hook.File{}}
	n.agent.hooks.open = func() (Hooks, error) { return f, nil }
	if err := n.agent.hooks.prepare(); err != nil {
		n.t.Fatal(err)
	}
	return f
}

// runHook does what the runtime and the program do.
func (n *testNode) runHook(f *fakeHooks, c nri.Container, outcome hook.Outcome) {
	n.t.Helper()
	report := hook.Report{Container: c.ID}
	for _, file := range f.expected[c.ID] {
		r := hook.Result{Token: file.Token, Path: file.Path, Outcome: outcome, Problem: "as told"}
		if outcome == hook.Placed {
			name := n.inside(c, file.Path)
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				n.t.Fatal(err)
			}
			if err := os.WriteFile(name, file.Content, file.Mode); err != nil {
				n.t.Fatal(err)
			}
			var err error
			if r.File, err = os.Open(name); err != nil {
				n.t.Fatal(err)
			}
		}
		report.Results = append(report.Results, r)
	}
	n.agent.hooks.deliver(report)
}

// launchHooked makes a container whose hook ends as told.
func (n *testNode) launchHooked(f *fakeHooks, id string, pid int, outcome hook.Outcome) nri.Container {
	n.t.Helper()
	c := testContainer(id)
	adjust := n.agent.Plant(n.t.Context(), c)
	if len(adjust.Hooks) != 1 || len(adjust.Mounts) != 0 || adjust.Hooks[0].Env[0] != "TICKET="+id {
		n.t.Fatalf("adjustment %+v", adjust)
	}
	n.run(&c, pid)
	n.runHook(f, c, outcome)
	n.agent.Created(n.t.Context(), c)
	n.agent.Start(n.t.Context(), c)
	return c
}

func TestHook(t *testing.T) {
	n, f := hooked(t)
	c := n.launchHooked(f, "c1", 7, hook.Placed)
	s := n.agent.Status()
	if s.Armed != 1 || s.Lacking != 0 || len(n.reasons()) != 0 || len(n.files()) != 0 || s.Placements[0].Strategy != beesting.StrategyHook {
		t.Fatalf("status %+v", s)
	}
	r, err := n.agent.state.Record("c1")
	want := inodeAt(n.inside(c, awsToken().Path))
	if err != nil || r.Tokens[0].Inode != want.ino || r.Tokens[0].Dev != want.dev || r.Tokens[0].File != "" {
		t.Errorf("record %+v, %v", r, err)
	}
	// The next agent knows it, by the inode that was shown.
	n.restart()
	n.hooks()
	c.State = nri.StateRunning
	n.synchronize(c)
	if s := n.agent.Status(); s.Armed != 1 || len(n.reasons()) != 0 {
		t.Errorf("restarted: %+v", s)
	}
	n.policy()
	if s := n.agent.Status(); s.Armed != 0 || n.content(c, awsToken().Path) != "" || len(n.reasons()) != 0 {
		t.Errorf("taken out: %+v", s)
	}
	n.agent.Remove(t.Context(), c)
}

// Killed after the hook has made the file and before that was written down.
func TestHookAndNotWrittenDown(t *testing.T) {
	for name, content := range map[string]string{"ours": "secret", "another": "secreT"} {
		n, f := hooked(t)
		c := testContainer("c1")
		n.agent.Plant(t.Context(), c)
		n.run(&c, 7)
		f.expected["c1"][0].Content = []byte(content)
		n.runHook(f, c, hook.Placed)
		n.restart()
		n.hooks()
		c.State = nri.StateRunning
		n.synchronize(c)
		if s := n.agent.Status(); (s.Armed == 1) != (name == "ours") {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestHookRefusesFile(t *testing.T) {
	for outcome, reason := range map[hook.Outcome]Reason{hook.Exists: ReasonExists, hook.OtherMount: ReasonHook, hook.Unanswered: ReasonHook} {
		n, f := hooked(t)
		n.launchHooked(f, "c1", 7, outcome)
		if s := n.agent.Status(); s.Armed != 0 || n.reasons()[reason] != 1 || len(n.reasons()) != 1 || s.Lacking != 1 {
			t.Errorf("%s: %+v", outcome, s)
		}
	}
}

// Where there can be no hook the token is mounted, and status says why.
func TestNoHook(t *testing.T) {
	n, f := hooked(t)
	f.refuse = hook.ErrUserNamespace
	c := testContainer("c1")
	n.launch(&c, 7)
	if s := n.agent.Status(); s.Armed != 1 || s.Placements[0].Strategy != beesting.StrategyBind || s.Placements[0].StrategyReason != "no hook: "+hook.ErrUserNamespace.Error() {
		t.Errorf("status %+v", s)
	}
	n = newNode(t) // nothing is ready
	n.tokens[0].Strategy = beesting.StrategyHook
	n.agent.hooks.open = func() (Hooks, error) { return nil, errors.New("mounted noexec") }
	c = testContainer("c2")
	n.launch(&c, 7)
	if s := n.agent.Status(); s.Armed != 1 || s.Placements[0].StrategyReason != "no hook: "+errNoHooksYet.Error() || s.Hooks.Ready {
		t.Errorf("status %+v", s)
	}
	if err := n.agent.hooks.prepare(); err == nil || n.agent.Status().Hooks.Problem != "mounted noexec" {
		t.Errorf("%v, status %+v", err, n.agent.Status().Hooks)
	}
}

// A runtime whose validator forbids hooks refuses to make the container, and says
// so to nobody but the kubelet.
func TestHooksForbidden(t *testing.T) {
	n, _ := hooked(t)
	pod := testContainer("c1").Pod
	create := func(id string) nri.Adjustment {
		c := testContainer(id)
		c.Pod = pod
		return n.agent.Plant(t.Context(), c)
	}
	if a := create("c1"); len(a.Hooks) != 1 {
		t.Fatalf("%+v", a)
	}
	if a := create("c2"); len(a.Hooks) != 0 || len(a.Mounts) != 1 {
		t.Fatalf("again a hook in the place of one that was not made, or nothing: %+v", a)
	}
	// Elsewhere once more, and then it is known.
	pod.UID = "another"
	create("c3")
	create("c4")
	pod.UID = "a third"
	if a := create("c5"); len(a.Hooks) != 0 || len(a.Mounts) != 1 || n.agent.Status().Hooks.Problem != errHooksFail.Error() {
		t.Errorf("%+v, %+v", a, n.agent.Status().Hooks)
	}
	// If it is not the hooks' fault, that is found out too.
	n, _ = hooked(t)
	pod.UID = "fourth"
	create("c1")
	if a := create("c2"); len(a.Mounts) != 1 {
		t.Errorf("%+v", a)
	}
	if a := create("c3"); len(a.Mounts)+len(a.Hooks) != 0 {
		t.Errorf("tokens for the third container in a place where two didn't start: %+v", a)
	}
}
