package nri

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/nri/pkg/adaptation"
	"github.com/containerd/nri/pkg/api"
)

func TestLifecycle(t *testing.T) {
	n, p := newNode(t), newPlanter()
	running := testContainer("old")
	running.State, running.Pid = api.ContainerState_CONTAINER_RUNNING, 7
	n.pods, n.containers = []*api.PodSandbox{testPod()}, []*api.Container{running}
	n.start()
	plugin, _ := run(t, n, p, Options{})
	all := receive(t, p.synced, "synchronization")
	n.adaptation.BlockPluginSync().Unblock()
	if len(all) != 1 || all[0].ID != "old" || all[0].Pod.Namespace != "shop" || all[0].State != StateRunning || all[0].PID != 7 {
		t.Errorf("synchronized: %+v", all)
	}

	c := testContainer("new")
	adjust, err := n.create(c)
	if err != nil {
		t.Fatal(err)
	}
	if got := adjust.GetMounts(); len(got) != 1 || got[0].Destination != "/run/token" || got[0].Source != "/state/file" ||
		!slices.Equal(got[0].Options, []string{"bind", "ro"}) {
		t.Errorf("adjustment: %v", got)
	}
	ctx := t.Context()
	if err := n.adaptation.PostCreateContainer(ctx, &api.PostCreateContainerRequest{Pod: testPod(), Container: c}); err != nil {
		t.Error(err)
	}
	if err := n.adaptation.StartContainer(ctx, &api.StartContainerRequest{Pod: testPod(), Container: c}); err != nil {
		t.Error(err)
	}
	// As containerd does when the sandbox is gone already.
	if _, err := n.adaptation.StopContainer(ctx, &api.StopContainerRequest{Container: c}); err != nil {
		t.Error(err)
	}
	if err := n.adaptation.RemoveContainer(ctx, &api.RemoveContainerRequest{Container: c}); err != nil {
		t.Error(err)
	}
	calls, seen := p.noted()
	if want := []Request{RequestCreate, RequestCreated, RequestStart, RequestStop, RequestRemove}; !slices.Equal(calls, want) {
		t.Errorf("calls %v, want %v", calls, want)
	}
	for _, c := range seen {
		if c.ID != "new" || c.Pod.ID != "sandbox" || c.Runtime != "testd" || c.RuntimeVer != "1.2.3" {
			t.Errorf("container %+v", c)
		}
	}
	s := plugin.Status()
	if !s.Connected || s.RegisteredAt.IsZero() || s.Reconnects != 0 || s.Runtime != "testd" || s.BlindSeconds != 0 ||
		s.Requests[RequestCreate] != 1 || s.Requests[RequestSynchronize] != 1 || len(s.Missed) != 0 {
		t.Errorf("status %+v", s)
	}
}

func TestFirstRegistrationFails(t *testing.T) {
	n := newNode(t)
	plugin, err := New(newPlanter(), Options{Socket: n.socket})
	if err != nil {
		t.Fatal(err)
	}
	if err := plugin.Run(t.Context()); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), n.socket) || strings.Contains(err.Error(), "\n") {
		t.Errorf("no socket: %v", err)
	}
	if err := CheckSocket(n.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("check: %v", err)
	}
	if err := CheckSocket(os.TempDir()); err == nil {
		t.Error("check of a directory succeeded")
	}
	if s := plugin.Status(); s.Connected || s.LastError == "" {
		t.Errorf("status %+v", s)
	}

	// Something else listens there, and hangs up.
	l, err := net.Listen("unix", n.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	if err := CheckSocket(n.socket); err != nil {
		t.Errorf("check: %v", err)
	}
	if plugin, err = New(newPlanter(), Options{Socket: n.socket}); err != nil {
		t.Fatal(err)
	}
	if err := plugin.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "registration") {
		t.Errorf("no NRI behind the socket: %v", err)
	}
}

func TestNobodyListens(t *testing.T) {
	n := newNode(t)
	l, err := net.Listen("unix", n.socket)
	if err != nil {
		t.Fatal(err)
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	_ = l.Close()
	plugin, err := New(newPlanter(), Options{Socket: n.socket})
	if err != nil {
		t.Fatal(err)
	}
	if err := plugin.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "is the runtime running") {
		t.Errorf("got %v", err)
	}
}

