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
	batches = 400
	warmUp  = 40
	// A batch of execs is one, which takes as long as 20 to 100 of the others.
	execBatches = 600
	execWarmUp  = 100
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
	f, _, err := t.operation(op)
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
// nanoseconds are instructions. A process's end is put off at times, to be paid
// for by the next, so of execs the cheapest are no measure: a twentieth of them
// is left out.
func (t *toucher) cost(op string) (float64, error) {
	f, perBatch, err := t.operation(op)
	if err != nil {
		return 0, err
	}
	warm, all, leave := warmUp, warmUp+batches, 0
	if op == figure.Exec {
		warm, all, leave = execWarmUp, execWarmUp+execBatches, execBatches/20
	}
	took := make([]time.Duration, 0, all)
	for range all {
		start := time.Now()
		for k := range perBatch {
			if err := f(k); err != nil {
				return 0, err
			}
		}
		took = append(took, time.Since(start))
	}
	took = took[warm:]
	slices.Sort(took)
	return float64(took[leave].Nanoseconds()) / float64(perBatch), nil
}

// quiet keeps Go's runtime from doing anything while something is measured.
func quiet() {
	debug.SetGCPercent(-1)
	runtime.LockOSThread()
}
