package main

import (
	"slices"
	"strings"
	"testing"
)

func TestFailures(t *testing.T) {
	var f failures
	for line := range strings.Lines(`=== RUN   TestA
    a_test.go:1: begins
=== RUN   TestA/One
    a_test.go:2: fine
=== RUN   TestA/Two
    a_test.go:3: bad
--- FAIL: TestA (1.00s)
    --- PASS: TestA/One (0.50s)
    --- FAIL: TestA/Two (0.50s)
FAIL
`) {
		f.line(strings.TrimSuffix(line, "\n"))
	}
	want := []string{"--- FAIL: TestA", "    a_test.go:1: begins", "--- FAIL: TestA/Two", "    a_test.go:3: bad", "FAIL"}
	if got := f.report(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// A test that never ended has no verdict.
func TestFailuresOfACrash(t *testing.T) {
	var f failures
	for range 2 * mostLines {
		f.line("goroutine 1 [running]:")
	}
	f.line("panic: test timed out")
	if got := f.report(); len(got) != mostLines || got[mostLines-1] != "panic: test timed out" {
		t.Errorf("%d lines: %q", len(got), got)
	}
}
