//go:build !linux

package rootfs

import (
	"errors"
	"fmt"
	"os"
)

// Open returns an error that is errors.ErrUnsupported: there is no openat2.
func Open(dir string) (*Root, error) {
	return nil, fmt.Errorf("root directory %s: %w", dir, errors.ErrUnsupported)
}

// Lookup returns an error that is errors.ErrUnsupported.
func (*Root) Lookup(name string) (*os.File, error) {
	return nil, fmt.Errorf("look up %s: %w", name, errors.ErrUnsupported)
}

// Remove returns an error that is errors.ErrUnsupported.
func (*Root) Remove(name string) error {
	return fmt.Errorf("remove %s: %w", name, errors.ErrUnsupported)
}
