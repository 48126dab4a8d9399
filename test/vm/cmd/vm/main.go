// Command vm boots Debian kernels under QEMU and runs commands, tests or a shell
// in them. See package vm.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/beesting-otel/beesting/test/vm"
)

const usage = `usage: vm COMMAND [flags]

  vm run   [flags] -- COMMAND [ARG...]       runs a command in a guest
  vm test  [flags] PACKAGE... [-- -test.X]   runs Go tests in guests
  vm shell [flags]                           opens a shell in a guest
  vm kernels [-refresh] [-kernels LIST]      fetches kernels and lists them

"vm COMMAND -h" lists the flags.
`

// Exit codes beyond the command's own.
const (
	exitUsage = 2
	exitVM    = 125
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := dispatch(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

func dispatch(ctx context.Context, args []string) int {
	commands := map[string]func(context.Context, []string) (int, error){
		"run": run, "test": test, "shell": shell, "kernels": kernels,
	}
	if len(args) == 0 || commands[args[0]] == nil {
		fmt.Fprint(os.Stderr, usage)
		return exitUsage
	}
	code, err := commands[args[0]](ctx, args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitVM
	}
	return code
}

// guestFlags are the flags of every command that boots.
func guestFlags(name string) (*flag.FlagSet, *vm.Config) {
	cfg := &vm.Config{Files: map[string]string{}}
	fs := flag.NewFlagSet("vm "+name, flag.ExitOnError)
	fs.StringVar(&cfg.Arch, "arch", "", "`architecture` of the guest: amd64 or arm64 (default: the host's)")
	fs.IntVar(&cfg.MemoryMiB, "memory", 0, "memory of the guest in `MiB` (default 512)")
	fs.IntVar(&cfg.CPUs, "smp", 0, "`number` of processors of the guest, all emulated by one thread (default 1)")
	fs.BoolVar(&cfg.Net, "net", false, "give the guest a network; the host's loopback is 10.0.2.2")
	fs.BoolVar(&cfg.ICount, "icount", false, "count instructions: one nanosecond of guest time is one instruction")
	fs.StringVar(&cfg.Disk, "disk", "", "`directory` or ext4 image to use as the root file system")
	fs.DurationVar(&cfg.Timeout, "timeout", 0, "limit for a whole boot (default 5m)")
	fs.Func("append", "`words` to add to the kernel command line", func(s string) error {
		cfg.Append = append(cfg.Append, s)
		return nil
	})
	fs.Func("fs", "empty file `system` to have at /mnt/NAME: ext4, xfs or btrfs", func(s string) error {
		cfg.Filesystems = append(cfg.Filesystems, s)
		return nil
	})
	fs.Func("file", "`GUEST=HOST`: put a file or directory into the guest", func(s string) error {
		guest, host, ok := strings.Cut(s, "=")
		if !ok {
			return fmt.Errorf("want GUEST=HOST")
		}
		cfg.Files[guest] = host
		return nil
	})
	return fs, cfg
}

func run(ctx context.Context, args []string) (int, error) {
	fs, cfg := guestFlags("run")
	fs.StringVar(&cfg.Kernel, "kernel", "6.12", "kernel `series`, full release or \"newest\"")
	console := fs.Bool("console", false, "show the kernel's console on standard error")
	_ = fs.Parse(args)
	cfg.Command, cfg.Stdout, cfg.Stderr = fs.Args(), os.Stdout, os.Stderr
	if *console {
		cfg.Console = os.Stderr
	}
	return vm.Run(ctx, *cfg)
}

func shell(ctx context.Context, args []string) (int, error) {
	fs, cfg := guestFlags("shell")
	fs.StringVar(&cfg.Kernel, "kernel", "6.12", "kernel `series`, full release or \"newest\"")
	_ = fs.Parse(args)
	if fs.NArg() > 0 {
		return exitUsage, fmt.Errorf("vm shell: unexpected %q", fs.Args())
	}
	tmp, err := os.MkdirTemp("", "beesting-shell-")
	if err != nil {
		return exitVM, err
	}
	defer os.RemoveAll(tmp)
	beesting := filepath.Join(tmp, "beesting")
	if err := vm.Build(ctx, beesting, "github.com/beesting-otel/beesting/cmd/beesting"); err != nil {
		return exitVM, err
	}
	cfg.Files["/usr/local/bin/beesting"] = beesting
	return 0, vm.Shell(ctx, *cfg)
}

func kernels(ctx context.Context, args []string) (int, error) {
	fs := flag.NewFlagSet("vm kernels", flag.ExitOnError)
	refresh := fs.Bool("refresh", false, "look for newer kernels on the mirror")
	list := fs.String("kernels", strings.Join(vm.Kernels[:], ","), "`kernels` to fetch, separated by commas")
	_ = fs.Parse(args)
	for _, selector := range strings.Split(*list, ",") {
		k, err := vm.FetchKernel(ctx, selector, *refresh, os.Stderr)
		if err != nil {
			return exitVM, err
		}
		fmt.Printf("%-8s %s (%s) %s\n", selector, k.Release, k.Version, k.Note)
	}
	return 0, nil
}

func test(ctx context.Context, args []string) (int, error) {
	args, testFlags := args, []string(nil)
	if i := slices.Index(args, "--"); i >= 0 {
		args, testFlags = args[:i], args[i+1:]
	}
	fs, cfg := guestFlags("test")
	list := fs.String("kernels", strings.Join(vm.Kernels[:], ","), "`kernels` to test on, separated by commas")
	parallel := fs.Int("j", runtime.NumCPU(), "how many kernels run at a time")
	run := fs.String("run", "", "only run tests that match `regexp`")
	tags := fs.String("tags", "", "further build `tags`; vmtest is always set")
	skipOK := fs.String("skip-ok", "", "tests that match `regexp` may skip themselves")
	verbose := fs.Bool("v", false, "show the tests' output also when they pass")
	_ = fs.Parse(args)
	if *run != "" {
		testFlags = append(testFlags, "-test.run="+*run)
	}
	start := time.Now()
	report, err := vm.TestPackages(ctx, vm.TestConfig{
		Guest: *cfg, Kernels: strings.Split(*list, ","), Parallel: *parallel, Packages: fs.Args(),
		Flags: testFlags, Tags: *tags, SkipOK: *skipOK, Verbose: *verbose, Output: os.Stdout,
	})
	if err != nil {
		return exitVM, err
	}
	return printReport(os.Stdout, report, time.Since(start)), nil
}

func printReport(w io.Writer, report vm.TestReport, elapsed time.Duration) int {
	fmt.Fprintln(w)
	for _, r := range report.Results {
		fmt.Fprintln(w, r)
	}
	if !report.OK() {
		fmt.Fprintf(w, "FAIL (%v)\n", elapsed.Round(time.Second))
		return 1
	}
	fmt.Fprintf(w, "ok (%v)\n", elapsed.Round(time.Second))
	return 0
}
