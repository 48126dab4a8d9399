//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/test/runtime/agentproc"
	"github.com/beesting-otel/beesting/test/runtime/cri"
	"github.com/beesting-otel/beesting/test/runtime/image"
)

// pod says what to start: one container, by default a busybox that sleeps.
type pod struct {
	ns, name string
	uid      string // made up if empty
	labels   map[string]string
	image    string
	command  []string
	args     []string
	mounts   []cri.Mount
	user     int64
	readOnly bool // its root file system
	hostPID  bool
	hostIDs  uint32 // of its user namespace; none if 0
}

// box is a running container and its pod.
type box struct {
	spec    cri.Pod
	name    string // the container's
	image   string
	sandbox string
	id      string
	pid     int64 // of its first process on the host, where a test looked for it
}

// owns says whether a record's token stands in this container.
func (b *box) owns(r agentproc.Record) bool { return r.Text("container.id") == b.id }

// onHost is the way from the host to a file of the container. Absolute symbolic
// links on it lead elsewhere.
func (b *box) onHost(path string) string { return fmt.Sprintf("/proc/%d/root%s", b.pid, path) }

// openFromHost opens a file of the container in this process.
func (b *box) openFromHost(path string) error {
	f, err := os.Open(b.onHost(path))
	if err != nil {
		return err
	}
	return f.Close()
}

// create makes a pod with one container that is not started yet. The pod stays
// until the suite ends: removing one takes as long as making it.
func (s *suite) create(t *testing.T, p pod) *box {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b := s.newBox(p)
	var err error
	if b.sandbox, err = s.node.CRI().RunPod(ctx, b.spec); err != nil {
		t.Fatal(err)
	}
	b.id = s.addContainer(ctx, t, b, p)
	return b
}

// newBox says what a pod is to be; nothing of it is there yet.
func (s *suite) newBox(p pod) *box {
	s.pods++
	b := &box{
		spec: cri.Pod{
			Name: p.name, Namespace: p.ns, Labels: p.labels,
			UID: p.uid, HostPID: p.hostPID, HostIDs: p.hostIDs,
		},
		name:  "main",
		image: p.image,
	}
	if b.spec.UID == "" {
		b.spec.UID = fmt.Sprintf("5a52-%04d", s.pods)
	}
	if b.image == "" {
		b.image = image.Busybox
	}
	return b
}

// container describes the pod's one container.
func (b *box) container(p pod) cri.Container {
	return cri.Container{
		Name: b.name, Image: b.image, Command: p.command, Args: p.args, Mounts: p.mounts, RunAsUser: p.user,
		ReadOnlyRootFS: p.readOnly,
	}
}

func (s *suite) addContainer(ctx context.Context, t *testing.T, b *box, p pod) string {
	t.Helper()
	id, err := s.node.CRI().CreateContainer(ctx, b.sandbox, b.spec, b.container(p))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// run makes and starts a pod.
func (s *suite) run(t *testing.T, p pod) *box {
	t.Helper()
	b := s.create(t, p)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.node.CRI().StartContainer(ctx, b.id); err != nil {
		t.Fatal(err)
	}
	return b
}

// tryRun makes and starts a pod, which may fail.
func (s *suite) tryRun(ctx context.Context, p pod) (*box, error) {
	b := s.newBox(p)
	var err error
	if b.sandbox, err = s.node.CRI().RunPod(ctx, b.spec); err != nil {
		return b, err
	}
	if b.id, err = s.node.CRI().CreateContainer(ctx, b.sandbox, b.spec, b.container(p)); err != nil {
		return b, err
	}
	return b, s.node.CRI().StartContainer(ctx, b.id)
}

// runForever runs a pod that only sleeps; commands are run in it with exec.
func (s *suite) runForever(t *testing.T, p pod) *box {
	t.Helper()
	p.command = []string{"sleep", "36000"}
	b := s.run(t, p)
	s.mustRun(t, b)
	return b
}

// mustRun fails unless the container is running.
func (s *suite) mustRun(t *testing.T, b *box) {
	t.Helper()
	state, err := s.node.CRI().ContainerState(t.Context(), b.id)
	if err != nil || !state.Running {
		t.Fatalf("container of pod %s is not running: %+v, %v", b.spec.Name, state, err)
	}
}

// remove stops and removes a pod.
func (s *suite) remove(t *testing.T, b *box) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.node.CRI().RemovePod(ctx, b.sandbox); err != nil {
		t.Fatal(err)
	}
}

// exec runs a command that must succeed and returns its output.
func (s *suite) exec(t *testing.T, b *box, command ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := s.node.CRI().Exec(ctx, b.id, command...)
	if err != nil {
		t.Fatal(err)
	}
	if r.ExitCode != 0 {
		t.Fatalf("%q in pod %s: exit code %d, %s", command, b.spec.Name, r.ExitCode, r.Stderr)
	}
	return string(r.Stdout)
}

// absent fails if the container has a file at path.
func (s *suite) absent(t *testing.T, b *box, path string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := s.node.CRI().Exec(ctx, b.id, "stat", path)
	if err != nil {
		t.Fatal(err)
	}
	if r.ExitCode == 0 {
		t.Errorf("%s is there: %s", path, r.Stdout)
	}
}

// eventually waits until ok holds; what completes "waited in vain for …".
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for begin := time.Now(); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Since(begin) > patience {
			t.Errorf("waited in vain for %s", what)
			return
		}
	}
}

// timed says how long what a test does took, when it ends.
func timed(t *testing.T, what string) func() {
	t.Helper()
	begin := time.Now()
	return func() { t.Logf("%s: %.1f s", what, time.Since(begin).Seconds()) }
}
