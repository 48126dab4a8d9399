//go:build linux && (amd64 || arm64)

// Command guest is the part of the benchmark that runs in the VM. It brings one
// way of watching after the other into force and lets a child process count what
// an open and close of a file costs that nobody watches. It prints one JSON
// object per figure. Without -icount its figures mean nothing.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/beesting-otel/beesting/test/bench/internal/figure"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "measure":
		return measure(args[1])
	case len(args) == 2 && args[0] == "touch":
		f, err := os.Open(args[1])
		if err != nil {
			return err
		}
		return f.Close()
	case len(args) == 2 && args[0] == "boot":
		d, err := newDriver()
		if err != nil {
			return err
		}
		return d.boot(args[1])
	}
	return fmt.Errorf("arguments %q", args)
}

// report prints one figure.
func report(f figure.Figure) error {
	return json.NewEncoder(os.Stdout).Encode(f)
}
