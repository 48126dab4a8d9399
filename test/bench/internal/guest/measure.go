//go:build linux && (amd64 || arm64)

package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/beesting-otel/beesting/test/bench/internal/figure"
)

const (
	// touchedFiles are used in turn: with one only, the figure would depend on
	// whether its inode shares a hash bucket with a watched one.
	touchedFiles = 16
	// batches are short, so that most of them end before the next timer tick, and
	// many, so that the least of them had neither a tick nor a cold path.
	batches = 200
	warmUp  = 40
	// An exec is the difference between chains of them, divided by their lengths'.
	// The long one takes about a millisecond, so that most of them see no timer
	// tick either (CONFIG_HZ=250).
	execs      = 8
	execWarmUp = 10
	execChains = 100
)

// measure prints the instructions of one operation on files in dir, for each of
// the operations.
//
// The system calls are made without the Go scheduler taking part (RawSyscall),
// on one thread, with the garbage collector off. What the loop itself costs is
// in every figure and so in no difference between two.
func measure(dir string, ops ...string) error {
	t, err := newToucher(dir)
	if err != nil {
		return err
	}
	cost := map[string]float64{}
	for _, op := range ops {
		n, err := t.cost(op)
		if err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
		cost[op] = n
	}
	return json.NewEncoder(os.Stdout).Encode(cost)
}

// repeat makes an operation so many times.
func repeat(dir, op, times string) error {
	n, err := strconv.Atoi(times)
	if err != nil {
		return err
	}
	t, err := newToucher(dir)
	if err != nil {
		return err
	}
	switch op {
	case figure.Exec: // all by one process
		return t.chain(n)
	case figure.Process:
		for range n {
			if err := t.chain(1); err != nil {
				return err
			}
		}
		return nil
	}
	f, err := t.operation(op)
	if err != nil {
		return err
	}
	for i := range n {
		if err := f(i % touchedFiles); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
	}
	return nil
}

// cost is that of one operation in the cheapest batch: under -icount,
// nanoseconds are instructions.
func (t *toucher) cost(op string) (float64, error) {
	switch op {
	case figure.Process:
		n, err := least(execWarmUp, execChains, func() error { return t.chain(1) })
		return float64(n), err
	case figure.Exec:
		// What a process takes beside its execs is in both, and not in the figure.
		short, err := least(execWarmUp, execChains, func() error { return t.chain(1) })
		if err != nil {
			return 0, err
		}
		long, err := least(execWarmUp, execChains, func() error { return t.chain(1 + execs) })
		return float64(long-short) / execs, err
	}
	f, err := t.operation(op)
	if err != nil {
		return 0, err
	}
	n, err := least(warmUp, batches, func() error {
		for k := range touchedFiles {
			if err := f(k); err != nil {
				return err
			}
		}
		return nil
	})
	return float64(n) / touchedFiles, err
}

// least is what the cheapest of so many calls takes in nanoseconds, after some
// that don't count.
func least(warm, times int, f func() error) (int64, error) {
	best := int64(math.MaxInt64)
	for i := range warm + times {
		start := time.Now()
		if err := f(); err != nil {
			return 0, err
		}
		if took := time.Since(start).Nanoseconds(); i >= warm {
			best = min(best, took)
		}
	}
	return best, nil
}

// quiet keeps Go's runtime from doing anything while something is measured.
func quiet() {
	debug.SetGCPercent(-1)
	runtime.LockOSThread()
}
