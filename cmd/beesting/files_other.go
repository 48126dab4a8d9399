//go:build !linux

package main

import (
	"errors"
	"io/fs"
	"os"
)

func openPath(string) (*os.File, error) { return nil, errors.ErrUnsupported }

func identity(fs.FileInfo) (string, error) { return "", errors.ErrUnsupported }
