//go:build !linux

package control

import (
	"errors"
	"net"
	"os"
)

func peerUID(net.Conn) (uint32, error) { return 0, errors.ErrUnsupported }

func tryLock(*os.File) error { return errors.ErrUnsupported }
