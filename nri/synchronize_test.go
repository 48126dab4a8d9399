package nri

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/nri/pkg/adaptation"
	"github.com/containerd/nri/pkg/api"
)

// unhurried lifts the runtime's time-outs, for a test that is about something
// else than time: a busy machine takes longer than 2 s to send some megabytes.
func unhurried(t *testing.T) {
	t.Helper()
	adaptation.SetPluginRequestTimeout(5 * time.Minute)
	adaptation.SetPluginRegistrationTimeout(5 * time.Minute)
	t.Cleanup(func() {
		adaptation.SetPluginRequestTimeout(adaptation.DefaultPluginRequestTimeout)
		adaptation.SetPluginRegistrationTimeout(adaptation.DefaultPluginRegistrationTimeout)
	})
}

// crowd gives the node containers of 4 KiB, each in a pod of its own.
func (n *node) crowd(containers int) {
	for i := range containers {
		pod, c := testPod(), testContainer(fmt.Sprint("c", i))
		pod.Id = fmt.Sprint("pod", i)
		c.PodSandboxId = pod.Id
		c.Env = []string{"A=" + strings.Repeat("x", 4096)}
		n.pods, n.containers = append(n.pods, pod), append(n.containers, c)
	}
}

// A node's containers don't fit into one message of 4 MiB, and the time for all
// of them is that for one request.
func TestLargeSynchronize(t *testing.T) {
	unhurried(t)
	n, p := newNode(t), newPlanter()
	n.crowd(2000)
	n.start()
	run(t, n, p, Options{})
	all := receive(t, p.synced, "synchronization")
	if len(all) != 2000 || all[1999].Pod.ID != "pod1999" || all[1999].Pod.Name != "web-0" {
		t.Errorf("%d containers", len(all))
	}
}

// The runtime has its answer, and goes on to ask, while the planter is still at
// the first of 500 containers.
func TestSynchronizeDoesNotWait(t *testing.T) {
	unhurried(t)
	n, p := newNode(t), newPlanter()
	n.crowd(500)
	n.start()
	entered, release := make(chan Snapshot), make(chan struct{})
	p.sync = func(ctx context.Context, s Snapshot) {
		select {
		case entered <- s:
			<-release
		case <-ctx.Done():
		}
	}
	plugin, _ := run(t, n, p, Options{})
	s := receive(t, entered, "synchronization")
	n.adaptation.BlockPluginSync().Unblock() // the runtime has the plugin on its list
	adjust, err := n.create(testContainer("new"))
	if err != nil || len(adjust.GetMounts()) != 1 {
		t.Errorf("while the planter is busy: %v, %v", adjust, err)
	}
	close(release)
	if len(s.Containers) != 500 || len(s.Sandboxes) != 500 || s.Sandboxes[499] != "pod499" {
		t.Errorf("%d containers, %d sandboxes", len(s.Containers), len(s.Sandboxes))
	}
	h := plugin.Status().Durations[RequestSynchronize]
	if h.Count() != 1 {
		t.Errorf("durations %+v", h)
	}
	t.Logf("500 containers: sent and answered in %v, of which the handler %.1f ms", time.Duration(n.synchronized.Load()), h.Longest*1000)
}

// What the runtime has created without telling (containerd issue 13698) is in the
// next snapshot, which the plugin can have without a restart of anybody.
func TestResync(t *testing.T) {
	n, p := newNode(t), newPlanter()
	n.start()
	changes := make(chan bool, 10)
	plugin := launch(t, n, p, Options{MinBackoff: time.Hour, MaxBackoff: time.Hour, Changed: func(connected bool, _ error) { changes <- connected }})
	n.pods, n.containers = []*api.PodSandbox{testPod()}, []*api.Container{testContainer("untold")}
	for i := range uint64(2) {
		plugin.Resync()
		all := receive(t, p.synced, "synchronization")
		n.adaptation.BlockPluginSync().Unblock()
		if len(all) != 1 || all[0].ID != "untold" {
			t.Errorf("told of %+v", all)
		}
		adjust, err := n.create(testContainer(fmt.Sprint("c", i)))
		if err != nil || len(adjust.GetMounts()) != 1 {
			t.Errorf("after registration %d: %v, %v", i+2, adjust, err)
		}
		if s := plugin.Status(); !s.Connected || s.Reconnects != i+1 || s.LastError != "" || s.BlindSeconds <= 0 || !s.BlindSince.IsZero() {
			t.Errorf("status %+v", s)
		}
	}
	for range 3 {
		if !receive(t, changes, "word of a registration") {
			t.Error("told as the loss of the runtime")
		}
	}
	calls, _ := p.noted()
	if !slices.Equal(calls, []Request{RequestCreate, RequestCreate}) {
		t.Errorf("calls %v", calls)
	}
}

// The connection is not cut while a request is under way, unless that hangs.
func TestQuiet(t *testing.T) {
	plugin, err := New(newPlanter(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	plugin.slots <- struct{}{}
	over := make(chan bool, 1)
	go func() { plugin.quiet(t.Context()); over <- true }()
	select {
	case <-over:
		t.Error("did not wait")
	case <-time.After(50 * time.Millisecond):
	}
	<-plugin.slots
	receive(t, over, "quiet")
	plugin.slots <- struct{}{}
	plugin.quiet(t.Context()) // ends by itself
}

// A node that is busy starting cuts the plugin off while it tells of its containers
// for the first time. The plugin has been taken on once, and tries again.
func TestDroppedAtFirst(t *testing.T) {
	unhurried(t)
	n, p := newNode(t), newPlanter()
	n.crowd(2000)
	n.start()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// Enough for the registration, and not for so many containers: how much that is
	// depends on the machine.
	for timeout := 5 * time.Millisecond; ; timeout *= 2 {
		adaptation.SetPluginRequestTimeout(timeout)
		plugin, err := New(p, Options{Socket: n.socket, MinBackoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- plugin.Run(ctx) }()
		select {
		case err := <-done: // not even registered
			if errors.Is(err, errDropped) {
				t.Fatalf("gave up: %v", err)
			}
			continue
		case <-p.synced:
			t.Fatalf("not dropped with a timeout of %v", timeout)
		case <-dropped(ctx, plugin):
		}
		adaptation.SetPluginRequestTimeout(5 * time.Minute)
		receive(t, p.synced, "synchronization")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		return
	}
}

// dropped is closed when a plugin has lost its connection, or ctx ends.
func dropped(ctx context.Context, p *Plugin) <-chan struct{} {
	lost := make(chan struct{})
	go func() {
		defer close(lost)
		for ctx.Err() == nil && !strings.Contains(p.Status().LastError, errDropped.Error()) {
			time.Sleep(time.Millisecond)
		}
	}()
	return lost
}
