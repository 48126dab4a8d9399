//go:build !linux

package state

import (
	"errors"
	"os"
)

// Lock returns errors.ErrUnsupported.
func Lock(string) (*os.File, error) { return nil, errors.ErrUnsupported }
