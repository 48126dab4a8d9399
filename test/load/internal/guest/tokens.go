//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting"
)

// tokenPath is where the i-th token of a directory stands.
func tokenPath(dir string, i int) string { return filepath.Join(dir, fmt.Sprintf("token-%04d", i)) }

// makeTokens fills a new directory.
func makeTokens(dir string, n int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for i := range n {
		if err := os.WriteFile(tokenPath(dir, i), []byte("not a secret\n"), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func placementOf(dir string, i int) beesting.Placement {
	path := tokenPath(dir, i)
	return beesting.Placement{
		ID:    beesting.PlacementID(i + 1),
		Token: beesting.Token{Name: fmt.Sprintf("token-%04d", i), Path: path}, TokenID: fmt.Sprintf("%032x", i+1),
		HostPath: path,
	}
}

// openPath opens a file without touching it.
func openPath(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}
