package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/beesting-otel/beesting/test/vm/internal/wire"
)

// Config describes one boot. The zero value of a field means its default.
type Config struct {
	// Kernel is a series ("6.12"), a full release or Newest. Default 6.12.
	Kernel string
	// Arch is the guest's architecture, "amd64" or "arm64". Default: the host's.
	Arch string
	// Append is added to the kernel command line: "lsm=landlock,bpf",
	// "lockdown=confidentiality".
	Append []string
	// MemoryMiB is the guest's memory. Default 512.
	MemoryMiB int
	// CPUs is how many processors the guest has. Default 1. One thread of the host
	// emulates all of them in turn: more are for what runs on several at a time,
	// and make nothing faster.
	CPUs int
	// Files maps absolute guest paths to host files or directories. Paths under
	// /tmp, /run, /proc, /sys and /dev can't be used: the guest mounts those.
	Files map[string]string
	// Disk is a directory or an ext4 image that becomes the root file system
	// instead of the initramfs (runc can't leave an initramfs). The guest writes
	// to a snapshot. The guest's commands come from there too, so it needs what
	// Command needs.
	Disk string
	// Filesystems are empty file systems to have at /mnt/NAME: "ext4", "xfs",
	// "btrfs".
	Filesystems []string
	// Modules are loaded before the command starts. What mount(2) needs is
	// loaded by the kernel itself.
	Modules []string
	// Net gives the guest eth0, 10.0.2.15. The host's loopback is 10.0.2.2.
	Net bool
	// Env is added to the command's environment, "KEY=VALUE".
	Env []string
	// Command is run as root in /, its standard input empty.
	Command []string
	// Stdout and Stderr receive the command's output. Default: thrown away.
	Stdout, Stderr io.Writer
	// Timeout limits the whole boot, the command included. Default 5 minutes.
	Timeout time.Duration
	// ICount makes the guest's clock count instructions: one nanosecond is one
	// instruction, at about a tenth of the speed.
	ICount bool
	// Console receives what the kernel writes to its console. Default: the last
	// lines are kept for errors.
	Console io.Writer
	// Progress receives lines about downloads and installations. Default
	// os.Stderr.
	Progress io.Writer
}

// Job is one command of a boot with several.
type Job struct {
	Args []string
	Env  []string
	// Dir is the working directory. Default /.
	Dir string
}

// Result is how one job ended.
type Result struct {
	// ExitCode is 128 + the signal's number when a signal ended the job, and 127
	// with Err set when the job could not be started.
	ExitCode int
	Err      error
	// Elapsed is host time.
	Elapsed time.Duration
}

// Boot is what a boot was like.
type Boot struct {
	Kernel Kernel
	// Wall is the host's time from the start of QEMU to the first command,
	// Guest the guest's own.
	Wall, Guest time.Duration
}

const (
	defaultKernel    = "6.12"
	defaultMemoryMiB = 512
	defaultCPUs      = 1
	defaultTimeout   = 5 * time.Minute
	// maxCPUs bounds Config.CPUs: each has that share of the one thread's time.
	maxCPUs = 8
)

// Run boots a kernel, runs cfg.Command in it and returns its exit code. The
// error is about the VM: fetching, booting, a guest that died or hung. A command
// that could not be started is an error too.
func Run(ctx context.Context, cfg Config) (exitCode int, err error) {
	results, _, err := RunJobs(ctx, cfg, []Job{{Args: cfg.Command, Env: cfg.Env}}, nil)
	if err != nil {
		return -1, err
	}
	return results[0].ExitCode, results[0].Err
}

