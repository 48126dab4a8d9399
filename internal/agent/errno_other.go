//go:build !linux

package agent

import "fmt"

// errorType gives the number: the events' errors are Linux'.
func errorType(errno uint16) string { return fmt.Sprintf("errno %d", errno) }
