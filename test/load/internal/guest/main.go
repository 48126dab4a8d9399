//go:build linux

// Command guest is the part of the load test that runs in the VM: the scenarios,
// the agent's core with a sink that writes down what it is given, and the
// processes that touch.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("no subcommand")
	}
	switch rest := args[1:]; args[0] {
	case "all":
		return all(rest)
	case "agent":
		return agentMain(rest)
	case "hammer":
		return hammer(rest)
	case "walk":
		return walk(rest)
	}
	return fmt.Errorf("subcommand %q", args[0])
}

// settings are those of the whole run.
type settings struct {
	mode      string
	duration  time.Duration
	processes int
}

// scenario is one thing to try; it returns what doesn't hold.
type scenario struct {
	name string
	run  func(settings) error
}

func all(args []string) error {
	var s settings
	flags := flag.NewFlagSet("all", flag.ContinueOnError)
	flags.StringVar(&s.mode, "mode", "auto", "")
	seconds := flags.Int("seconds", 30, "")
	flags.IntVar(&s.processes, "processes", 8, "")
	only := flags.String("run", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s.duration = time.Duration(*seconds) * time.Second
	match, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	scenarios := []scenario{
		{"flood/1", func(s settings) error { return flood(s, 1, false) }},
		{"flood/1000", func(s settings) error { return flood(s, 1000, false) }},
		{"kill/1", func(s settings) error { return flood(s, 1, true) }},
		{"kill/1000", func(s settings) error { return flood(s, 1000, true) }},
		{"lifecycles", lifecycles},
		{"walk", treeWalk},
	}
	ran, bad := 0, 0
	for _, sc := range scenarios {
		if !match.MatchString(sc.name) {
			continue
		}
		ran++
		fmt.Printf("\n=== %s\n", sc.name)
		if err := sc.run(s); err != nil {
			bad++
			fmt.Printf("FAIL %s: %v\n", sc.name, err)
			continue
		}
		fmt.Printf("ok   %s\n", sc.name)
	}
	switch {
	case ran == 0:
		return fmt.Errorf("no scenario matches %q", *only)
	case bad > 0:
		return fmt.Errorf("%d of %d scenarios failed", bad, ran)
	}
	return nil
}
