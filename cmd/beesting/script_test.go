//go:build !vmtest

package main

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/beesting-otel/beesting/internal/state"
)

// The scripts need neither root nor a kernel that lets programs attach. What
// does is tested in a VM.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("BELL", "x\ay")
			e.Values[heldKey{}] = new([]*os.File)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exec-code": execCode, "hold": hold, "release": release,
		},
	})
}

// execCode is exec for a command that has to end with a certain code.
func execCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exec-code CODE COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// heldKey is where a script keeps the locks that it holds.
type heldKey struct{}

// hold locks files as an agent does that runs.
func hold(ts *testscript.TestScript, neg bool, args []string) {
	held, ok := ts.Value(heldKey{}).(*[]*os.File)
	if neg || !ok || len(args) == 0 {
		ts.Fatalf("usage: hold FILE...")
	}
	ts.Defer(func() { release(ts, false, nil) })
	for _, name := range args {
		f, err := state.Lock(ts.MkAbs(name))
		ts.Check(err)
		*held = append(*held, f)
	}
}

// release lets go of what hold has.
func release(ts *testscript.TestScript, neg bool, args []string) {
	held, ok := ts.Value(heldKey{}).(*[]*os.File)
	if neg || !ok || len(args) > 0 {
		ts.Fatalf("usage: release")
	}
	for _, f := range *held {
		ts.Check(f.Close())
	}
	*held = nil
}
