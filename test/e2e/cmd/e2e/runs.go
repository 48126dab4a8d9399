package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/beesting-otel/beesting/test/runtime/parts"
	"github.com/beesting-otel/beesting/test/runtime/place"
)

// smoke are the scenarios that a kernel or an attach mode could change; the
// rest is about the runtime and the agent. So is what containers that come and go
// cause, which takes longer than all of these.
const smoke = "TestContainerd/(Touch|ProcessIdentity|FirstInstruction|TwoPods|Parallel200)$"

// smokeFentry leaves out the scenarios that stand on a single touch: on a kernel
// that preempts, an fentry program may miss one (docs/sensor.md). Of many, each
// that is missed has to be counted, which Parallel200 checks.
const smokeFentry = "TestContainerd/Parallel200$"

// smokeOld are the scenarios that an older runtime could change.
const smokeOld = "TestContainerd/(Touch|TwoPods|UnmatchedPod|AgentRestart|ContainerdRestart|SlowAgent)$"

// The tests of the package, and what of the receiver's could differ with a
// kernel.
const (
	testAgent      = "TestContainerd"
	testReceiver   = "TestReceiver"
	testPlanting   = "TestPlanting"
	testLifecycles = "TestLifecycles"
	testStart      = "TestStartCost" // as the next, it runs if asked for
	testMany       = "TestMany"      // takes a quarter of an hour on an idle processor
	testDelivery   = "TestDelivery"
	testKills      = "TestKills"
	receiverSmoke  = "TestReceiver/(Parity|PartialReload)$"
)

// timeout is of one VM, from power-on to power-off; each lifecycle adds to it as
// much as the test gives it.
const (
	timeout        = 25 * time.Minute
	lifecycleLimit = 20 * time.Second
	killLimit      = time.Minute
	troubles       = 12 // of TestDelivery, about
)

// testRun is the tests in one place, with one attach mode.
type testRun struct {
	place   place.Place
	mode    string // of the sensor
	test    string // testAgent, testReceiver, testPlanting or testLifecycles
	pattern string // as for `go test -run`; all of test if empty
	old     bool   // on the older containerd
}

// hasGolden says whether the tests compare anything with golden files.
func (r testRun) hasGolden() bool { return r.test != testReceiver && r.mode == "auto" && !r.old }

func (r testRun) name() string {
	name := r.mode
	switch r.test {
	case testReceiver:
		name = "receiver"
	case testLifecycles:
		name = "lifecycles"
	case testPlanting:
		name = "planting"
	case testStart:
		name = "start cost"
	case testMany:
		name = "many"
	case testDelivery:
		name = "delivery"
	case testKills:
		name = "kills"
	}
	if r.old {
		name += " on containerd 1.7"
	}
	if !r.place.VM {
		return "here " + name
	}
	return r.place.Kernel + " " + name
}

// plan lists the runs, about the longest first. The receiver has the agent's sensor
// and runtime's side in it, so it is not run on every kernel and in every mode.
func plan(o options) []testRun {
	full, smokes := split(o.kernels), split(o.smoke)
	var runs []testRun
	if o.lifecycles > 0 {
		for _, k := range full {
			runs = append(runs, testRun{place: inVM(k), mode: "auto", test: testLifecycles})
		}
		return runs
	}
	for _, k := range full {
		for _, test := range []string{testAgent, testReceiver, testPlanting} {
			runs = append(runs, testRun{place: inVM(k), mode: "auto", test: test})
		}
	}
	if o.run == "" {
		for _, k := range full {
			runs = append(runs, testRun{place: inVM(k), mode: "auto", test: testAgent, pattern: smokeOld, old: true})
		}
	}
	for _, k := range smokes {
		for _, mode := range modesOf(k, split(o.modes)) {
			// In full, auto is lsm: Debian's kernels have it on.
			if !slices.Contains(full, k) || mode != "lsm" {
				runs = append(runs, testRun{place: inVM(k), mode: mode, test: testAgent, pattern: smokeOf(k, mode)})
			}
		}
	}
	if n := len(smokes); n > 0 && !slices.Contains(full, smokes[n-1]) {
		runs = append(runs, testRun{place: inVM(smokes[n-1]), mode: "auto", test: testReceiver, pattern: receiverSmoke})
	}
	if o.run != "" {
		for _, k := range full {
			for _, test := range []string{testStart, testMany, testDelivery, testKills} {
				runs = append(runs, testRun{place: inVM(k), mode: "auto", test: test})
			}
		}
	}
	runs = asked(runs, o.run)
	for i := range runs {
		runs[i].old = runs[i].old || o.old
	}
	return runs
}

