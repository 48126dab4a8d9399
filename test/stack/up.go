package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/beesting-otel/beesting/test/runtime/parts"
)

// upTimeout is for containers, back ends and the incident, once all is built.
const upTimeout = 5 * time.Minute

const downTimeout = 90 * time.Second

// up builds what is missing, and leaves serve behind.
func up(ctx context.Context, l layout) error {
	if os.Geteuid() != 0 {
		return errors.New("containerd and the agent need root")
	}
	if s, err := l.read(); err == nil && s.Ready && alive(s.PID) {
		fmt.Println("    the stack is up already")
		s.print(os.Stdout)
		return nil
	}
	if err := down(l); err != nil { // what an earlier one left
		return fmt.Errorf("remains of an earlier stack: %w", err)
	}
	say := func(line string) { fmt.Println("    " + line) }
	programs, err := build(ctx, l, say)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(l.run(), 0o755); err != nil {
		return err
	}
	return launch(ctx, l, programs)
}

// build returns the environment in which serve finds its programs.
func build(ctx context.Context, l layout, say func(string)) ([]string, error) {
	cmd := exec.CommandContext(ctx, l.tree("test", "stack", "build.sh"), "loki", "prometheus", "jaeger")
	cmd.Env = append(os.Environ(), "BEESTING_CACHE="+l.cache)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("build of the back ends: %w", err)
	}
	var env []string
	for line := range strings.Lines(string(out)) {
		name, path, _ := strings.Cut(strings.TrimSpace(line), "=")
		env = append(env, "STACK_"+strings.ToUpper(name)+"="+path)
	}
	m := parts.New(l.cache, l.module, say)
	bundle, err := m.Bundle(ctx, parts.Containerd)
	if err != nil {
		return nil, err
	}
	collector, err := m.ReceiverCollector(ctx)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(l.bin(""), 0o755); err != nil {
		return nil, err
	}
	say("building beesting")
	if err := m.Build(ctx, l.bin(""), "./cmd/beesting", "./test/stack"); err != nil {
		return nil, err
	}
	return append(env, "STACK_BUNDLE="+string(bundle), "STACK_COLLECTOR="+collector), nil
}

// launch starts serve in a session of its own and shows what it says until it is
// ready.
func launch(ctx context.Context, l layout, env []string) error {
	log, err := os.OpenFile(l.run("stack.log"), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(l.bin("stack"), "serve")
	cmd.Dir = l.module
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("stack: %w", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	progress, err := os.Open(log.Name())
	if err != nil {
		return err
	}
	defer progress.Close()
	lines := bufio.NewReader(progress)
	for {
		show(lines)
		if s, err := l.read(); err == nil && s.Ready && s.PID == cmd.Process.Pid {
			s.print(os.Stdout)
			return nil
		}
		select {
		case err := <-exited:
			show(lines)
			return fmt.Errorf("it has ended before it was ready: %w", err)
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("it is not ready: %w", ctx.Err()), cmd.Process.Signal(syscall.SIGTERM))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func show(lines *bufio.Reader) {
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			fmt.Print("    " + line)
		}
		if err != nil {
			return // io.EOF: there may be more later
		}
	}
}

// down ends the stack, and whatever is left of one whose serve is gone.
func down(l layout) error {
	s, err := l.read()
	if err != nil {
		return os.RemoveAll(l.run())
	}
	if alive(s.PID) {
		if err := syscall.Kill(s.PID, syscall.SIGTERM); err != nil {
			return err
		}
		for deadline := time.Now().Add(downTimeout); alive(s.PID); time.Sleep(100 * time.Millisecond) {
			if time.Now().After(deadline) {
				return fmt.Errorf("process %d is still there %v after SIGTERM; its log is %s", s.PID, downTimeout, l.run("stack.log"))
			}
		}
	}
	for pid, program := range s.Children {
		// The number may be another process' by now.
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && exe == program {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		}
	}
	return os.RemoveAll(l.run())
}

// alive says whether the process is a stack's: its number may be another's by now.
func alive(pid int) bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && strings.HasPrefix(filepath.Base(exe), "stack")
}
