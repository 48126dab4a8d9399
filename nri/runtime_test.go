package nri

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/nri/pkg/adaptation"
	"github.com/containerd/nri/pkg/api"
	nrilog "github.com/containerd/nri/pkg/log"
	validator "github.com/containerd/nri/plugins/default-validator/builtin"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	nrilog.Set(stubLog{slog.New(slog.DiscardHandler)}) // the runtime side's; the plugin has its own
	goleak.VerifyTestMain(m)
}

// node is the runtime's side of NRI as containerd and CRI-O embed it: real
// socket, real ttrpc, real time-outs. Only the containers are made up.
type node struct {
	t      *testing.T
	socket string

	adaptation *adaptation.Adaptation
	front      *front
	validator  *validator.DefaultValidatorConfig
	pods       []*api.PodSandbox
	containers []*api.Container
	// synchronized is how long the runtime waited for the latest synchronization.
	synchronized atomic.Int64
}

func newNode(t *testing.T) *node {
	t.Helper()
	// A socket's path has 107 bytes; that of t.TempDir can be longer.
	dir, err := os.MkdirTemp("", "nri-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return &node{t: t, socket: filepath.Join(dir, "nri.sock")}
}

func (n *node) start() {
	n.t.Helper()
	dir := filepath.Dir(n.socket)
	list := func(ctx context.Context, cb adaptation.SyncCB) error {
		began := time.Now()
		_, err := cb(ctx, n.pods, n.containers)
		n.synchronized.Store(int64(time.Since(began)))
		return err
	}
	update := func(context.Context, []*api.ContainerUpdate) ([]*api.ContainerUpdate, error) { return nil, nil }
	a, err := adaptation.New("testd", "1.2.3", list, update,
		adaptation.WithPluginPath(filepath.Join(dir, "plugins")),
		adaptation.WithPluginConfigPath(filepath.Join(dir, "conf.d")),
		adaptation.WithSocketPath(n.socket+".real"),
		adaptation.WithDefaultValidator(n.validator))
	if err != nil {
		n.t.Fatal(err)
	}
	if err := a.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.adaptation, n.front = a, newFront(n.t, n.socket, n.socket+".real")
	n.t.Cleanup(n.stop)
}

// stop is the end of the runtime's process. Adaptation.Stop alone leaves the
// connections of external plugins open, as they end with the process.
func (n *node) stop() {
	n.front.close()
	n.adaptation.Stop()
}

// front passes connections on and can cut them all.
type front struct {
	l     net.Listener
	done  sync.WaitGroup
	mu    sync.Mutex
	conns []net.Conn
}

func newFront(t *testing.T, socket, real string) *front {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{l: l}
	f.done.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", real)
			if err != nil {
				t.Error(err)
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, in, out)
			f.mu.Unlock()
			f.done.Go(func() { f.pass(in, out) })
			f.done.Go(func() { f.pass(out, in) })
		}
	})
	return f
}

func (f *front) pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_, _ = to.Close(), from.Close()
}

func (f *front) close() {
	_ = f.l.Close()
	f.mu.Lock()
	for _, c := range f.conns {
		_ = c.Close()
	}
	f.mu.Unlock()
	f.done.Wait()
}

func (n *node) create(c *api.Container) (*api.ContainerAdjustment, error) {
	n.t.Helper()
	r, err := n.adaptation.CreateContainer(n.t.Context(), &api.CreateContainerRequest{Pod: testPod(), Container: c})
	if err != nil {
		return nil, err
	}
	return r.GetAdjust(), nil
}

func testPod() *api.PodSandbox {
	return &api.PodSandbox{Id: "sandbox", Name: "web-0", Namespace: "shop", Uid: "uid-1",
		Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"a": "b"}}
}

func testContainer(id string) *api.Container {
	return &api.Container{Id: id, PodSandboxId: "sandbox", Name: "nginx",
		Mounts: []*api.Mount{{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid"}}}}
}

// planter records what it is told; the functions replace what it does. It
// stands in for the agent, which has tests of its own with real files.
type planter struct {
	plant func(context.Context, Container) Adjustment
	start func(context.Context, Container)
	sync  func(context.Context, Snapshot)

	mu     sync.Mutex
	calls  []Request
	seen   []Container
	synced chan []Container
	missed chan missedCall
}

type missedCall struct {
	c   Container
	r   Request
	err error
}

func newPlanter() *planter {
	return &planter{synced: make(chan []Container, 100), missed: make(chan missedCall, 100)}
}

func (p *planter) note(r Request, c Container) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls, p.seen = append(p.calls, r), append(p.seen, c)
}

func (p *planter) noted() ([]Request, []Container) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls, p.seen
}

func (p *planter) Plant(ctx context.Context, c Container) Adjustment {
	p.note(RequestCreate, c)
	if p.plant != nil {
		return p.plant(ctx, c)
	}
	return Adjustment{Mounts: []Mount{tokenMount("/run/token")}}
}

func (p *planter) Created(_ context.Context, c Container) { p.note(RequestCreated, c) }

func (p *planter) Start(ctx context.Context, c Container) {
	p.note(RequestStart, c)
	if p.start != nil {
		p.start(ctx, c)
	}
}

func (p *planter) Stop(_ context.Context, c Container)   { p.note(RequestStop, c) }
func (p *planter) Remove(_ context.Context, c Container) { p.note(RequestRemove, c) }
func (p *planter) Synchronize(ctx context.Context, s Snapshot) {
	if p.sync != nil {
		p.sync(ctx, s)
		return
	}
	p.synced <- s.Containers
}
func (p *planter) Missed(c Container, r Request, err error) { p.missed <- missedCall{c, r, err} }
func tokenMount(destination string) Mount {
	return Mount{Source: "/state/file", Destination: destination, Type: "bind", Options: []string{"bind", "ro"}}
}

// launch runs a plugin until the test's end and waits for its registration.
func launch(t *testing.T, n *node, p *planter, o Options) *Plugin {
	t.Helper()
	plugin, wait := run(t, n, p, o)
	wait()
	return plugin
}

func run(t *testing.T, n *node, p *planter, o Options) (plugin *Plugin, registered func()) {
	t.Helper()
	o.Socket = n.socket
	plugin, err := New(p, o)
	if err != nil {
		t.Fatal(err)
	}
	plugin.grace, plugin.registration = 50*time.Millisecond, 2*time.Minute
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- plugin.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return plugin, func() {
		t.Helper()
		receive(t, p.synced, "synchronization")
		// The snapshot is delivered before the runtime has put the plugin on
		// its list; this lock waits for that.
		n.adaptation.BlockPluginSync().Unblock()
	}
}

func receive[T any](t *testing.T, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(2 * time.Minute):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}
