package image

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestFirstOpensItsArgument(t *testing.T) {
	b, err := First("amd64")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	prog := filepath.Join(dir, "first")
	if err := os.WriteFile(prog, b, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command(prog, prog).Run(); err != nil {
		t.Errorf("open of an existing file: %v", err)
	}
	var exit *exec.ExitError
	if err := exec.Command(prog, filepath.Join(dir, "absent")).Run(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("open of an absent file: %v, want exit status 1", err)
	}
}
