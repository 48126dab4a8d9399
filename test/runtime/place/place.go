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
	"github.com/beesting-otel/beesting/internal/fanotify"
	"github.com/beesting-otel/beesting/test/runtime/parts"
	"github.com/beesting-otel/beesting/test/vm"
)

// guestMemory holds the disk's page cache, containerd, its shims and what
// containers write (their file systems are on a tmpfs), in MiB.
const guestMemory = 1280

// Place is where scenarios run. The zero value is this machine.
type Place struct {
	// VM says that they run in a VM, with the given Debian kernel.
	VM     bool
	Kernel string
}

// The values that Choose takes.
const (
	Auto = "auto"
	Host = "host"
	VM   = "vm"
)

// Choose takes this machine if its kernel lets a program attach, else a VM with
// the given kernel; want is Auto, or Host or VM to have it one way. why says in
// one line what was chosen and for what reason.
func Choose(want, kernel string) (p Place, why string, err error) {
	return choose(want, kernel, programsRefused)
}

// ChooseSensor is Choose for what any sensor will do for, also one without eBPF.
func ChooseSensor(want, kernel string) (p Place, why string, err error) {
	return choose(want, kernel, func() (string, string) {
		// First: it is done in no time, and is enough.
		err := fanotify.Probe(fanotify.Options{})
		if err == nil {
			return "its kernel has fanotify's permission events", ""
		}
		works, refused := programsRefused()
		return works, refused + "; " + brief(err)
	})
}

// choose asks what works here, and if nothing does, for what reason.
func choose(want, kernel string, probe func() (works, refused string)) (p Place, why string, err error) {
	inVM := Place{VM: true, Kernel: kernel}
	switch want {
	case VM:
		return inVM, "in a VM with kernel " + kernel + ", as asked for", nil
	case Auto, Host:
	default:
		return Place{}, "", fmt.Errorf("place %q: want %s, %s or %s", want, Auto, Host, VM)
	}
	works, refused := "", "you are not root"
	if os.Geteuid() == 0 {
		works, refused = probe()
	}
	switch {
	case works != "":
		return Place{}, "on this machine: " + works, nil
	case want == Host:
		return Place{}, "", fmt.Errorf("this machine can't run it: %s", refused)
	default:
		return inVM, "in a VM with kernel " + kernel + ": on this machine " + refused, nil
	}
}

// programsRefused says whether eBPF programs can attach here, or why not.
func programsRefused() (works, refused string) {
	var reasons []string
	for _, a := range bpf.Probe(bpf.Options{}) {
		if a.Err == nil {
			return "its kernel lets programs attach", ""
		}
		reasons = append(reasons, fmt.Sprintf("%s: %s", a.Mode, brief(a.Err)))
	}
	return "", "no attach mode works (" + strings.Join(reasons, "; ") + ")"
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
	if !p.VM {
		return nil
	}
	if err := m.Install(ctx, "qemu-system-x86", "busybox-static", "e2fsprogs"); err != nil {
		return err
	}
	_, err := vm.FetchKernel(ctx, p.Kernel, false, parts.NewLines(log))
	return err
}

// Job is what to run: commands, one after the other, whatever they end with.
type Job struct {
	Bundle parts.Bundle
	// Programs are files of this machine by the name under which the job finds
	// them; the first word of a command is one of those names.
	Programs map[string]string
	// Commands makes the command lines from the directories in which, where
	// they run, the programs and the bundle are.
	Commands func(bin, bundle string) [][]string
	Env      []string
	// Net gives a guest a network; the loopback of this machine is HostAlias.
	Net            bool
	Timeout        time.Duration
	Stdout, Stderr io.Writer
	// Log gets one line per step.
	Log func(string)
}

// HostAlias is this machine's loopback as a guest sees it.
const HostAlias = "10.0.2.2"

// Run runs the job and returns the exit code of the first command that failed;
// 0 if none did.
func (p Place) Run(ctx context.Context, m *parts.Maker, j Job) (int, error) {
	if !p.VM {
		return runHost(ctx, j)
	}
	disk, err := m.Disk(ctx, j.Bundle, j.Programs)
	if err != nil {
		return -1, err
	}
	j.Log("booting kernel " + p.Kernel + " under QEMU")
	var jobs []vm.Job
	for _, args := range j.Commands(parts.GuestBin, parts.GuestBundle) {
		args[0] = path.Join(parts.GuestBin, args[0])
		jobs = append(jobs, vm.Job{Args: args, Env: j.Env})
	}
	cfg := vm.Config{
		Kernel:    p.Kernel,
		MemoryMiB: guestMemory,
		Disk:      disk,
		Modules:   []string{"overlay"},
		Net:       j.Net,
		Stdout:    j.Stdout,
		Stderr:    j.Stderr,
		Timeout:   j.Timeout,
		Progress:  parts.NewLines(j.Log),
	}
	results, _, err := vm.RunJobs(ctx, cfg, jobs, nil)
	if errors.Is(err, vm.ErrEmulator) {
		j.Log(err.Error())
		j.Log("booting kernel " + p.Kernel + " once more")
		results, _, err = vm.RunJobs(ctx, cfg, jobs, nil)
	}
	if err != nil {
		return -1, err
	}
	for _, r := range results {
		if r.Err != nil || r.ExitCode != 0 {
			return r.ExitCode, r.Err
		}
	}
	return 0, nil
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
	first := 0
	for _, args := range j.Commands(bin, string(j.Bundle)) {
		code, err := runCommand(ctx, j, filepath.Join(bin, args[0]), args[1:])
		if err != nil {
			return -1, err
		}
		if first == 0 {
			first = code
		}
	}
	return first, nil
}

func runCommand(ctx context.Context, j Job, program string, args []string) (int, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), j.Env...)
	cmd.Stdout, cmd.Stderr = j.Stdout, j.Stderr
	// The program takes down what it started; only then it ends.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return -1, err
	}
	return 0, nil
}
