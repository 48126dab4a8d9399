//go:build linux && (amd64 || arm64)

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestChainGoesToTheEnd: a chain that ended early would make an exec cheap.
func TestChainGoesToTheEnd(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, chainProgram(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command(program).Run(); err != nil {
		t.Errorf("one program: %v", err)
	}
	if err := exec.Command(program, program, program, program).Run(); err != nil {
		t.Errorf("a chain of four: %v", err)
	}
	// The last is not there: who gets as far as that can't execute it.
	var exit *exec.ExitError
	if err := exec.Command(program, program, program, program+"x").Run(); !errors.As(err, &exit) || exit.ExitCode() == 0 {
		t.Errorf("a chain whose last program is missing: %v", err)
	}
}
