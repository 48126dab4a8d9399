// Command e2e builds what the end-to-end tests need and runs them, on this
// machine if its kernel lets programs attach, else in VMs, one for each kernel
// and attach mode, and of their own for the Collector receiver's.
//
//	go run ./test/e2e/cmd/e2e [-kernels 6.12] [-smoke "6.1 newest"] [-modes "lsm fentry kprobe"]
//	    [-where auto|host|vm] [-run REGEXP] [-old] [-j N] [-update]
//	go run ./test/e2e/cmd/e2e -lifecycles 1000    only that many containers that come and go
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/beesting-otel/beesting/test/runtime/parts"
	"github.com/beesting-otel/beesting/test/runtime/place"
)

type options struct {
	where, kernels, smoke, modes, run string
	parallel, lifecycles, kills       int
	outage                            time.Duration
	update, old                       bool
	oldBundle                         parts.Bundle // with containerd 1.7
}

func main() {
	var o options
	flag.StringVar(&o.where, "where", place.Auto, "where the tests run: auto, host or vm")
	flag.StringVar(&o.kernels, "kernels", "6.12", "kernels for all scenarios")
	flag.StringVar(&o.smoke, "smoke", "", "kernels for the scenarios that depend on the kernel, in each of -modes")
	flag.StringVar(&o.modes, "modes", "lsm fentry kprobe", "attach modes of -smoke")
	flag.StringVar(&o.run, "run", "", "regular expression of tests, as `go test -run` takes it")
	// An emulated processor keeps one of this machine's busy.
	flag.IntVar(&o.parallel, "j", runtime.NumCPU(), "how many VMs run at a time")
	flag.IntVar(&o.lifecycles, "lifecycles", 0, "instead of all else let so `many` containers come and go on each of -kernels")
	flag.IntVar(&o.kills, "kills", 0, "how `often` TestKills kills the agent")
	flag.DurationVar(&o.outage, "outage", 10*time.Second, "how `long` a back end of TestDelivery is in trouble")
	flag.BoolVar(&o.old, "old", false, "all of it on containerd 1.7")
	flag.BoolVar(&o.update, "update", false, "write the golden files anew")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	cache, err := parts.CacheDir(os.Getenv)
	if err != nil {
		return err
	}
	module, err := os.Getwd()
	if err != nil {
		return err
	}
	p := &printer{begin: time.Now()}
	m := parts.New(cache, module, p.say)
	runs := plan(o)
	if len(runs) == 0 {
		return fmt.Errorf("no test is called as in %q", o.run)
	}
	choose := place.Choose
	native := []string{testMany, testLifecycles, testDelivery}
	if !slices.ContainsFunc(runs, func(r testRun) bool { return !slices.Contains(native, r.test) }) {
		choose = place.ChooseSensor // they are about numbers, and slow on an emulated processor
	}
	where, why, err := choose(o.where, o.kernels)
	if err != nil {
		return err
	}
	p.say("tests run " + why)
	if !where.VM {
		// One kernel, and the tests would get in each other's way.
		runs, o.parallel = onHost(runs), 1
	}
	for _, r := range runs {
		if err := r.place.Prepare(ctx, m, p.say); err != nil {
			return err
		}
	}
	job, err := build(ctx, m, filepath.Join(cache, "e2e"))
	if err != nil {
		return err
	}
	if slices.ContainsFunc(runs, func(r testRun) bool { return r.old }) {
		if o.oldBundle, err = m.Bundle(ctx, parts.OldContainerd); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(runs, func(r testRun) bool { return r.test == testReceiver || r.test == testDelivery }) {
		if job.Programs["otelcol-beesting"], err = m.ReceiverCollector(ctx); err != nil {
			return err
		}
	}
	job.Log = p.say
	return runAll(ctx, m, job, runs, o, p)
}

// build makes everything that does not depend on where the tests run.
func build(ctx context.Context, m *parts.Maker, bin string) (place.Job, error) {
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return place.Job{}, err
	}
	j := place.Job{
		Programs: map[string]string{
			"beesting": filepath.Join(bin, "beesting"),
			"e2e.test": filepath.Join(bin, "e2e.test"),
			"ctd.test": filepath.Join(bin, "ctd.test"),
		},
		Timeout: timeout,
	}
	if err := m.Build(ctx, bin, "./cmd/beesting"); err != nil {
		return j, err
	}
	for name, pkg := range map[string]string{"e2e.test": "./test/e2e", "ctd.test": "./test/runtime/ctd"} {
		if err := m.BuildTest(ctx, j.Programs[name], "e2e", pkg); err != nil {
			return j, err
		}
	}
	otelcol, err := m.Collector(ctx)
	if err != nil {
		return j, err
	}
	j.Programs["otelcol"] = otelcol
	j.Bundle, err = m.Bundle(ctx, parts.Containerd)
	return j, err
}

// runAll runs the tests, o.parallel at a time, and ends with a table.
func runAll(ctx context.Context, m *parts.Maker, job place.Job, runs []testRun, o options, p *printer) error {
	verdicts := make([]error, len(runs))
	failures := make([]failures, len(runs))
	took := make([]time.Duration, len(runs))
	turn := make(chan struct{}, max(1, o.parallel))
	var wg sync.WaitGroup
	for i, r := range runs {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			begin := time.Now()
			verdicts[i] = r.run(ctx, m, job, o, p, &failures[i])
			took[i] = time.Since(begin)
		})
	}
	wg.Wait()
	failed := 0
	for i, r := range runs {
		if verdicts[i] != nil {
			for _, line := range failures[i].report() {
				p.say(fmt.Sprintf("%-12s | %s", r.name(), line))
			}
		}
	}
	for i, r := range runs {
		verdict := "passed"
		if verdicts[i] != nil {
			verdict = "FAILED: " + verdicts[i].Error()
			failed++
		}
		p.say(fmt.Sprintf("%-16s %4.0f s  %s", r.name(), took[i].Seconds(), verdict))
	}
	if failed > 0 {
		return errors.New("tests failed")
	}
	return nil
}
