//go:build linux

// Command guest is the first process of the VM harness's guests. It mounts what
// a test expects to find, loads modules, runs the jobs of its work order as root
// and reports over a serial port of its own; see package wire. It is built by
// the harness and makes no sense anywhere else.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/test/vm/internal/wire"
)

// runnerArg makes this program the parent of the jobs instead of process 1.
const runnerArg = "run-jobs"

func main() {
	if len(os.Args) > 1 && os.Args[1] == runnerArg {
		os.Exit(runnerMain())
	}
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guest: this is the first process of a VM and nothing else")
		os.Exit(2)
	}
	bootMain()
}

// bootMain is process 1. It ends with the machine switched off, whatever happens.
func bootMain() {
	err := boot()
	if err != nil {
		// The data port may be what is broken, so the console hears it too.
		fmt.Fprintln(os.Stderr, "guest:", err)
		if port, openErr := openPort(dataPortOrDefault()); openErr == nil {
			_ = wire.NewWriter(port).Frame(wire.TypeFatal, []byte(err.Error()))
			_ = drain(port)
			_ = port.Close()
		}
	}
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func boot() error {
	if err := mountBasics(); err != nil {
		return err
	}
	spec, err := readSpec()
	if err != nil {
		return err
	}
	for _, m := range spec.Modules {
		if err := modprobe(m); err != nil {
			return err
		}
	}
	if err := mountDisks(spec.Mounts); err != nil {
		return err
	}
	if err := network(spec.Net); err != nil {
		return err
	}
	if spec.RootDisk != "" {
		if err := switchRoot(spec.RootDisk); err != nil {
			return err
		}
	}
	return superviseRunner()
}

func readSpec() (wire.Spec, error) {
	var spec wire.Spec
	raw, err := os.ReadFile(wire.SpecPath)
	if err != nil {
		return spec, fmt.Errorf("work order: %w", err)
	}
	if err := json.Unmarshal(raw, &spec); err != nil {
		return spec, fmt.Errorf("work order %s: %w", wire.SpecPath, err)
	}
	return spec, nil
}

func dataPortOrDefault() string {
	if spec, err := readSpec(); err == nil {
		return spec.DataPort
	}
	return "/dev/ttyS1"
}

// superviseRunner starts the runner and reaps every orphan until the runner
// ends. The jobs are not this process's own children because os/exec waits for
// its children by id, which a process that reaps everything would steal.
func superviseRunner() error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	proc, err := os.StartProcess("/proc/self/exe", []string{"guest", runnerArg}, &os.ProcAttr{
		Dir: "/",
		Env: []string{
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"HOME=/root", "TERM=linux", "LANG=C.UTF-8",
		},
		Files: []*os.File{null, os.Stderr, os.Stderr},
	})
	if err != nil {
		return fmt.Errorf("start of the job runner: %w", err)
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("wait for the job runner: %w", err)
		case pid == proc.Pid && !(status.Exited() && status.ExitStatus() == 0):
			return fmt.Errorf("job runner ended with status %#x", uint32(status))
		case pid == proc.Pid:
			return nil
		}
	}
}
