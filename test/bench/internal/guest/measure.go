//go:build linux && (amd64 || arm64)

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
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
	batches = 100
	warmUp  = 20
	// An exec is the difference between two chains of them, divided by their
	// lengths'. The long one takes one and a half milliseconds, so that most of
	// them see no timer tick either (CONFIG_HZ=250).
	execs      = 8
	execWarmUp = 5
	execChains = 60
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

// cost is that of one operation: under -icount, nanoseconds are instructions.
func (t *toucher) cost(op string) (float64, error) {
	switch op {
	case figure.Process:
		n, err := t.chains(1)
		return float64(n), err
	case figure.Exec:
		// What a process takes beside its execs is in both, and not in the figure.
		short, err := t.chains(1)
		if err != nil {
			return 0, err
		}
		long, err := t.chains(1 + execs)
		return float64(long-short) / execs, err
	}
	f, err := t.operation(op)
	if err != nil {
		return 0, err
	}
	took, err := times(warmUp, batches, func() error {
		for k := range touchedFiles {
			if err := f(k); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return float64(took[0]) / touchedFiles, nil
}

// chains is what a process takes that executes n programs: more than the cheapest
// tenth of many. A process's end is put off at times, to be paid for by the next,
// so that the cheapest, some 5,000 instructions below all others, are no measure.
func (t *toucher) chains(n int) (int64, error) {
	took, err := times(execWarmUp, execChains, func() error { return t.chain(n) })
	if err != nil {
		return 0, err
	}
	return took[len(took)/10], nil
}

// times is how long each of so many calls takes in nanoseconds, sorted, without
// some before them.
func times(warm, n int, f func() error) ([]int64, error) {
	var took []int64
	for range warm + n {
		start := time.Now()
		if err := f(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start).Nanoseconds())
	}
	took = took[warm:]
	slices.Sort(took)
	return took, nil
}

// quiet keeps Go's runtime from doing anything while something is measured.
func quiet() {
	debug.SetGCPercent(-1)
	runtime.LockOSThread()
}