// smokeOf is what depends on a kernel and an attach mode.
func smokeOf(kernel, mode string) string {
	if mode == "fentry" && kernel != "6.1" && kernel != "6.12" {
		return smokeFentry
	}
	return smoke
}

// asked keeps the runs of tests that a pattern, as `go test -run` takes it,
// asks for.
func asked(runs []testRun, pattern string) []testRun {
	if pattern == "" {
		return runs
	}
	first, _, sub := strings.Cut(pattern, "/")
	if !sub {
		pattern = "" // all of one test, and not of another one that it matches too
	}
	var out []testRun
	for _, r := range runs {
		if ok, err := regexp.MatchString(first, r.test); err != nil || ok { // the test binary tells of a bad pattern
			r.pattern = pattern
			out = append(out, r)
		}
	}
	return out
}

// modesOf drops the modes that a kernel does not have: 5.10 has kprobe only
// (docs/sensor.md).
func modesOf(kernel string, modes []string) []string {
	if kernel != "5.10" {
		return modes
	}
	return slices.DeleteFunc(modes, func(m string) bool { return m != "kprobe" })
}

func inVM(kernel string) place.Place { return place.Place{VM: true, Kernel: kernel} }

// onHost is the same plan for a machine with one kernel.
func onHost(runs []testRun) []testRun {
	for i := range runs {
		runs[i].place = place.Place{}
	}
	slices.SortFunc(runs, func(a, b testRun) int {
		return cmp.Or(cmp.Compare(a.test, b.test), cmp.Compare(a.mode, b.mode), cmp.Compare(a.pattern, b.pattern))
	})
	return slices.CompactFunc(runs, func(a, b testRun) bool { return a.test == b.test && a.mode == b.mode && a.old == b.old })
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

func (r testRun) run(ctx context.Context, m *parts.Maker, j place.Job, o options, p *printer, f *failures) error {
	var golden goldenFiles
	j.Stdout = io.MultiWriter(p.stream(r.name()), parts.NewLines(f.line))
	j.Stderr = p.stream(r.name())
	if o.update && r.hasGolden() {
		j.Stdout = io.MultiWriter(j.Stdout, parts.NewLines(golden.line))
	}
	if r.old {
		j.Bundle = o.oldBundle
	}
	j.Timeout = r.limit(o)
	j.Commands = func(bin, bundle string) [][]string { return r.commands(o, bin, bundle) }
	code, err := r.place.Run(ctx, m, j)
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("exit code %d", code)
	}
	return golden.write()
}

// limit is of one VM.
func (r testRun) limit(o options) time.Duration {
	if r.test == testMany {
		return 3 * timeout
	}
	return timeout + time.Duration(o.lifecycles)*lifecycleLimit + time.Duration(o.kills)*killLimit + troubles*o.outage
}

func (r testRun) commands(o options, bin, bundle string) [][]string {
	args := []string{
		"e2e.test", "-test.v", "-test.timeout", r.limit(o).String(), "-bundle", bundle, "-mode", r.mode,
		"-beesting", filepath.Join(bin, "beesting"), "-collector", filepath.Join(bin, "otelcol"),
		"-receiver", filepath.Join(bin, "otelcol-beesting"),
	}
	pattern := r.pattern
	if pattern == "" {
		pattern = "^" + r.test + "$"
	}
	args = append(args, "-test.run", pattern)
	if r.test == testLifecycles {
		args = append(args, "-lifecycles", strconv.Itoa(o.lifecycles))
	}
	args = append(args, "-kills", strconv.Itoa(o.kills), "-outage", o.outage.String())
	if o.update && r.hasGolden() {
		args = append(args, "-update")
	}
	commands := [][]string{args}
	if r.test == testAgent && r.mode == "auto" && o.run == "" && !r.old {
		commands = append(commands, []string{"ctd.test", "-test.v", "-bundle", bundle})
	}
	return commands
}

// printer writes the output of several runs at a time, by the line.
type printer struct {
	begin time.Time
	mu    sync.Mutex
}

func (p *printer) say(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(os.Stderr, "[%4.0fs] %s\n", time.Since(p.begin).Seconds(), line)
}

// stream is where a run writes; each line gets its name.
func (p *printer) stream(name string) io.Writer {
	return parts.NewLines(func(line string) { p.say(fmt.Sprintf("%-12s | %s", name, line)) })
}
