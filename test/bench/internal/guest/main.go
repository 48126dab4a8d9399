//go:build linux && (amd64 || arm64)

// Command guest is the part of the benchmark that runs in the VM. It brings one
// way of watching after the other into force and lets a child process count what
// operations on files cost that nobody watches. It prints one JSON object per
// figure. Without -icount its instructions mean nothing.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	case len(args) > 1 && args[0] == "between":
		return between(args[1:])
	case len(args) > 2 && args[0] == "measure":
		return measure(args[1], args[2:]...)
	case len(args) == 4 && args[0] == "repeat":
		return repeat(args[1], args[2], args[3])
	case len(args) == 2 && (args[0] == "touch" || args[0] == "hold"):
		return touch(args[1], args[0] == "hold")
	case len(args) == 2 && args[0] == "boot":
		d, err := newDriver()
		if err != nil {
			return err
		}
		return d.boot(args[1])
	}
	return fmt.Errorf("arguments %q", args)
}

// touch opens a file, and holds it until standard input ends.
func touch(path string, hold bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	if hold {
		fmt.Println("open")
		if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

// report prints one figure.
func report(f figure.Figure) error {
	return json.NewEncoder(os.Stdout).Encode(f)
}
