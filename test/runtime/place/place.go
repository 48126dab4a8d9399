// Package place decides where a scenario with a real container runtime runs,
// on this machine or in a VM, and runs it there.
package place

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/test/runtime/parts"
	"github.com/beesting-otel/beesting/test/vm"
)

// guestMemory holds the disk's page cache, containerd, its shims and what
// containers write (their file systems are on a tmpfs), in MiB.
const guestMemory = 1536

// Place is where scenarios run.
type Place struct {
	// Kernel is the VM's kernel; empty on this machine.
	Kernel string
	// Why says in one line what was chosen and for what reason.
	Why string
}

// The values that Choose takes.
const (
	Auto = "auto"
	Host = "host"
	VM   = "vm"
)

// Choose takes this machine if its kernel lets a program attach, else a VM with
// the given kernel. want is Auto, or Host or VM to have it one way.
func Choose(want, kernel string) (Place, error) {
	switch want {
	case VM:
		return Place{Kernel: kernel, Why: "in a VM with kernel " + kernel + ", as asked for"}, nil
	case Auto, Host:
	default:
		return Place{}, fmt.Errorf("place %q: want %s, %s or %s", want, Auto, Host, VM)
	}
	reason := hostRefusal()
	switch {
	case reason == "":
		return Place{Why: "on this machine: its kernel lets programs attach"}, nil
	case want == Host:
		return Place{}, fmt.Errorf("this machine can't run it: %s", reason)
	default:
		return Place{Kernel: kernel, Why: "in a VM with kernel " + kernel + ": on this machine " + reason}, nil
	}
}

// hostRefusal says why a scenario can't run on this machine; empty if it can.
func hostRefusal() string {
	if os.Geteuid() != 0 {
		return "you are not root"
	}
	var reasons []string
	for _, a := range bpf.Probe(bpf.Options{}) {
		if a.Err == nil {
			return ""
		}
		reasons = append(reasons, fmt.Sprintf("%s: %s", a.Mode, brief(a.Err)))
	}
	return "no attach mode works (" + strings.Join(reasons, "; ") + ")"
}

// brief is the start of an error, for a list in one line; `beesting check` has
// the whole of it.
func brief(err error) string {
	const most = 70
	text, _, _ := strings.Cut(err.Error(), " (")
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		text = text[:most] + "…"
	}
	return text
}

// Prepare fetches what a boot needs and is not built here. It may run beside
// the builds, which wait for the processor while this waits for the network.
func (p Place) Prepare(ctx context.Context, m *parts.Maker, log func(string)) error {
	if p.Kernel == "" {
		return nil
	}
	if err := m.Install(ctx, "qemu-system-x86", "busybox-static", "e2fsprogs"); err != nil {
		return err
	}
	_, err := vm.FetchKernel(ctx, p.Kernel, false, parts.NewLines(log))
	return err
}

// Job is one program to run.
type Job struct {
	Bundle parts.Bundle
	// Programs are files of this machine by the name under which the job finds
	// them; the first argument is one of those names.
	Programs map[string]string
	// Args makes the command line from the directories in which, where it runs,
	// the programs and the bundle are.
	Args func(bin, bundle string) []string
	Env  []string
	// Net gives a guest a network; the loopback of this machine is HostAlias.
	Net            bool
	Timeout        time.Duration
	Stdout, Stderr io.Writer
	// Log gets one line per step.
	Log func(string)
}

// HostAlias is this machine's loopback as a guest sees it.
const HostAlias = "10.0.2.2"

// Run runs the job and returns its exit code.
func (p Place) Run(ctx context.Context, m *parts.Maker, j Job) (int, error) {
	if p.Kernel == "" {
		return runHost(ctx, j)
	}
	disk, err := m.Disk(ctx, j.Bundle, j.Programs)
	if err != nil {
		return -1, err
	}
	j.Log("booting kernel " + p.Kernel + " under QEMU")
	args := j.Args(parts.GuestBin, parts.GuestBundle)
	return vm.Run(ctx, vm.Config{
		Kernel:    p.Kernel,
		MemoryMiB: guestMemory,
		Disk:      disk,
		Modules:   []string{"overlay"},
		Net:       j.Net,
		Env:       j.Env,
		Command:   append([]string{path.Join(parts.GuestBin, args[0])}, args[1:]...),
		Stdout:    j.Stdout,
		Stderr:    j.Stderr,
		Timeout:   j.Timeout,
		Progress:  parts.NewLines(j.Log),
	})
}

func runHost(ctx context.Context, j Job) (int, error) {
	bin, err := os.MkdirTemp("", "beesting-bin-")
	if err != nil {
		return -1, err
	}
	defer os.RemoveAll(bin)
	for name, file := range j.Programs {
		abs, err := filepath.Abs(file)
		if err != nil {
			return -1, err
		}
		if err := os.Symlink(abs, filepath.Join(bin, name)); err != nil {
			return -1, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, j.Timeout)
	defer cancel()
	args := j.Args(bin, string(j.Bundle))
	cmd := exec.CommandContext(ctx, filepath.Join(bin, args[0]), args[1:]...)
	cmd.Env = append(os.Environ(), j.Env...)
	cmd.Stdout, cmd.Stderr = j.Stdout, j.Stderr
	// The program takes down what it started; only then it ends.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return -1, err
	}
	return 0, nil
}
