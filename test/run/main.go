// Command run is the first flight of beesting, behind `make run`: a real
// containerd, two pods with tokens, a process that reads one, and the access as
// a person would want to see it. It runs on this machine if a sensor works there,
// with eBPF or without, else in a VM, on a bare Debian 12 with Go and root.
//
//	go run ./test/run [-otlp HOST:PORT] [-where auto|host|vm] [-kernel 6.12]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/beesting-otel/beesting/test/runtime/parts"
	"github.com/beesting-otel/beesting/test/runtime/place"
)

const timeout = 5 * time.Minute // of the scenario, without what is built before

type options struct {
	where, kernel, otlp string
}

func main() {
	var o options
	flag.StringVar(&o.where, "where", place.Auto, "where it runs: auto, host or vm")
	flag.StringVar(&o.kernel, "kernel", "6.12", "Debian kernel of the VM")
	flag.StringVar(&o.otlp, "otlp", "", "send the access to this OTLP end point too, HOST:PORT (4318 speaks HTTP, any other port gRPC)")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "run: takes no arguments, only flags; see -help")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := &steps{begin: time.Now()}
	if err := run(ctx, o, s); err != nil {
		s.say("FAILED: " + err.Error())
		stop()
		os.Exit(1)
	}
	s.say("done")
}

func run(ctx context.Context, o options, s *steps) error {
	cache, err := parts.CacheDir(os.Getenv)
	if err != nil {
		return err
	}
	module, err := moduleRoot()
	if err != nil {
		return err
	}
	env, err := otlpEnv(o.otlp)
	if err != nil {
		return err
	}
	m := parts.New(cache, module, s.say)
	where, why, err := place.ChooseSensor(o.where, o.kernel)
	if err != nil {
		return err
	}
	s.say("this will run " + why)

	bin := filepath.Join(cache, "run")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	prepared := make(chan error, 1)
	go func() { prepared <- where.Prepare(ctx, m, s.say) }()
	bundle, err := build(ctx, m, bin, s)
	if err != nil {
		cancel()
		return errors.Join(err, ignoreCanceled(<-prepared))
	}
	if err := <-prepared; err != nil {
		return err
	}
	return fly(ctx, m, where, bundle, bin, env, s)
}

func build(ctx context.Context, m *parts.Maker, bin string, s *steps) (parts.Bundle, error) {
	s.say("building beesting")
	if err := m.Build(ctx, bin, "./cmd/beesting", "./test/run/flight"); err != nil {
		return "", err
	}
	return m.Bundle(ctx, parts.Containerd)
}

// ignoreCanceled drops the error of what was told to stop.
func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// fly runs the scenario and turns its exit code into an error.
func fly(ctx context.Context, m *parts.Maker, where place.Place, bundle parts.Bundle, bin string, env []string, s *steps) error {
	if where.VM {
		env = guestEnv(env)
	}
	code, err := where.Run(ctx, m, place.Job{
		Bundle:   bundle,
		Programs: map[string]string{"beesting": filepath.Join(bin, "beesting"), "flight": filepath.Join(bin, "flight")},
		Commands: func(bin, bundle string) [][]string {
			return [][]string{{"flight", "-bundle", bundle, "-beesting", filepath.Join(bin, "beesting")}}
		},
		Env:     env,
		Net:     len(env) > 0,
		Timeout: timeout,
		Stdout:  os.Stdout,
		Stderr:  s,
		Log:     s.say,
	})
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if err == nil && code != 0 {
		err = fmt.Errorf("the scenario ended with exit code %d; what went wrong stands above", code)
	}
	return err
}

// moduleRoot is the directory of this module's go.mod, at or above the working
// directory.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "cmd", "beesting")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("not inside beesting's source tree")
		}
	}
}

// steps writes short lines with the time since the start. What the scenario
// says on its standard error are steps too.
type steps struct {
	begin time.Time

	mu      sync.Mutex
	partial []byte
}

func (s *steps) say(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.print(line)
}

func (s *steps) print(line string) {
	fmt.Fprintf(os.Stderr, "[%4.0fs] %s\n", time.Since(s.begin).Seconds(), line)
}

// Write implements io.Writer.
func (s *steps) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range b {
		if c != '\n' {
			s.partial = append(s.partial, c)
			continue
		}
		s.print(string(s.partial))
		s.partial = s.partial[:0]
	}
	return len(b), nil
}
