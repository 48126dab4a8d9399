package agent

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/nri"
)

// testNode is a node without a runtime: the tests say what the runtime would.
// State directory, files and look-ups are real; bind mounts are hard links,
// which are the same inode under another name as well.
type testNode struct {
	*fixture
	t        testing.TB
	stateDir string
	socket   string
	tokens   []beesting.Token
	attacher *fakeAttacher
	agent    *Agent
}

func awsToken() beesting.Token {
	return beesting.Token{Name: "aws", Kind: "aws-credentials", Path: "/root/.aws/credentials", Content: []byte("secret"), Mode: 0o640}
}

func newNode(t testing.TB, edit ...func(*CoreOptions)) *testNode {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent-") // short, for the socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	n := &testNode{
		fixture: newFixture(t, edit...), t: t, stateDir: filepath.Join(dir, "state"),
		socket: filepath.Join(dir, "nri", "nri.sock"), tokens: []beesting.Token{awsToken()},
		attacher: &fakeAttacher{},
	}
	if err := os.Mkdir(filepath.Dir(n.socket), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", n.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	n.start()
	return n
}

func (n *testNode) options() Options {
	return Options{
		StateDir: n.stateDir, NRISocket: n.socket, Attacher: n.attacher,
		Select: func(c beesting.Container) []beesting.Token {
			if c.Pod.Namespace == "shop" {
				return slices.Clone(n.tokens)
			}
			return nil
		},
	}
}

func (n *testNode) start() {
	n.t.Helper()
	a, err := New(n.core, n.options())
	if err != nil {
		n.t.Fatal(err)
	}
	n.agent = a
	n.t.Cleanup(func() { _ = a.Close() })
}

// restart is a new agent process: nothing is left but the disk, and what the
// edits say.
func (n *testNode) restart(edit ...func(*CoreOptions)) {
	n.t.Helper()
	if err := n.agent.Close(); err != nil {
		n.t.Fatal(err)
	}
	proc := n.proc
	n.fixture = newFixture(n.t, append(edit, func(o *CoreOptions) { o.ProcRoot = proc.dir })...)
	n.fixture.proc = proc
	n.start()
}

func testContainer(id string) nri.Container {
	return nri.Container{
		Container: beesting.Container{ID: id, Name: "web", Pod: beesting.Pod{ID: "sandbox", UID: "uid-" + id, Name: "web-0", Namespace: "shop"}},
		Mounts:    usual(),
		User:      &nri.User{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())},
	}
}

// create asks for the container's tokens and mounts them.
func (n *testNode) create(c *nri.Container) []nri.Mount {
	n.t.Helper()
	mounts := n.agent.Plant(n.t.Context(), *c).Mounts
	c.Mounts = append(c.Mounts, mounts...)
	return mounts
}

// run gives the container a process whose root has its mounts.
func (n *testNode) run(c *nri.Container, pid int) {
	n.t.Helper()
	c.PID, c.State = pid, nri.StateCreated
	root := n.t.TempDir()
	for _, m := range c.Mounts {
		if !n.agent.state.Owns(m.Source) {
			continue
		}
		target := filepath.Join(root, m.Destination)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			n.t.Fatal(err)
		}
		if err := os.Link(m.Source, target); err != nil {
			n.t.Fatal(err)
		}
	}
	n.proc.process(n.t, pid, "runc", 100, "0::/kubepods/"+c.ID+"\n")
	link := filepath.Join(n.proc.dir, itoa(pid), "root")
	_ = os.Remove(link)
	if err := os.Symlink(root, link); err != nil {
		n.t.Fatal(err)
	}
}

func (n *testNode) launch(c *nri.Container, pid int) beesting.PlacementID {
	n.t.Helper()
	n.create(c)
	n.run(c, pid)
	n.agent.Start(n.t.Context(), *c)
	return n.agent.identity.PlacementID(c.ID, "aws")
}

func (n *testNode) synchronize(all ...nri.Container) {
	n.agent.Synchronize(context.Background(), nri.Snapshot{Received: time.Now(), Containers: all})
}

func (n *testNode) reasons() map[Reason]uint64 { return n.agent.Status().FailureCounts }

func (n *testNode) files() []string {
	n.t.Helper()
	files, _, err := n.agent.state.Leftovers()
	if err != nil {
		n.t.Fatal(err)
	}
	return files
}
