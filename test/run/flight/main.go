// Command flight is the scenario of `make run`: it brings up containerd and the
// agent, runs two pods with tokens, reads one token and shows what the agent
// says. It runs as root where a program can attach, on a machine or in a VM.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/beesting-otel/beesting/test/runtime/ctd"
)

func main() {
	bundle := flag.String("bundle", "", "directory with containerd, runc and images")
	binary := flag.String("beesting", "", "the beesting executable")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, ctd.Bundle(*bundle), *binary)
	if err != nil {
		step("%v", err)
		stop()
		os.Exit(1)
	}
}

// run does it all and takes everything down again, whatever happens.
func run(ctx context.Context, bundle ctd.Bundle, binary string) (err error) {
	if _, err := ctd.Sweep("/tmp"); err != nil {
		return fmt.Errorf("remains of an earlier run: %w", err)
	}
	step("starting containerd")
	node, err := ctd.Start(ctx, bundle, "/tmp")
	if err != nil {
		return err
	}
	defer func() {
		step("cleaning up")
		err = errors.Join(err, node.Close())
	}()
	f := &flight{node: node, binary: binary, otlp: os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")}
	return f.fly(ctx)
}

// step tells what happens next. The driver puts the time before it.
func step(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
