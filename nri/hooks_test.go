package nri

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	validator "github.com/containerd/nri/plugins/default-validator/builtin"
)

func plantHook(context.Context, Container) Adjustment {
	return Adjustment{Hooks: []Hook{{
		Path: "/opt/bin/init", Args: []string{"init"}, Env: []string{"A=b"}, Timeout: 1100 * time.Millisecond,
	}}}
}

func TestHooks(t *testing.T) {
	n, p := newNode(t), newPlanter()
	n.start()
	p.plant = plantHook
	launch(t, n, p, Options{})
	adjust, err := n.create(testContainer("c1"))
	if err != nil {
		t.Fatal(err)
	}
	hooks := adjust.GetHooks()
	if len(hooks.GetCreateContainer()) != 1 || len(hooks.GetCreateRuntime())+len(hooks.GetPrestart()) != 0 {
		t.Fatalf("hooks: %v", hooks)
	}
	// Whole seconds: one that is ended early fails its container.
	h := hooks.GetCreateContainer()[0].ToOCI()
	if h.Path != "/opt/bin/init" || !slices.Equal(h.Args, []string{"init"}) || !slices.Equal(h.Env, []string{"A=b"}) ||
		h.Timeout == nil || *h.Timeout != 2 {
		t.Errorf("hook: %+v", h)
	}
	p.plant = func(context.Context, Container) Adjustment { return Adjustment{Hooks: []Hook{{Path: "/x"}}} }
	adjust, err = n.create(testContainer("c2"))
	if err != nil || adjust.GetHooks().GetCreateContainer()[0].GetTimeout() != nil {
		t.Errorf("no time-out: %v, %v", adjust, err)
	}
}

// The default validator forbids hooks by failing the creation, and mounts get
// through. The plugin hears of the refusal in no other way than that no Created
// follows, which is what Hook says.
func TestValidatorForbidsHooks(t *testing.T) {
	n, p := newNode(t), newPlanter()
	n.validator = &validator.DefaultValidatorConfig{Enable: true, RejectOCIHookAdjustment: true}
	n.start()
	p.plant = plantHook
	plugin := launch(t, n, p, Options{})
	if adjust, err := n.create(testContainer("c1")); err == nil || !strings.Contains(err.Error(), "OCI hook") {
		t.Errorf("hook: %v, %v: does NRI tell a plugin by now?", adjust, err)
	}
	if calls, _ := p.noted(); !slices.Equal(calls, []Request{RequestCreate}) {
		t.Errorf("calls %v", calls)
	}
	p.plant = nil
	if adjust, err := n.create(testContainer("c2")); err != nil || len(adjust.GetMounts()) != 1 {
		t.Errorf("mount: %v, %v", adjust, err)
	}
	if s := plugin.Status(); !s.Connected || s.Requests[RequestCreate] != 2 || len(s.Missed) != 0 {
		t.Errorf("status %+v", s)
	}
}
