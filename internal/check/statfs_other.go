//go:build !linux

package check

import "errors"

func fileSystem(string) (string, error) { return "", errors.ErrUnsupported }
