// Command bench measures what the sensor costs everybody else: the instructions
// it adds to one open and close of a file that nobody watches, beside other ways
// of watching files.
//
// It boots kernels under QEMU with -icount, where the guest's clock advances by
// one nanosecond with each instruction, so figures repeat on any machine, however
// slow or busy. They say how much work is done, not how long it takes: an
// emulated instruction that misses every cache costs the same as one that hits.
//
//	go run ./test/bench                            table on standard output
//	go run ./test/bench -kernels 6.1,6.12 -markdown
//	go run ./test/bench -write docs/benchmarks.md  replaces the figures there
//
// The exit code is 1 when the sensor's default mode misses its target and 2 when
// something could not be measured; `go run` makes 1 of both.
package main

import (
	"bytes"
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

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	kernels := flags.String("kernels", "6.12", "`kernels` to measure on, separated by commas")
	markdown := flags.Bool("markdown", false, "print a table for documentation")
	write := flags.String("write", "", "replace the figures in this Markdown `file`")
	timeout := flags.Duration("timeout", 20*time.Minute, "limit for each kernel")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	var reports []report
	for kernel := range strings.SplitSeq(*kernels, ",") {
		r, err := measure(ctx, kernel, *timeout, stderr)
		if err != nil {
			return err
		}
		reports = append(reports, r)
		if !*markdown {
			fmt.Fprintln(stdout, r.text())
		}
	}
	if *markdown {
		fmt.Fprint(stdout, markdownOf(reports))
	}
	if *write != "" {
		if err := replaceIn(*write, markdownOf(reports)); err != nil {
			return err
		}
	}
	var missed []error
	for _, r := range reports {
		missed = append(missed, r.verdict())
	}
	return errors.Join(missed...)
}

// measure runs the whole benchmark on one kernel.
func measure(ctx context.Context, kernel string, timeout time.Duration, progress io.Writer) (report, error) {
	tmp, err := os.MkdirTemp("", "beesting-bench-")
	if err != nil {
		return report{}, err
	}
	defer os.RemoveAll(tmp)
	program := filepath.Join(tmp, "guest")
	if err := vm.Build(ctx, program, "github.com/beesting-otel/beesting/test/bench/internal/guest"); err != nil {
		return report{}, err
	}
	fmt.Fprintf(progress, "bench: measuring on %s (two minutes on a quiet machine) ", kernel)
	defer fmt.Fprintln(progress)
	r := newReport(kernel)
	for _, boot := range []string{figure.BootWatchers, figure.BootAudit} {
		out, k, err := bootOnce(ctx, kernel, program, boot, timeout, progress)
		if err != nil {
			return report{}, fmt.Errorf("%s: %w", kernel, err)
		}
		if err := r.add(boot, k, out); err != nil {
			return report{}, fmt.Errorf("%s: %w", kernel, err)
		}
	}
	return r, r.check()
}

// bootOnce runs the guest's part of one boot and returns its output.
func bootOnce(ctx context.Context, kernel, program, boot string, timeout time.Duration, progress io.Writer) (io.Reader, vm.Kernel, error) {
	var out, complaints bytes.Buffer
	results, b, err := vm.RunJobs(ctx, vm.Config{
		Kernel: kernel, ICount: true, MemoryMiB: 2048, Timeout: timeout, Progress: progress,
		Files:  map[string]string{"/bench": program},
		Stdout: io.MultiWriter(&out, &progressWriter{w: progress}), Stderr: &complaints,
	}, []vm.Job{{Args: []string{"/bench", "boot", boot}}}, nil)
	if err != nil {
		return nil, b.Kernel, err
	}
	if r := results[0]; r.Err != nil || r.ExitCode != 0 {
		return nil, b.Kernel, fmt.Errorf("exit code %d: %w", r.ExitCode,
			errors.Join(r.Err, errors.New(strings.TrimSpace(complaints.String()))))
	}
	return &out, b.Kernel, nil
}

// progressWriter shows that something is going on: a dot for each figure.
type progressWriter struct{ w io.Writer }

func (p *progressWriter) Write(b []byte) (int, error) {
	for range bytes.Count(b, []byte("\n")) {
		fmt.Fprint(p.w, ".")
	}
	return len(b), nil
}
