package exporter

import (
	"fmt"
	"slices"
	"strings"

	"github.com/beesting-otel/beesting"
)

// ArgsMode says what becomes of process.command_args. The conventions want it
// collected by default only where sensitive data is taken out.
type ArgsMode string

// The modes.
const (
	// ArgsRedacted replaces what looks like a secret. It is the default.
	ArgsRedacted ArgsMode = "redacted"
	// ArgsFull tells the arguments as they are.
	ArgsFull ArgsMode = "full"
	// ArgsOff leaves the attribute out.
	ArgsOff ArgsMode = "off"
)

// ParseArgsMode reads a mode; the empty string is ArgsRedacted.
func ParseArgsMode(s string) (ArgsMode, error) {
	switch m := ArgsMode(s); m {
	case "":
		return ArgsRedacted, nil
	case ArgsRedacted, ArgsFull, ArgsOff:
		return m, nil
	default:
		return "", fmt.Errorf("mode of process arguments %q: must be %q, %q or %q", s, ArgsRedacted, ArgsFull, ArgsOff)
	}
}

// The bounds of process.command_args, in elements and bytes. The kernel side
// takes 1024 bytes; the bounds hold for any source. maxArgsIn limits what the
// sanitiser looks at.
const (
	maxArgs      = 128
	maxArgBytes  = 1024
	maxArgsBytes = 8192
	maxArgsIn    = 65536
)

// redacted stands where a secret was.
const redacted = "[redacted]"

// sanitisedArgs is what may be told of an argument vector.
type sanitisedArgs struct {
	args                []string
	redacted, truncated bool
}

// sanitiseArgs applies mode and the bounds. atEnd says that args was cut off
// at the end already. args is not changed.
func sanitiseArgs(args []string, mode ArgsMode, atEnd bool) sanitisedArgs {
	if mode == ArgsOff || len(args) == 0 {
		return sanitisedArgs{}
	}
	args, cutHere := headOf(args, maxArgsIn)
	out := sanitisedArgs{args: args, truncated: atEnd || cutHere}
	if mode != ArgsFull {
		// Before the bounds: a secret cut in the middle is hard to recognise.
		out.args = redact(args, out.truncated)
	}
	// Also what was redacted before it went into a journal.
	out.redacted = slices.ContainsFunc(out.args, func(s string) bool { return strings.Contains(s, redacted) })
	bounded, short := boundArgs(out.args)
	out.args, out.truncated = bounded, out.truncated || short
	return out
}

// atRest is the access as it may lie on a disk: what isn't told of its arguments
// isn't there either.
func (m ArgsMode) atRest(a *beesting.Access) *beesting.Access {
	if m == ArgsFull || len(a.Process.Args) == 0 {
		return a
	}
	kept := *a
	if m == ArgsOff {
		kept.Process.Args = nil
	} else {
		kept.Process.Args = redact(a.Process.Args, a.Process.ArgsTruncated)
	}
	return &kept
}

// headOf takes whole elements while they fit into limit bytes, and the head
// of the first that doesn't.
func headOf(args []string, limit int) ([]string, bool) {
	size := 0
	for i, arg := range args {
		size += len(arg) + 1
		if size > limit {
			head := slices.Clone(args[:i+1])
			head[i] = strings.Clone(arg[:max(len(arg)-(size-limit), 0)])
			return head, true
		}
	}
	return args, false
}

// boundArgs applies the bounds of the attribute.
func boundArgs(args []string) (out []string, short bool) {
	size := 0
	for _, arg := range args {
		b := bounded(arg, maxArgBytes)
		size += len(b)
		if len(out) == maxArgs || size > maxArgsBytes {
			return out, true
		}
		short = short || len(b) < len(arg)
		out = append(out, b)
	}
	return out, short
}