func TestReconnect(t *testing.T) {
	n, p := newNode(t), newPlanter()
	n.start()
	plugin := launch(t, n, p, Options{MinBackoff: 10 * time.Millisecond, MaxBackoff: 40 * time.Millisecond})
	for i := range uint64(3) {
		n.stop()
		for plugin.Status().Connected {
			time.Sleep(time.Millisecond)
		}
		if i == 1 { // absent for longer, with nothing at the socket's path
			_ = os.Remove(n.socket)
			time.Sleep(200 * time.Millisecond)
			if s := plugin.Status(); s.BlindSince.IsZero() || s.BlindSeconds < 0.1 || s.LastError == "" {
				t.Errorf("blind: %+v", s)
			}
		}
		n.start()
		receive(t, p.synced, "synchronization")
		n.adaptation.BlockPluginSync().Unblock()
		adjust, err := n.create(testContainer(fmt.Sprint("c", i)))
		if err != nil || len(adjust.GetMounts()) != 1 {
			t.Errorf("after restart %d: %v, %v", i+1, adjust, err)
		}
		if s := plugin.Status(); !s.Connected || s.Reconnects != i+1 || s.BlindSeconds <= 0 || !s.BlindSince.IsZero() {
			t.Errorf("after restart %d: %+v", i+1, s)
		}
	}
}

// A patient plugin waits for the first registration too. The one that takes its
// place counts on, and the time in between as blind.
func TestPatientAndPrevious(t *testing.T) {
	n, p := newNode(t), newPlanter()
	changes := make(chan bool, 1000)
	o := Options{
		Patient: true, MinBackoff: 10 * time.Millisecond, MaxBackoff: 20 * time.Millisecond,
		Changed: func(connected bool, err error) {
			if connected != (err == nil) {
				t.Errorf("changed: %v, %v", connected, err)
			}
			changes <- connected
		},
	}
	o.Socket = n.socket
	first, err := New(p, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- first.Run(ctx) }()
	if <-changes {
		t.Error("connected without a runtime")
	}
	n.start()
	for !<-changes {
	}
	receive(t, p.synced, "synchronization")
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	before := first.Status()
	if before.Connected || before.BlindSeconds < 0.02 {
		t.Errorf("stopped: %+v", before)
	}
	o.Previous, o.Changed = &before, nil
	second := launch(t, n, p, o)
	if s := second.Status(); !s.Connected || s.Reconnects != 1 || s.BlindSeconds < before.BlindSeconds || s.Requests[RequestSynchronize] != 2 || !s.BlindSince.IsZero() {
		t.Errorf("before %+v\nafter  %+v", before, s)
	}
}

// A planter that is too slow costs its container the tokens, and neither the
// container nor the registration.
func TestSlowPlanter(t *testing.T) {
	n, p := newNode(t), newPlanter()
	n.start()
	release := make(chan struct{})
	ended := make(chan error, 2)
	slow := func(ctx context.Context, c Container) {
		if c.ID == "slow" {
			<-release
			<-ctx.Done()
			ended <- ctx.Err()
		}
	}
	p.plant = func(ctx context.Context, c Container) Adjustment {
		slow(ctx, c)
		return Adjustment{Mounts: []Mount{tokenMount("/run/token")}}
	}
	p.start = slow
	plugin := launch(t, n, p, Options{Budget: 100 * time.Millisecond})

	began := time.Now()
	adjust, err := n.create(testContainer("slow"))
	if err != nil || len(adjust.GetMounts()) != 0 {
		t.Errorf("late: %v, %v", adjust, err)
	}
	if err := n.adaptation.StartContainer(t.Context(), &api.StartContainerRequest{Pod: testPod(), Container: testContainer("slow")}); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > adaptation.DefaultPluginRequestTimeout {
		t.Errorf("took %v", took)
	}
	for _, r := range []Request{RequestCreate, RequestStart} {
		if m := receive(t, p.missed, "notice"); m.r != r || m.c.ID != "slow" || !errors.Is(m.err, ErrLate) {
			t.Errorf("missed %+v", m)
		}
	}
	if adjust, err := n.create(testContainer("next")); err != nil || len(adjust.GetMounts()) != 1 {
		t.Errorf("next: %v, %v", adjust, err)
	}
	close(release)
	for range 2 {
		if err := receive(t, ended, "end of the late call"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("context of a late call: %v", err)
		}
	}
	if s := plugin.Status(); !s.Connected || s.Reconnects != 0 || s.Missed[RequestCreate] != 1 || s.Missed[RequestStart] != 1 ||
		s.Durations[RequestCreate].Count() != 2 || s.Durations[RequestCreate].Longest < 0.1 || s.Durations[RequestStart].Quantile(0.5) < 100*time.Millisecond {
		t.Errorf("status %+v", s)
	}
}