// RunJobs boots once and runs jobs one after the other; cfg.Command and cfg.Env
// are not used. When done is not nil it is called after each job, in order. On
// an error the results of the jobs that had ended are returned with it.
func RunJobs(ctx context.Context, cfg Config, jobs []Job, done func(i int, r Result)) ([]Result, Boot, error) {
	if len(jobs) == 0 {
		return nil, Boot{}, errors.New("vm: no command to run")
	}
	for i, j := range jobs {
		if len(j.Args) == 0 {
			return nil, Boot{}, fmt.Errorf("vm: command %d is empty", i)
		}
	}
	cfg = withDefaults(cfg)
	tmp, err := os.MkdirTemp("", "beesting-vm-")
	if err != nil {
		return nil, Boot{}, fmt.Errorf("vm: %w", err)
	}
	defer os.RemoveAll(tmp)
	m, err := prepare(ctx, cfg, tmp, jobs)
	if err != nil {
		return nil, Boot{}, fmt.Errorf("vm %s: %w", cfg.Kernel, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.Timeout, fmt.Errorf("time limit of %v reached", cfg.Timeout))
	defer cancel()
	results, boot, err := m.session(ctx, cfg, len(jobs), done)
	if err != nil {
		err = fmt.Errorf("vm %s (%s): %w", cfg.Kernel, m.kernel.Release, err)
	}
	return results, boot, err
}

func withDefaults(cfg Config) Config {
	if cfg.Kernel == "" {
		cfg.Kernel = defaultKernel
	}
	if cfg.MemoryMiB == 0 {
		cfg.MemoryMiB = defaultMemoryMiB
	}
	if cfg.CPUs == 0 {
		cfg.CPUs = defaultCPUs
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Stdout == nil {
		cfg.Stdout = io.Discard
	}
	if cfg.Stderr == nil {
		cfg.Stderr = io.Discard
	}
	if cfg.Console == nil {
		cfg.Console = io.Discard
	}
	if cfg.Progress == nil {
		cfg.Progress = os.Stderr
	}
	return cfg
}

// prepare gets everything a boot needs into place.
func prepare(ctx context.Context, cfg Config, tmp string, jobs []Job) (*machine, error) {
	if err := checkFiles(cfg.Files); err != nil {
		return nil, err
	}
	if cfg.CPUs < 1 || cfg.CPUs > maxCPUs || cfg.CPUs > 1 && cfg.ICount {
		return nil, fmt.Errorf("%d processors: want 1 to %d, and 1 where instructions are counted", cfg.CPUs, maxCPUs)
	}
	a, err := guestArch(cfg.Arch)
	if err != nil {
		return nil, err
	}
	m := &machine{arch: a, dir: tmp}
	if m.qemu, err = need(ctx, cfg.Progress, a.qemu, a.qemuPackage); err != nil {
		return nil, err
	}
	if m.kernel, err = fetchKernel(ctx, a, cfg.Kernel, false, cfg.Progress); err != nil {
		return nil, err
	}
	if m.kernel.Note != "" {
		fmt.Fprintf(cfg.Progress, "vm: %s\n", m.kernel.Note)
	}
	spec := wire.Spec{Modules: cfg.Modules, Net: cfg.Net, DataPort: a.data, ConsolePort: "/dev/" + a.console}
	for _, j := range jobs {
		env := append([]string{"BEESTING_VM=" + m.kernel.Release}, j.Env...)
		spec.Jobs = append(spec.Jobs, wire.Job{Args: j.Args, Env: env, Dir: j.Dir})
	}
	if err := m.disks(ctx, cfg, &spec); err != nil {
		return nil, err
	}
	if len(jobs) == 0 {
		spec.Rows, spec.Cols = terminalSize()
	}
	return m, m.initramfs(ctx, cfg, spec)
}

// disks attaches the root disk and the file systems, in the order in which the
// guest names them.
func (m *machine) disks(ctx context.Context, cfg Config, spec *wire.Spec) error {
	device := func() string { return "vd" + string(rune('a'+len(m.images)-1)) }
	if cfg.Disk != "" {
		image, err := rootDisk(ctx, cfg.Disk, m.dir, cfg.Progress)
		if err != nil {
			return err
		}
		m.images = append(m.images, image)
		spec.RootDisk = device()
	}
	for _, kind := range cfg.Filesystems {
		image, err := emptyFilesystem(ctx, cfg.Progress, kind)
		if err != nil {
			return err
		}
		m.images = append(m.images, image)
		spec.Mounts = append(spec.Mounts, wire.Mount{Device: device(), Dir: "/mnt/" + kind, Type: kind})
	}
	if len(m.images) > 0 {
		spec.Modules = append([]string{"virtio_pci", "virtio_blk"}, spec.Modules...)
	}
	if cfg.Net {
		spec.Modules = append([]string{"virtio_pci", "virtio_net"}, spec.Modules...)
	}
	return nil
}

func (m *machine) initramfs(ctx context.Context, cfg Config, spec wire.Spec) error {
	initPath, err := guestInit(ctx, m.arch, m.dir)
	if err != nil {
		return err
	}
	box, err := guestBusybox(ctx, m.arch, cfg.Progress)
	if err != nil {
		return err
	}
	return writeInitramfs(ctx, m.initrd(), content{
		initPath: initPath, busybox: box, kernel: m.kernel, modules: cfg.Modules, spec: spec, files: cfg.Files,
	})
}

func (m *machine) initrd() string { return filepath.Join(m.dir, "initramfs.cpio") }

// checkFiles refuses guest paths that the guest's own mounts would hide.
func checkFiles(files map[string]string) error {
	for guest := range files {
		if !path.IsAbs(guest) || path.Clean(guest) == "/" {
			return fmt.Errorf("file for the guest %q: want an absolute path below /", guest)
		}
		for _, dir := range []string{"/tmp", "/run", "/proc", "/sys", "/dev"} {
			if strings.HasPrefix(path.Clean(guest)+"/", dir+"/") {
				return fmt.Errorf("file for the guest %q: the guest mounts %s itself", guest, dir)
			}
		}
	}
	return nil
}

func mapKeys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }
