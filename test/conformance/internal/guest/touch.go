//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/test/conformance/internal/cases"
)

// caseLimit is how long a toucher may take: an agent that hangs must not hang
// the workload, so this is a verdict too.
const caseLimit = 30 * time.Second

// touchers is the cgroup that they run in, as those of a container do: the
// toucher is the first process there.
const touchers = "/sys/fs/cgroup/conformance"

// makeCgroup makes it, and returns its id.
func makeCgroup() (*os.File, uint64, error) {
	if err := os.Mkdir(touchers, 0o755); err != nil {
		return nil, 0, fmt.Errorf("cgroup of the touchers: %w", err)
	}
	f, err := os.Open(touchers)
	if err != nil {
		return nil, 0, fmt.Errorf("cgroup of the touchers: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, 0, fmt.Errorf("cgroup of the touchers: %w", err)
	}
	return f, st.Ino, nil
}

// touch runs the toucher and returns what went wrong. look is called with its
// pid when it stops for that, and when it has ended; it may be nil.
func (s *suite) touch(c cases.Case, form string, p *planted, look func(pid int) error) (problem string) {
	cmd := exec.Command(toucher, c.Name, form, p.path, p.scratch, p.host, p.hard)
	cmd.Env = []string{"PATH=/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Uid: c.StartAs, Gid: c.StartAs},
		UseCgroupFD: true, CgroupFD: int(s.cgroup.Fd()),
	}
	if p.inherit != nil {
		cmd.ExtraFiles = []*os.File{p.inherit}
	}
	// No pipe: a process that the case leaves behind would hold it open.
	errOut, err := os.CreateTemp("", "stderr-")
	if err != nil {
		return err.Error()
	}
	defer func() { errOut.Close(); os.Remove(errOut.Name()) }()
	cmd.Stderr = errOut
	if err := cmd.Start(); err != nil {
		return fmt.Sprintf("toucher: %v", err)
	}
	if look == nil {
		look = func(int) error { return nil }
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	if err := errors.Join(await(cmd.Process, done, look), look(cmd.Process.Pid)); err != nil {
		text, _ := os.ReadFile(errOut.Name())
		return fmt.Sprintf("toucher: %v: %s", err, strings.TrimSpace(string(text)))
	}
	return ""
}

// await waits for the end of a toucher. Each time that it has stopped, what there
// is to tell is looked at before it goes on.
func await(p *os.Process, done <-chan error, look func(pid int) error) error {
	limit := time.After(caseLimit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-limit:
			return errors.Join(errors.New("does not end"), p.Kill(), <-done)
		case <-tick.C:
			if !stopped(p.Pid) {
				continue
			}
			if err := errors.Join(look(p.Pid), p.Signal(unix.SIGCONT)); err != nil {
				return errors.Join(err, p.Kill(), <-done)
			}
		}
	}
}

// stopped reads the state of a process, which stands behind its name.
func stopped(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, ok := bytes.Cut(stat, []byte(") "))
	return err == nil && ok && bytes.HasPrefix(rest, []byte("T"))
}
