// Command load floods the agent's core in a VM and holds the books against what
// was really done: processes open tokens as fast as they can, and every open
// they count themselves has to be counted by the kernel, and told, coalesced or
// lost by name. Then the opposite: what touches no token, or is exempted, has to
// make no access.
//
//	go run ./test/load                     every scenario on Linux 6.12
//	go run ./test/load -kernel 6.1 -run flood
//	go run ./test/load -seconds 5          quicker
//	go run ./test/load -smp 1              on one processor
//
// The exit code is 0 when everything holds.
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
	"strconv"
	"syscall"
	"time"

	"github.com/beesting-otel/beesting/test/vm"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(stderr)
	kernel := flags.String("kernel", "6.12", "`kernel` to run on")
	mode := flags.String("mode", "auto", "the sensor's `mode`")
	seconds := flags.Int("seconds", 30, "how long a flood lasts")
	processes := flags.Int("processes", 8, "how many processes make it")
	cpus := flags.Int("smp", 4, "`number` of the VM's processors")
	only := flags.String("run", "", "only scenarios whose names match this regular `expression`")
	timeout := flags.Duration("timeout", time.Hour, "limit for the whole run")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	tmp, err := os.MkdirTemp("", "beesting-load-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	program := filepath.Join(tmp, "load")
	if err := vm.Build(ctx, program, "github.com/beesting-otel/beesting/test/load/internal/guest"); err != nil {
		return err
	}
	cfg := vm.Config{
		Kernel: *kernel, MemoryMiB: 1024, CPUs: *cpus, Timeout: *timeout, Progress: stderr,
		Files:  map[string]string{"/load": program},
		Stdout: stdout, Stderr: stderr,
		Command: []string{
			"/load", "all", "-mode", *mode, "-seconds", strconv.Itoa(*seconds),
			"-processes", strconv.Itoa(*processes), "-run", *only,
		},
	}
	if *kernel == "5.10" { // has BPF among its LSMs only when told
		cfg.Append = []string{"lsm=landlock,bpf"}
	}
	code, err := vm.Run(ctx, cfg)
	if err == nil && code != 0 {
		err = fmt.Errorf("%s: something does not hold (exit code %d)", *kernel, code)
	}
	return err
}
