//go:build !linux

package state

import (
	"errors"
	"os"
)

// Lock returns errors.ErrUnsupported.
func Lock(path string) (*os.File, error) { return lock(path, os.O_RDONLY) }

func lock(string, int) (*os.File, error) { return nil, errors.ErrUnsupported }
