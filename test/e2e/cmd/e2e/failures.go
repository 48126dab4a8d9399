package main

import (
	"fmt"
	"strings"
)

// mostLines bounds what is kept of one test's output, from its end.
const mostLines = 25

// failures keeps what `go test -v` prints by the test, so that what failed can be
// said again where all output ends.
type failures struct {
	current string
	lines   map[string][]string
	failed  []string // in the order of their ends: the innermost come first
}

func (f *failures) line(line string) {
	if f.lines == nil {
		f.lines = map[string][]string{}
	}
	marker, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	name, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	switch {
	case marker == "===":
		_, f.current, _ = strings.Cut(strings.TrimSpace(rest), " ")
		f.current = strings.TrimSpace(f.current)
	case marker == "---" && name == "FAIL:":
		_, name, _ = strings.Cut(rest, " ")
		name, _, _ = strings.Cut(name, " ")
		f.failed = append(f.failed, name)
	case marker == "---":
	default:
		kept := append(f.lines[f.current], line)
		f.lines[f.current] = kept[max(0, len(kept)-mostLines):]
	}
}

// report has the tests that failed, each with the end of its output; without any,
// the end of the output, which says why it ended.
func (f *failures) report() []string {
	var out []string
	for _, name := range f.failed {
		out = append(out, fmt.Sprintf("--- FAIL: %s", name))
		out = append(out, f.lines[name]...)
		delete(f.lines, name)
	}
	if len(f.failed) == 0 {
		out = f.lines[f.current]
	}
	return out
}
