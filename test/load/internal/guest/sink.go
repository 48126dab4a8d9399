//go:build linux

package main

import (
	"context"
	"fmt"
	"os"

	"github.com/beesting-otel/beesting"
)

// sink writes a line for everything it is given, at once: what is told must not
// die with the process. Whoever reads the lines has to keep up.
type sink struct{}

// Deliver implements agent.Sink, as all below.
func (*sink) Deliver(_ context.Context, a beesting.Access) error {
	_, err := fmt.Fprintf(os.Stdout, "%c %d %d %s %s %d %t\n",
		lineAccess, a.Process.PID, a.Placement.ID, a.Kind, a.Actor, a.Count, a.Ongoing)
	return err
}

// End tells of the end of an open.
func (*sink) End(_ context.Context, a beesting.Access) error {
	_, err := fmt.Fprintf(os.Stdout, "%c %d %d %t\n", lineEnd, a.Process.PID, a.Placement.ID, !a.EndTime.IsZero())
	return err
}

// Gap tells of touches that are lost.
func (*sink) Gap(_ context.Context, g beesting.Gap) error {
	_, err := fmt.Fprintf(os.Stdout, "%c %d %s %d %s\n", lineGap, g.Placement.ID, g.Kind, g.Count, g.Cause)
	return err
}
