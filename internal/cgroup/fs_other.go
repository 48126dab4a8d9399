//go:build !linux

package cgroup

import "errors"

// FS can't be had on this platform.
type FS struct{}

// Open returns an error that is errors.ErrUnsupported.
func Open(string) (*FS, error) { return nil, errors.ErrUnsupported }

// Close does nothing.
func (*FS) Close() error { return nil }

// ID returns an error that is errors.ErrUnsupported.
func (*FS) ID(string) (uint64, error) { return 0, errors.ErrUnsupported }

// Path returns an error that is errors.ErrUnsupported.
func (*FS) Path(uint64) (string, error) { return "", errors.ErrUnsupported }

// PodContainers returns an error that is errors.ErrUnsupported.
func (*FS) PodContainers() (map[string]string, error) { return nil, errors.ErrUnsupported }

// FirstProcess returns an error that is errors.ErrUnsupported.
func (*FS) FirstProcess(string) (int, error) { return 0, errors.ErrUnsupported }