// With every slot stuck the answer comes at once.
func TestStuckPlanter(t *testing.T) {
	n, p := newNode(t), newPlanter()
	n.start()
	release := make(chan struct{})
	p.plant = func(context.Context, Container) Adjustment {
		<-release
		return Adjustment{}
	}
	plugin := launch(t, n, p, Options{Budget: time.Millisecond})
	for i := range maxStuck + 1 {
		if _, err := n.create(testContainer(fmt.Sprint("c", i))); err != nil {
			t.Fatal(err)
		}
		m := receive(t, p.missed, "notice")
		if want := map[bool]error{false: ErrLate, true: ErrBusy}[i == maxStuck]; !errors.Is(m.err, want) {
			t.Errorf("call %d: %v, want %v", i, m.err, want)
		}
	}
	close(release)
	if s := plugin.Status(); !s.Connected || s.Missed[RequestCreate] != maxStuck+1 {
		t.Errorf("status %+v", s)
	}
}

func TestPanickingPlanter(t *testing.T) {
	n, p := newNode(t), newPlanter()
	n.start()
	p.plant = func(context.Context, Container) Adjustment { panic("plant") }
	p.start = func(context.Context, Container) { panic(errors.New("start")) }
	plugin := launch(t, n, p, Options{})
	if adjust, err := n.create(testContainer("c")); err != nil || len(adjust.GetMounts()) != 0 {
		t.Errorf("create: %v, %v", adjust, err)
	}
	if err := n.adaptation.StartContainer(t.Context(), &api.StartContainerRequest{Pod: testPod(), Container: testContainer("c")}); err != nil {
		t.Errorf("start: %v", err)
	}
	for _, want := range []string{"panic: plant", "panic: start"} {
		m := receive(t, p.missed, "notice")
		var pe *PanicError
		if !errors.As(m.err, &pe) || m.err.Error() != want || len(pe.Stack) == 0 {
			t.Errorf("missed: %v, want %s", m.err, want)
		}
	}
	if s := plugin.Status(); !s.Connected {
		t.Errorf("status %+v", s)
	}
}

// What two agents on a node would do: NRI accepts both under one name and fails
// every creation for which both give the same mount. The second one sees the
// first one's mount among the container's, which is where a planter can refuse.
func TestTwoInstances(t *testing.T) {
	n, first, second := newNode(t), newPlanter(), newPlanter()
	n.start()
	launch(t, n, first, Options{})
	launch(t, n, second, Options{})
	if _, err := n.create(testContainer("c1")); err == nil {
		t.Error("both planted the same mount, and the creation succeeded: the hazard is gone")
	}
	careful := func(_ context.Context, c Container) Adjustment {
		if slices.ContainsFunc(c.Mounts, func(m Mount) bool { return m.Destination == "/run/token" }) {
			return Adjustment{}
		}
		return Adjustment{Mounts: []Mount{tokenMount("/run/token")}}
	}
	first.plant, second.plant = careful, careful
	if adjust, err := n.create(testContainer("c2")); err != nil || len(adjust.GetMounts()) != 1 {
		t.Errorf("careful: %v, %v", adjust, err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, o := range []Options{{Index: "1"}, {Index: "xx"}, {Name: "a b"}, {Budget: -1}, {MinBackoff: 2, MaxBackoff: 1}} {
		if _, err := New(newPlanter(), o); err == nil {
			t.Errorf("%+v accepted", o)
		}
	}
	if _, err := New(nil, Options{}); err == nil {
		t.Error("nil planter accepted")
	}
}
