//go:build !linux

package hook

import (
	"context"
	"errors"
	"fmt"
)

// Program is what there is on Linux only.
type Program struct{}

// Path is empty.
func (*Program) Path() string { return "" }

// Close does nothing.
func (*Program) Close() error { return nil }

// Unpack returns an error that is errors.ErrUnsupported.
func Unpack(dir, _ string) (*Program, error) {
	return nil, fmt.Errorf("hook program in %s: %w", dir, errors.ErrUnsupported)
}

// Server is what there is on Linux only.
type Server struct{}

// Listen returns an error that is errors.ErrUnsupported.
func Listen(o Options) (*Server, error) {
	return nil, fmt.Errorf("hook socket %s: %w", o.Socket, errors.ErrUnsupported)
}

// Close does nothing.
func (*Server) Close() error { return nil }

// Serve returns errors.ErrUnsupported.
func (*Server) Serve(context.Context) error { return errors.ErrUnsupported }

// Expect returns an error that is errors.ErrUnsupported.
func (*Server) Expect(c Container, _ []File) (Ticket, error) {
	return Ticket{}, fmt.Errorf("hook for container %s: %w", c.ID, errors.ErrUnsupported)
}

// Withdraw does nothing.
func (*Server) Withdraw(string) {}

// Status is empty.
func (*Server) Status() Status { return Status{} }
