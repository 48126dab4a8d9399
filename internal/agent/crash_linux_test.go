package agent

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/agent/sensortest"
	"github.com/beesting-otel/beesting/internal/hook"
	"github.com/beesting-otel/beesting/internal/live"
	"github.com/beesting-otel/beesting/nri"
)

// The child of TestKill is told what to do by these.
const (
	crashDir  = "BEESTING_TEST_CRASH_DIR"
	crashStep = "BEESTING_TEST_CRASH_STEP"
)

// stepSensor and stepAttacher are fakes that a process can be killed in.
type stepSensor struct {
	*sensortest.Fake
	step func(string)
}

func (s stepSensor) Watch(f *os.File, id uint64) (io.Closer, error) {
	s.step("before watch")
	w, err := s.Fake.Watch(f, id)
	s.step("watched")
	return stepWatch{w, s.step}, err
}

type stepWatch struct {
	io.Closer
	step func(string)
}

func (w stepWatch) Close() error {
	err := w.Closer.Close()
	w.step("unwatched")
	return err
}

type stepAttacher struct {
	*fakeAttacher
	step func(string)
}

func (a stepAttacher) Attach(p live.Process, f *os.File, path string, o live.Options) (live.Attached, error) {
	a.step("before attach")
	r, err := a.fakeAttacher.Attach(p, f, path, o)
	a.step("attached")
	return r, err
}

func (a stepAttacher) Detach(p live.Process, path string, r live.Attached) error {
	a.step("before detach")
	err := a.fakeAttacher.Detach(p, path, r)
	a.step("detached")
	return err
}

// crashTokens are a token of each way to plant; after a change of the policy the
// first of each is another, and the others aren't wanted.
func crashTokens(changed bool) []beesting.Token {
	token := func(name, content string, s beesting.Strategy) beesting.Token {
		return beesting.Token{Name: name, Kind: "generic", Path: "/etc/" + name, Content: []byte(content), Mode: 0o640, Strategy: s}
	}
	if changed {
		return []beesting.Token{token("auto", "other", ""), token("kept", "kept", ""), token("hook-kept", "hook-kept", beesting.StrategyHook)}
	}
	return []beesting.Token{
		token("auto", "auto", ""), token("kept", "kept", ""), token("live", "live", beesting.StrategyLive),
		token("hook", "hook", beesting.StrategyHook), token("hook-kept", "hook-kept", beesting.StrategyHook),
	}
}

// crashNode is a node in a directory that outlives the process. A container's root
// is a directory too, mounts are hard links.
type crashNode struct {
	*testNode
	fake *fakeHooks
}

func newCrashNode(t *testing.T, dir string, changed bool, step func(string)) crashNode {
	t.Helper()
	proc := procTree{filepath.Join(dir, "proc")}
	proc.write(t, "sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n")
	sensor := sensortest.New()
	n := &testNode{t: t, stateDir: filepath.Join(dir, "state"), socket: filepath.Join(dir, "nri.sock"), tokens: crashTokens(changed), attacher: &fakeAttacher{}}
	n.fixture = newFixture(t, func(o *CoreOptions) { o.ProcRoot, o.Sensor = proc.dir, stepSensor{sensor, step} })
	n.proc, n.sensor = proc, sensor
	_ = os.Remove(n.socket) // the killed one's
	l, err := net.Listen("unix", n.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	o := n.options()
	o.Step, o.Attacher = step, stepAttacher{n.attacher, step}
	o.FilesDir = filepath.Join(dir, "files")
	if n.agent, err = New(n.core, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.agent.Close() })
	// A machine that is busy is no container that hangs.
	n.agent.looks, n.agent.attaches = newPatience(8, time.Minute), newPatience(8, time.Minute)
	return crashNode{n, n.hooks()}
}

// process is what the runtime makes of a container: its first process, and its root.
func (n crashNode) process(c *nri.Container, pid int) {
	n.t.Helper()
	c.PID, c.State = pid, nri.StateRunning
	if err := os.MkdirAll(n.inside(*c, "/etc"), 0o755); err != nil {
		n.t.Fatal(err)
	}
	n.proc.process(n.t, pid, "web", 100, "0::/kubepods/"+c.ID+"\n")
}

