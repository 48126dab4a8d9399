package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func names(runs []testRun) string {
	var out []string
	for _, r := range runs {
		out = append(out, r.name())
	}
	return strings.Join(out, ", ")
}

func TestPlan(t *testing.T) {
	o := options{kernels: "6.12", smoke: "6.1 6.12 newest", modes: "lsm fentry kprobe"}
	const all = "6.12 auto, 6.12 receiver, 6.12 planting, 6.12 auto on containerd 1.7, 6.1 lsm, 6.1 fentry, 6.1 kprobe, 6.12 fentry, 6.12 kprobe, " +
		"newest lsm, newest fentry, newest kprobe, newest receiver"
	if got := names(plan(o)); got != all {
		t.Errorf("plan: %s\nwant: %s", got, all)
	}
	if got := names(onHost(plan(o))); got != "here auto, here auto on containerd 1.7, here fentry, here kprobe, here lsm, here planting, here receiver" {
		t.Errorf("on a host: %s", got)
	}
	for pattern, want := range map[string]string{
		"TestReceiver":         "6.12 receiver, newest receiver",
		"TestPlanting/Matrix":  "6.12 planting",
		"TestStartCost":        "6.12 start cost",
		"TestReceiver/Restart": "6.12 receiver, newest receiver",
		"Collector":            "",
		"TestContainerd/Touch": "6.12 auto, 6.1 lsm, 6.1 fentry, 6.1 kprobe, 6.12 fentry, 6.12 kprobe, newest lsm, newest fentry, newest kprobe",
	} {
		o.run = pattern
		if got := names(plan(o)); got != want {
			t.Errorf("-run %s: %s\nwant: %s", pattern, got, want)
		}
	}
	o.run, o.old = "TestPlanting", true
	if got := names(plan(o)); got != "6.12 planting on containerd 1.7" {
		t.Errorf("the older runtime: %s", got)
	}
	o.smoke, o.run, o.old = "", "TestReceiver", false
	if got := names(plan(o)); got != "6.12 receiver" {
		t.Errorf("one kernel: %s", got)
	}
}

func TestCommands(t *testing.T) {
	pattern := func(args []string) string { return args[slices.Index(args, "-test.run")+1] }
	o := options{kernels: "6.12", smoke: "newest", modes: "lsm fentry"}
	var got []string
	for _, r := range plan(o) {
		for _, args := range r.commands(o, "bin", "bundle") {
			got = append(got, args[0])
			if args[0] == "e2e.test" {
				got = append(got, pattern(args))
			}
		}
	}
	want := []string{
		"e2e.test", "^TestContainerd$", "ctd.test", "e2e.test", "^TestReceiver$", "e2e.test", "^TestPlanting$",
		"e2e.test", smokeOld,
		"e2e.test", smoke, "e2e.test", smokeFentry, "e2e.test", receiverSmoke,
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	long := options{kernels: "6.12 newest", smoke: "6.1", lifecycles: 1000}
	if got := names(plan(long)); got != "6.12 lifecycles, newest lifecycles" {
		t.Errorf("lifecycles: %s", got)
	}
	first := plan(long)[0]
	for _, args := range first.commands(long, "bin", "bundle") {
		if line := strings.Join(args, " "); !strings.Contains(line, "-test.run ^TestLifecycles$ -lifecycles 1000") || first.limit(long) < 5*time.Hour {
			t.Errorf("%s within %v", line, first.limit(long))
		}
	}
	o.run = "TestReceiver|TestPlanting"
	got = nil
	for _, r := range plan(o) {
		got = append(got, pattern(r.commands(o, "bin", "bundle")[0]))
	}
	if want := []string{"^TestReceiver$", "^TestPlanting$", "^TestReceiver$"}; !slices.Equal(got, want) {
		t.Errorf("two tests in one pattern: %q, want %q", got, want)
	}
	o.run = "TestReceiver/Mistake"
	for _, r := range plan(o) {
		if commands := r.commands(o, "bin", "bundle"); len(commands) != 1 || pattern(commands[0]) != o.run {
			t.Errorf("%s: %q", r.name(), commands)
		}
	}
}
