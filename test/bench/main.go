// Command bench measures what the sensor costs everybody else: the instructions
// it adds to operations on files that nobody watches, beside other ways of
// watching files; the memory that watching takes; and the sizes of its programs.
//
// It boots kernels under QEMU with -icount, where the guest's clock advances by
// one nanosecond with each instruction, so figures repeat on any machine, however
// slow or busy. They say how much work is done, not how long it takes: an
// emulated instruction that misses every cache costs the same as one that hits.
//
//	go run ./test/bench                            tables on standard output
//	go run ./test/bench -kernels 6.1,6.12 -markdown
//	go run ./test/bench -write docs/benchmarks.md  replaces the kernel's figures there
//	go run ./test/bench -sizes -kernels 5.10,6.12 -write docs/program-sizes.md
//
// The exit code is 1 when the sensor misses a target and 2 when something could
// not be measured; `go run` makes 1 of both.
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

	"github.com/beesting-otel/beesting/test/bench/internal/figure"
	"github.com/beesting-otel/beesting/test/vm"
)

// errTarget: measured, and more than the target allows.
var errTarget = errors.New("target missed")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errTarget):
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	default:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
}

// options are the command line's.
type options struct {
	kernels         []string
	markdown, sizes bool
	write           string
	timeout         time.Duration
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	kernels := flags.String("kernels", "6.12", "`kernels` to measure on, separated by commas")
	flags.BoolVar(&o.markdown, "markdown", false, "print tables for documentation")
	flags.BoolVar(&o.sizes, "sizes", false, "report the sizes of the sensor's programs instead")
	flags.StringVar(&o.write, "write", "", "replace the figures in this Markdown `file`, those of the kernels that were run")
	flags.DurationVar(&o.timeout, "timeout", 40*time.Minute, "limit for each boot")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	o.kernels = strings.Split(*kernels, ",")
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "beesting-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	g := guest{program: filepath.Join(tmp, "guest"), timeout: o.timeout, progress: stderr}
	if err := vm.Build(ctx, g.program, "github.com/beesting-otel/beesting/test/bench/internal/guest"); err != nil {
		return err
	}
	if o.sizes {
		return reportSizes(ctx, g, o, stdout)
	}
	return reportCosts(ctx, g, o, stdout)
}

func reportCosts(ctx context.Context, g guest, o options, stdout io.Writer) error {
	var reports []report
	var failed []error
	for _, kernel := range o.kernels {
		r, err := measure(ctx, g, kernel)
		if err != nil { // the others' figures took as long
			fmt.Fprintln(g.progress, "bench:", err)
			failed = append(failed, err)
			continue
		}
		reports = append(reports, r)
		// At once: the next kernel may end it all.
		if o.markdown {
			fmt.Fprintln(g.progress, r.text())
		} else {
			fmt.Fprintln(stdout, r.text())
		}
	}
	if len(reports) > 0 {
		failed = append(failed, publish(o, markdownOf(reports), mergeInto, stdout))
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	var missed []error
	for _, r := range reports {
		missed = append(missed, r.verdict())
	}
	return errors.Join(missed...)
}

// publish prints and writes what goes into documentation.
func publish(o options, markdown string, put func(path, figures string) error, stdout io.Writer) error {
	if o.markdown {
		fmt.Fprint(stdout, markdown)
	}
	if o.write == "" {
		return nil
	}
	return put(o.write, markdown)
}

// measure runs the whole benchmark on one kernel.
func measure(ctx context.Context, g guest, kernel string) (report, error) {
	r := newReport(kernel)
	for _, boot := range []string{figure.BootWatchers, figure.BootAudit, figure.BootMemory} {
		figures, k, err := g.boot(ctx, kernel, boot)
		if err != nil {
			return report{}, fmt.Errorf("%s: %s: %w", kernel, boot, err)
		}
		r.add(boot, k, figures)
	}
	return r, r.check()
}
