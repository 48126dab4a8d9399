//go:build !linux

package state

import (
	"errors"
	"os"
)

// Lock returns errors.ErrUnsupported.
func Lock(path string) (*os.File, error) { return lock(path, os.O_RDONLY) }

// LockFile returns errors.ErrUnsupported.
func LockFile(path string) (*os.File, error) { return lock(path, os.O_RDONLY|os.O_CREATE) }

func lock(string, int) (*os.File, error) { return nil, errors.ErrUnsupported }
