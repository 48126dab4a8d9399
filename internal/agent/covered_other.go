//go:build !linux

package agent

import (
	"errors"
	"fmt"

	"github.com/beesting-otel/beesting/internal/proc"
	"github.com/beesting-otel/beesting/internal/rootfs"
)

func bareRoot(proc.FS, int) (*rootfs.Root, error) {
	return nil, fmt.Errorf("copy root mount: %w", errors.ErrUnsupported)
}
