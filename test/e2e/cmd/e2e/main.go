// Command e2e builds what the end-to-end tests need and runs them, on this
// machine if its kernel lets programs attach, else in a VM for each kernel.
//
//	go run ./test/e2e/cmd/e2e [-kernels 6.12] [-smoke 6.1,newest] [-where auto|host|vm] [-run REGEXP]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/beesting-otel/beesting/test/runtime/parts"
	"github.com/beesting-otel/beesting/test/runtime/place"
)

// smoke are the scenarios that a kernel could change; the rest is about the
// runtime and the agent.
const smoke = "TestContainerd/(Touch|ProcessIdentity|FirstInstruction|TwoPods|Parallel200|AgentRestart)$"

// timeout is of one kernel, from power-on to power-off.
const timeout = 15 * time.Minute

type options struct {
	where, kernels, smoke, run string
	update                     bool
}

func main() {
	var o options
	flag.StringVar(&o.where, "where", place.Auto, "where the tests run: auto, host or vm")
	flag.StringVar(&o.kernels, "kernels", "6.12", "kernels for all scenarios, separated by commas")
	flag.StringVar(&o.smoke, "smoke", "", "kernels for the scenarios that depend on the kernel")
	flag.StringVar(&o.run, "run", "", "regular expression of tests, as `go test -run` takes it")
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
	begin := time.Now()
	log := func(line string) { fmt.Fprintf(os.Stderr, "[%4.0fs] %s\n", time.Since(begin).Seconds(), line) }
	m := parts.New(cache, module, log)
	job, err := build(ctx, m, filepath.Join(cache, "e2e"))
	if err != nil {
		return err
	}
	job.Log = log
	var errs []error
	for i, kernel := range append(split(o.kernels), split(o.smoke)...) {
		where, err := place.Choose(o.where, kernel)
		if err != nil {
			return err
		}
		if i > 0 && where.Kernel == "" {
			break // this machine has one kernel
		}
		pattern := o.run
		if pattern == "" && i >= len(split(o.kernels)) {
			pattern = smoke
		}
		errs = append(errs, runOne(ctx, m, where, job, pattern, o.update))
	}
	return errors.Join(errs...)
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
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
		},
		Timeout: timeout,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
	}
	if err := m.Build(ctx, bin, "./cmd/beesting"); err != nil {
		return j, err
	}
	if err := m.BuildTest(ctx, j.Programs["e2e.test"], "e2e", "./test/e2e"); err != nil {
		return j, err
	}
	otelcol, err := m.Collector(ctx)
	if err != nil {
		return j, err
	}
	j.Programs["otelcol"] = otelcol
	j.Bundle, err = m.Bundle(ctx)
	return j, err
}

func runOne(ctx context.Context, m *parts.Maker, where place.Place, j place.Job, pattern string, update bool) error {
	j.Log("tests run " + where.Why)
	var golden goldenFiles
	if update {
		j.Stdout = io.MultiWriter(j.Stdout, parts.NewLines(golden.line))
	}
	begin := time.Now()
	j.Args = func(bin, bundle string) []string {
		args := []string{
			"e2e.test", "-test.v", "-test.timeout", timeout.String(),
			"-bundle", bundle, "-beesting", filepath.Join(bin, "beesting"), "-collector", filepath.Join(bin, "otelcol"),
		}
		if pattern != "" {
			args = append(args, "-test.run", pattern)
		}
		if update {
			args = append(args, "-update")
		}
		return args
	}
	code, err := where.Run(ctx, m, j)
	if err == nil && code != 0 {
		err = fmt.Errorf("tests failed (exit code %d)", code)
	}
	name := where.Kernel
	if name == "" {
		name = "this machine"
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := golden.write(); err != nil {
		return err
	}
	j.Log(fmt.Sprintf("%s: passed in %.0f s", name, time.Since(begin).Seconds()))
	return nil
}
