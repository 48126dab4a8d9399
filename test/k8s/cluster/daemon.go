package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// stopTimeout is how long a part may take to end before it is killed.
const stopTimeout = 15 * time.Second

// daemon is a part of the cluster: a process that can be ended and started again.
type daemon struct {
	name, path, log string
	args            []string
	cmd             *exec.Cmd
	exited          chan struct{} // closed when cmd has ended
}

func (d *daemon) start() error {
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(d.path, d.args...)
	cmd.Stdout, cmd.Stderr = log, log
	// Nothing of a cluster outlives its test, whatever ends that.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started, exited := make(chan error), make(chan struct{})
	go run(cmd, started, exited)
	if err := <-started; err != nil {
		return fmt.Errorf("%s: %w", d.name, err)
	}
	d.cmd, d.exited = cmd, exited
	return nil
}

// run starts a process and waits for its end, on one thread: the kernel counts the
// thread that started a process as its parent (prctl(2), PR_SET_PDEATHSIG).
func run(cmd *exec.Cmd, started chan<- error, exited chan<- struct{}) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	close(started)
	defer close(exited)
	_ = cmd.Wait()
}

// stop ends the process, and waits until it has ended.
func (d *daemon) stop() error {
	if d.cmd == nil {
		return nil
	}
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := d.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("%s: %w", d.name, err)
		}
		select {
		case <-d.exited:
			return nil
		case <-time.After(stopTimeout):
		}
	}
	return fmt.Errorf("%s (pid %d) is still there after SIGKILL", d.name, d.cmd.Process.Pid)
}

// gone is an error if the process has ended by itself.
func (d *daemon) gone() error {
	select {
	case <-d.exited:
		return fmt.Errorf("%s has ended%s", d.name, d.tail())
	default:
		return nil
	}
}

// tail is the end of the log, for an error message.
func (d *daemon) tail() string {
	const most = 3000
	b, err := os.ReadFile(d.log)
	if err != nil {
		return ""
	}
	return "\nlast lines of " + filepath.Base(d.log) + ":\n" + string(b[max(0, len(b)-most):])
}
