// Command stack is behind `make stack`: Loki, Prometheus and Jaeger as they are
// released, fed through the Collector of builder-config.yaml by an agent that sees
// a scripted break-in. All of it runs on this machine's loopback, as root, until it
// is told to go.
//
//	go run ./test/stack up      builds what is missing, brings it up, plays the incident
//	go run ./test/stack status  where it is
//	go run ./test/stack down
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: stack up|down|status")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "stack:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, command string) error {
	l, err := newLayout(os.Getenv)
	if err != nil {
		return err
	}
	switch command {
	case "up":
		return up(ctx, l)
	case "serve": // what up leaves behind
		return serve(ctx, l)
	case "down":
		return down(l)
	case "state": // the file, for tests
		fmt.Println(l.run("state.json"))
		return nil
	case "status":
		s, err := l.read()
		if err != nil {
			return err
		}
		s.print(os.Stdout)
		return nil
	default:
		return errors.New("no such command: " + command)
	}
}
