package main

import "strings"

// mostLines bounds what is kept of one test's output, from its end.
const mostLines = 25

// failures keeps what `go test -v` prints by the test, so that what failed can be
// said again where all output ends.
type failures struct {
	current string
	lines   map[string][]string
	failed  []string // in the order of their verdicts: a test before those in it
}

func (f *failures) line(line string) {
	if f.lines == nil {
		f.lines = map[string][]string{}
	}
	words := strings.Fields(line)
	switch {
	case len(words) >= 3 && words[0] == "===":
		f.current = words[2]
	case len(words) >= 3 && words[0] == "---" && words[1] == "FAIL:":
		f.failed = append(f.failed, words[2])
	case len(words) >= 3 && words[0] == "---":
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
		out = append(out, "--- FAIL: "+name)
		out = append(out, f.lines[name]...)
		delete(f.lines, name)
	}
	if len(f.failed) == 0 {
		out = f.lines[f.current]
	}
	return out
}
