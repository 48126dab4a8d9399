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

// makeTokens fills a new directory and puts a read-only mount over it: that is
// how planted tokens stand in containers, and only there ends of opens are told.
func makeTokens(dir string, n int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for i := range n {
		if err := os.WriteFile(tokenPath(dir, i), []byte("not a secret\n"), 0o644); err != nil {
			return err
		}
	}
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind mount: %w", err)
	}
	if err := unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("read-only mount: %w", err)
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
