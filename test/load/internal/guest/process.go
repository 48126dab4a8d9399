//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is an agent that is running.
type process struct {
	cmd    *exec.Cmd
	reader sync.WaitGroup
	dead   chan struct{}
	err    error // how it ended, when dead is closed
}

// startTime is how long an agent may take until it watches. The verifier goes
// through its programs first, which takes an emulated processor 14 s alone, and
// two minutes with eight processes beside it that never stop.
const startTime = 15 * time.Minute

// startAgent starts an agent and waits until it watches. What it says goes to t.
// One that doesn't watch in time says where it is, on standard error.
func startAgent(t *told, args ...string) (*process, error) {
	p := &process{cmd: exec.Command("/proc/self/exe", append([]string{"agent"}, args...)...), dead: make(chan struct{})}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	isReady := make(chan struct{})
	p.reader.Go(func() { t.read(out, isReady) })
	go func() {
		defer close(p.dead)
		p.reader.Wait() // Wait closes the pipe
		p.err = p.cmd.Wait()
	}()
	select {
	case <-isReady:
		return p, nil
	case <-p.dead:
		return nil, fmt.Errorf("agent: ended before it watched: %w", p.err)
	case <-time.After(startTime):
		return nil, errors.Join(fmt.Errorf("agent: does not watch after %v", startTime), p.end(syscall.SIGQUIT))
	}
}

// end sends a signal and waits.
func (p *process) end(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	select {
	case <-p.dead:
	case <-time.After(5 * time.Minute):
		return errors.New("agent: is still there after five minutes")
	}
	if sig == syscall.SIGKILL {
		return nil // an exit code is not to be had
	}
	return p.err
}

// usage is what a process took so far.
type usage struct {
	// rss is anonymous memory in bytes, now: the ring's pages, which are mapped
	// twice and touched one after the other, are not the agent's own.
	rss uint64
	cpu time.Duration
}

// ticks are USER_HZ, the same on every architecture that matters here.
const ticks = 100

func usageOf(pid int) (usage, error) {
	var u usage
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	// After the name, which is in brackets and can be anything: proc(5).
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const utime, stime = 11, 12
	var n [2]uint64
	for i, at := range []int{utime, stime} {
		if n[i], err = strconv.ParseUint(fields[at], 10, 64); err != nil {
			return u, err
		}
	}
	u.cpu = time.Duration(n[0]+n[1]) * time.Second / ticks
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	_, rest, found := strings.Cut(string(status), "\nRssAnon:")
	kib, _, whole := strings.Cut(rest, " kB\n")
	if !found || !whole {
		return u, fmt.Errorf("process %d: no RssAnon", pid)
	}
	u.rss, err = strconv.ParseUint(strings.TrimSpace(kib), 10, 64)
	u.rss <<= 10
	return u, err
}

// hammers are processes that touch until they are told to stop.
type hammers struct {
	cmds []*exec.Cmd
	in   []io.WriteCloser
	out  []*bytes.Buffer
}

// startHammers starts n processes on the tokens of a directory.
func startHammers(n int, dir string, tokens int) (*hammers, error) {
	h := &hammers{}
	for i := range n {
		cmd := exec.Command("/proc/self/exe", "hammer", dir, strconv.Itoa(tokens), strconv.Itoa(i*tokens/n))
		in, err := cmd.StdinPipe()
		if err != nil {
			return h, err
		}
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, os.Stderr
		if err := cmd.Start(); err != nil {
			return h, err
		}
		h.cmds, h.in, h.out = append(h.cmds, cmd), append(h.in, in), append(h.out, &out)
	}
	return h, nil
}

// stop ends them and returns the opens that each has made.
func (h *hammers) stop() ([]uint64, error) {
	var errs []error
	for _, in := range h.in {
		errs = append(errs, in.Close())
	}
	var opens []uint64
	for i, cmd := range h.cmds {
		errs = append(errs, cmd.Wait())
		n, err := strconv.ParseUint(strings.TrimSpace(h.out[i].String()), 10, 64)
		opens, errs = append(opens, n), append(errs, err)
	}
	return opens, errors.Join(errs...)
}
