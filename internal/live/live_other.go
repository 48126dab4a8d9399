//go:build !linux

package live

import (
	"errors"
	"fmt"
	"os"
)

// Attach is for Linux.
func Attach(Process, *os.File, string, Options) (Attached, error) {
	return Attached{}, fmt.Errorf("attach to a mount namespace: %w", errors.ErrUnsupported)
}

// Detach is for Linux.
func Detach(Process, string, Attached) error {
	return fmt.Errorf("detach from a mount namespace: %w", errors.ErrUnsupported)
}

// HostIDs is for Linux.
func HostIDs(Process, uint32, uint32) (uint32, uint32, error) {
	return 0, 0, fmt.Errorf("ids of a user namespace: %w", errors.ErrUnsupported)
}