func (n crashNode) mount(c *nri.Container, mounts []nri.Mount) {
	n.t.Helper()
	for _, m := range mounts {
		if err := os.Link(m.Source, n.inside(*c, m.Destination)); err != nil {
			n.t.Fatal(err)
		}
	}
	c.Mounts = append(slices.Clone(c.Mounts), mounts...)
}

// TestKill kills an agent at each step of planting, arming, taking out, removing
// and synchronizing in turn, kill -9. The next agent has each token of a container
// armed, or taken out, and nothing is left over.
func TestKill(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		crashChild(t, dir)
		return
	}
	steps := map[string]bool{}
	for n := 1; ; n++ {
		dir, err := os.MkdirTemp("", "kill-") // short, for the socket
		if err != nil {
			t.Fatal(err)
		}
		told := crashRun(t, dir, n)
		// Twice: the second agent is killed, too, but between its steps.
		for range 2 {
			checkAfterKill(t, dir, told)
		}
		if t.Failed() {
			t.Fatalf("killed at step %d, after\n%s", n, strings.Join(told, "\n"))
		}
		_ = os.RemoveAll(dir)
		for _, line := range told {
			if step, ok := strings.CutPrefix(line, "step "); ok {
				steps[step] = true
			}
		}
		if slices.Contains(told, "end") {
			t.Logf("killed at each of %d steps", n-1)
			break
		}
	}
	for _, step := range []string{
		"locked", "file made", "file written", "file in place", "record noted", "batch committed", "file removed", "removal noted",
		"before watch", "watched", "unwatched", "before attach", "attached", "before detach", "detached", "before hook", "hook has run",
	} {
		if !steps[step] {
			t.Errorf("step %q did not come", step)
		}
	}
}

// crashRun returns the lines that the child wrote until it was killed at its nth
// step, or ended.
func crashRun(t *testing.T, dir string, n int) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestKill$")
	cmd.Env = append(os.Environ(), crashDir+"="+dir, crashStep+"="+strconv.Itoa(n))
	out, err := cmd.Output()
	var told []string
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		told = append(told, lines.Text())
	}
	var exit *exec.ExitError
	killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
	if ended := slices.Contains(told, "end"); ended == killed || err != nil && exit == nil {
		t.Fatalf("step %d: %v\n%s", n, err, out)
	}
	return told
}

