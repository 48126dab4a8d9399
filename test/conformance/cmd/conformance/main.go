// Command conformance runs the conformance suite: every way to touch a token, on
// each kernel, in both planting forms, on each rung of the sensor. It boots the
// kernels with the VM harness, judges what comes back and writes the table.
//
//	go run ./test/conformance/cmd/conformance -kernels 6.12 -rungs lsm -tiers default
//
// The exit code is 1 when a cell is neither as expected nor a documented "can't".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// options are the command line's.
type options struct {
	kernels, rungs, tiers, systems, cases string
	results, doc                          string
	appends                               string
	verbose                               bool
}

func main() {
	var o options
	flag.StringVar(&o.kernels, "kernels", "6.12", "`kernels` to boot, separated by commas; arm64/6.12 is one of another architecture")
	flag.StringVar(&o.rungs, "rungs", "lsm,fentry,kprobe,fanotify", "`rungs` of the sensor")
	flag.StringVar(&o.tiers, "tiers", "default,recon", "`tiers` of the sensor")
	flag.StringVar(&o.systems, "fs", "tmpfs", "file `systems`: everything runs on the first, the first rung and tier on the others too")
	flag.StringVar(&o.cases, "cases", "", "`cases` to run; all when empty")
	flag.StringVar(&o.appends, "append", "", "`words` to add to the kernel's command line")
	flag.StringVar(&o.results, "results", "", "`directory` to keep each kernel's results in, as JSON; those of kernels that don't run now are merged from there")
	flag.StringVar(&o.doc, "doc", "", "`file` to write the table to, in Markdown; refused while a cell is wrong or was run from other sources")
	flag.BoolVar(&o.verbose, "v", false, "list every cell, not only the wrong ones")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	tmp, err := os.MkdirTemp("", "beesting-conformance-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	s := &suite{options: o, tmp: tmp, out: os.Stdout, trees: map[string]string{}}
	if o.kernels != "" {
		for _, kernel := range strings.Split(o.kernels, ",") {
			// A kernel that fails doesn't take the others' results away.
			err = errors.Join(err, s.kernel(ctx, kernel))
		}
	}
	return errors.Join(err, s.finish())
}
