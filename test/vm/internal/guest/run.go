//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/test/vm/internal/wire"
)

// leftoverDelay is how long a job's output stays open for processes it left
// behind.
const leftoverDelay = 2 * time.Second

// runnerMain runs the jobs and returns the exit code of the runner, which says
// whether the harness worked, not how the jobs ended.
func runnerMain() int {
	spec, err := readSpec()
	if err == nil && len(spec.Jobs) == 0 {
		err = shell(spec)
	} else if err == nil {
		err = runJobs(spec)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		return 1
	}
	return 0
}

func runJobs(spec wire.Spec) error {
	port, err := openPort(spec.DataPort)
	if err != nil {
		return err
	}
	defer port.Close()
	out := wire.NewWriter(port)
	if err := sendReady(out); err != nil {
		return err
	}
	for i, job := range spec.Jobs {
		exit := runJob(out, job)
		exit.Job = i
		if err := sendJSON(out, wire.TypeExit, exit); err != nil {
			return err
		}
	}
	if err := out.Frame(wire.TypeDone, nil); err != nil {
		return err
	}
	return drain(port)
}

func runJob(out *wire.Writer, job wire.Job) wire.Exit {
	if len(job.Args) == 0 {
		return wire.Exit{Code: 126, Error: "a job without a command"}
	}
	cmd := exec.Command(job.Args[0], job.Args[1:]...)
	cmd.Dir = job.Dir
	cmd.Env = append(os.Environ(), job.Env...)
	cmd.Stdout = out.Stream(wire.TypeStdout)
	cmd.Stderr = out.Stream(wire.TypeStderr)
	cmd.WaitDelay = leftoverDelay
	// A group of its own: a job that signals its group must not end the runner.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return wire.Exit{Code: 127, Error: fmt.Sprintf("start of %s: %v", job.Args[0], err)}
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return wire.Exit{Code: 128 + int(status.Signal())}
	}
	return wire.Exit{Code: cmd.ProcessState.ExitCode()}
}

func sendReady(out *wire.Writer) error {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return fmt.Errorf("uname: %w", err)
	}
	raw, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(raw), " ")
	uptime, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return fmt.Errorf("uptime: %w", err)
	}
	release, _, _ := bytes.Cut(name.Release[:], []byte{0})
	return sendJSON(out, wire.TypeReady, wire.Ready{Release: string(release), Uptime: uptime})
}

func sendJSON(out *wire.Writer, t wire.Type, v any) error {
	p, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return out.Frame(t, p)
}

// shell runs a login shell on the console until it ends.
func shell(spec wire.Spec) error {
	tty, err := os.OpenFile(spec.ConsolePort, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("console: %w", err)
	}
	defer tty.Close()
	if spec.Rows > 0 && spec.Cols > 0 {
		size := unix.Winsize{Row: uint16(spec.Rows), Col: uint16(spec.Cols)}
		if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &size); err != nil {
			return fmt.Errorf("console size: %w", err)
		}
	}
	cmd := exec.Command("/bin/sh", "-l")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.Dir = "/root"
	// A session with the console as its terminal: Ctrl-C and job control work.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("shell: %w", err)
	}
	return nil
}

// openPort opens a serial port for bytes as they are, without the terminal
// layer's echo and newline translation.
func openPort(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("data port: %w", err)
	}
	termios, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err == nil {
		termios.Iflag, termios.Oflag, termios.Lflag = 0, 0, 0
		termios.Cflag = termios.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8 | unix.CLOCAL
		err = unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, termios)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("data port %s: %w", path, err)
	}
	return f, nil
}

// drain waits until the port has sent everything: switching the machine off
// before that cuts the last frames.
func drain(port *os.File) error {
	if err := unix.IoctlSetInt(int(port.Fd()), unix.TCSBRK, 1); err != nil {
		return fmt.Errorf("data port drain: %w", err)
	}
	return nil
}
