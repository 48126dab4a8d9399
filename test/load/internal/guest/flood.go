//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/beesting-otel/beesting/internal/agent"
)

// pinned is where the sensor stays when the agent is killed.
const pinned = "/sys/fs/bpf/beesting-load"

// away is for how long nobody is there after a kill.
const away = 3 * time.Second

// settled is more than the interval in which repeats are told, and reconciled.
const settled = 3 * time.Second

// flood lets processes open tokens as fast as they can, and with kill the agent
// dies in the middle and another takes over.
func flood(s settings, tokens int, kill bool) error {
	dir := fmt.Sprintf("/tmp/flood-%d-%t", tokens, kill)
	if err := makeTokens(dir, tokens); err != nil {
		return err
	}
	args := []string{"-dir", dir, "-tokens", strconv.Itoa(tokens), "-mode", s.mode}
	if kill {
		args = append(args, "-pin", pinned)
	}
	t := newTold()
	a, err := startAgent(t, args...)
	if err != nil {
		return err
	}
	idle, err := usageOf(a.cmd.Process.Pid)
	if err != nil {
		return err
	}
	h, err := startHammers(s.processes, dir, tokens)
	if err != nil {
		return err
	}
	started := time.Now()
	r := flooded{settings: s, tokens: tokens, kill: kill, told: t, idle: idle}
	if kill {
		a, err = r.killed(a, args)
	} else {
		err = r.watch(a, s.duration)
	}
	if err != nil {
		_, errStop := h.stop()
		return errors.Join(err, errStop)
	}
	if r.opens, err = h.stop(); err != nil {
		return err
	}
	r.took = time.Since(started)
	time.Sleep(settled)
	if err := a.end(syscall.SIGTERM); err != nil {
		return err
	}
	if kill {
		if err := agent.UninstallSensor(pinned); err != nil {
			return err
		}
		if _, err := os.Stat(pinned); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s is left after uninstalling: %w", pinned, err)
		}
	}
	r.print()
	return r.judge()
}

// flooded is how a flood went.
type flooded struct {
	settings
	tokens  int
	kill    bool
	told    *told
	opens   []uint64
	took    time.Duration // also while the agent starts again
	idle    usage
	samples []usage // the agent's, once a second
}

// watch takes samples for a while.
func (r *flooded) watch(a *process, d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(time.Second)
		u, err := usageOf(a.cmd.Process.Pid)
		if err != nil {
			return fmt.Errorf("agent: %w", err)
		}
		r.samples = append(r.samples, u)
	}
	return nil
}

// killed ends the agent without a warning after a third of the time, and starts
// another after a while.
func (r *flooded) killed(a *process, args []string) (*process, error) {
	if err := r.watch(a, r.duration/3); err != nil {
		return nil, err
	}
	if err := a.end(syscall.SIGKILL); err != nil {
		return nil, err
	}
	time.Sleep(away)
	next, err := startAgent(r.told, args...)
	if err != nil {
		return nil, err
	}
	if !r.told.ready.Resumed {
		return nil, errors.Join(errors.New("the second agent found nothing pinned"), next.end(syscall.SIGKILL))
	}
	r.samples = nil
	return next, r.watch(next, r.duration-r.duration/3-away)
}

func (r *flooded) made() uint64 {
	var sum uint64
	for _, n := range r.opens {
		sum += n
	}
	return sum
}
