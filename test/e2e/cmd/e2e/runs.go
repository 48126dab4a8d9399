package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/beesting-otel/beesting/test/runtime/parts"
	"github.com/beesting-otel/beesting/test/runtime/place"
)

// smoke are the scenarios that a kernel or an attach mode could change; the
// rest is about the runtime and the agent.
const smoke = "TestContainerd/(Touch|ProcessIdentity|FirstInstruction|TwoPods|Parallel200|Churn50)$"

// smokeFentry leaves out the scenarios that stand on a single touch: on a kernel
// that preempts, an fentry program may miss one (docs/kernel.md). Of many, each
// that is missed has to be counted, which Parallel200 checks.
const smokeFentry = "TestContainerd/(Parallel200|Churn50)$"

// timeout is of one VM, from power-on to power-off.
const timeout = 25 * time.Minute

// testRun is the tests in one place, with one attach mode.
type testRun struct {
	place place.Place
	mode  string // of the agent; "auto" for the full set of scenarios
}

func (r testRun) name() string {
	if !r.place.VM {
		return "here " + r.mode
	}
	return r.place.Kernel + " " + r.mode
}

// plan lists the runs, the longest first.
func plan(o options) []testRun {
	var runs []testRun
	for _, k := range split(o.kernels) {
		runs = append(runs, testRun{place: inVM(k), mode: "auto"})
	}
	for _, k := range split(o.smoke) {
		// In full, auto is lsm: Debian's kernels have it on.
		full := slices.Contains(split(o.kernels), k)
		for _, mode := range modesOf(k, split(o.modes)) {
			if !full || mode != "lsm" {
				runs = append(runs, testRun{place: inVM(k), mode: mode})
			}
		}
	}
	return runs
}

// modesOf drops the modes that a kernel does not have: 5.10 has kprobe only
// (docs/kernel.md).
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
	slices.SortFunc(runs, func(a, b testRun) int { return strings.Compare(a.mode, b.mode) })
	return slices.Compact(runs)
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

func (r testRun) run(ctx context.Context, m *parts.Maker, j place.Job, o options, p *printer) error {
	var golden goldenFiles
	j.Stdout, j.Stderr = p.stream(r.name()), p.stream(r.name())
	if o.update && r.mode == "auto" {
		j.Stdout = io.MultiWriter(j.Stdout, parts.NewLines(golden.line))
	}
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

func (r testRun) commands(o options, bin, bundle string) [][]string {
	args := []string{
		"e2e.test", "-test.v", "-test.timeout", timeout.String(), "-bundle", bundle, "-mode", r.mode,
		"-beesting", filepath.Join(bin, "beesting"), "-collector", filepath.Join(bin, "otelcol"),
	}
	pattern := o.run
	switch {
	case pattern != "" || r.mode == "auto":
	case r.mode == "fentry" && r.place.Kernel != "6.1" && r.place.Kernel != "6.12":
		pattern = smokeFentry
	default:
		pattern = smoke
	}
	if pattern != "" {
		args = append(args, "-test.run", pattern)
	}
	if o.update && r.mode == "auto" {
		args = append(args, "-update")
	}
	commands := [][]string{args}
	if r.mode == "auto" && o.run == "" {
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
