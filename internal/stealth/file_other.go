//go:build !linux

package stealth

import (
	"errors"
	"os"
)

func lookAt(*os.File) (file, error) { return file{}, errors.ErrUnsupported }

func lookAtName(*os.File, string) (file, error) { return file{}, errors.ErrUnsupported }