// crashChild is an agent's life. It tells its parent what the runtime has before
// the agent can be killed over it: what is told has reached the pipe when the kill
// comes.
func crashChild(t *testing.T, dir string) {
	last, err := strconv.ParseInt(os.Getenv(crashStep), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	tell := func(format string, args ...any) { fmt.Fprintf(os.Stdout, format+"\n", args...) }
	var steps atomic.Int64
	// The runtime is not killed with the agent, whose writer takes steps on its own.
	var runtime sync.RWMutex
	step := func(name string) {
		runtime.RLock()
		defer runtime.RUnlock()
		tell("step %s", name)
		if steps.Add(1) == last {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // it comes
		}
	}
	n := newCrashNode(t, dir, false, step)
	has := func(c nri.Container) {
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		tell("has %s", b)
	}
	ctx := t.Context()

	made, found, failed := testContainer("made"), testContainer("found"), testContainer("failed")
	n.process(&made, 7)
	has(made) // if there is no answer, the runtime makes it without one
	asked := made
	asked.PID, asked.State = 0, nri.StateCreated
	adjust := n.agent.Plant(ctx, asked)
	runtime.Lock()
	n.mount(&made, adjust.Mounts)
	has(made)
	runtime.Unlock()
	step("before hook")
	runtime.Lock()
	n.runHook(n.fake, made, hook.Placed)
	runtime.Unlock()
	step("hook has run")
	n.agent.Created(ctx, made)
	n.agent.Start(ctx, made)

	n.process(&found, 8)
	has(found)
	n.synchronize(made, found)

	_ = n.agent.Plant(ctx, failed) // and the runtime can't make it
	n.agent.Remove(ctx, failed)

	// What a hook made is nowhere but in the record and the policy: when both are gone,
	// nobody can tell (docs/planting.md).
	until(t, "records on disk", func() bool { return n.agent.state.Stats().Pending == 0 })
	tell("policy")
	n.tokens = crashTokens(true)
	n.agent.apply(ctx)

	tell("gone found")
	n.agent.Remove(ctx, found)
	n.synchronize(made)
	tell("gone made")
	n.synchronize()
	if err := n.agent.Close(); err != nil {
		t.Fatal(err)
	}
	tell("end")
}

// runtimeOf is what the runtime has, by what the child told.
func runtimeOf(t *testing.T, told []string) (all []nri.Container, changed bool) {
	t.Helper()
	byID := map[string]nri.Container{}
	for _, line := range told {
		if text, ok := strings.CutPrefix(line, "has "); ok {
			var c nri.Container
			if err := json.Unmarshal([]byte(text), &c); err != nil {
				t.Fatal(err)
			}
			byID[c.ID] = c
		} else if id, ok := strings.CutPrefix(line, "gone "); ok {
			delete(byID, id)
		}
		changed = changed || line == "policy"
	}
	for _, c := range byID {
		all = append(all, c)
	}
	return all, changed
}

func checkAfterKill(t *testing.T, dir string, told []string) {
	t.Helper()
	all, changed := runtimeOf(t, told)
	n := newCrashNode(t, dir, changed, func(string) {})
	n.synchronize(all...)
	inUse := map[string]bool{}
	defer func() {
		if t.Failed() {
			t.Logf("failures: %+v", n.agent.Status().Failures)
		}
	}()
	for _, c := range all {
		n.checkContainer(c, inUse)
	}
	for _, file := range n.files() {
		if !inUse[file] {
			t.Errorf("nobody has %s", file)
		}
	}
	_, containers, err := n.agent.state.Leftovers()
	if err != nil {
		t.Error(err)
	}
	for _, id := range containers {
		if !slices.ContainsFunc(all, func(c nri.Container) bool { return c.ID == id }) {
			t.Errorf("a record of %s, which is gone", id)
		}
	}
	if err := errors.Join(n.agent.Close(), n.core.Close()); err != nil {
		t.Error(err)
	}
}

// checkContainer: what is visible in the container is armed and written down, and
// the other way round; what can be planted in one that runs is.
func (n crashNode) checkContainer(c nri.Container, inUse map[string]bool) {
	n.t.Helper()
	r, err := n.agent.state.Record(c.ID)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		n.t.Error(err)
	}
	written := map[string]bool{}
	for _, token := range r.Tokens {
		if token.RemovedAt.IsZero() {
			written[token.Name] = true
			inUse[token.File] = true
		}
	}
	names := map[string]bool{}
	for _, token := range append(crashTokens(false), crashTokens(true)...) {
		names[token.Name] = true
	}
	for name := range names {
		seen, err := os.Stat(n.inside(c, "/etc/"+name))
		watched := n.sensor.Watches(n.agent.identity.PlacementID(c.ID, name))
		armed := err == nil && watched != nil && os.SameFile(seen, watched)
		if (err == nil) != armed || (watched != nil) != armed || written[name] != armed {
			n.t.Errorf("container %s, token %s: visible %v, watched %v, written down %v", c.ID, name, err == nil, watched != nil, written[name])
		}
		i := slices.IndexFunc(n.tokens, func(t beesting.Token) bool { return t.Name == name })
		switch {
		case i < 0 && armed:
			n.t.Errorf("container %s has token %s, which the policy doesn't want", c.ID, name)
		case i >= 0 && !armed && n.tokens[i].Strategy != beesting.StrategyHook:
			n.t.Errorf("container %s lacks token %s", c.ID, name)
		case i >= 0 && armed && n.content(c, "/etc/"+name) != string(n.tokens[i].Content):
			n.t.Errorf("container %s has another token %s", c.ID, name)
		}
	}
}
