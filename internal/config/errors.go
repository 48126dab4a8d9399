package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxProblems bounds what one bad file makes us print.
const maxProblems = 20

// Problem is one mistake in a configuration file.
type Problem struct {
	File string
	Line int // from 1
	Text string
}

// String gives the form that editors and terminals make clickable.
func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text) }

// Error lists what is wrong with a configuration, in the order of the lines.
type Error struct {
	Problems []Problem
	// More is how many problems were left out of the list.
	More int
}

// Error gives one line for each problem.
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	for _, p := range e.Problems {
		lines = append(lines, p.String())
	}
	if e.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d more mistakes in the configuration", e.More))
	}
	return strings.Join(lines, "\n")
}

func (p *parser) fail(n *yaml.Node, format string, args ...any) {
	p.failAt(n.Line, format, args...)
}

func (p *parser) failAt(line int, format string, args ...any) {
	p.problems = append(p.problems, Problem{File: p.file, Line: max(line, 1), Text: oneLine(fmt.Sprintf(format, args...))})
}

// oneLine keeps a message on its line whatever was quoted into it.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), " ")
}

func (p *parser) err() error {
	if len(p.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(p.problems, func(a, b Problem) int { return a.Line - b.Line })
	e := &Error{Problems: p.problems}
	if len(e.Problems) > maxProblems {
		e.More = len(e.Problems) - maxProblems
		e.Problems = e.Problems[:maxProblems]
	}
	return e
}

// syntax reports what the YAML library found. It stops at the first error.
func (p *parser) syntax(err error) {
	var le *yaml.LoadError
	if !errors.As(err, &le) {
		p.failAt(1, "%v", strings.TrimPrefix(err.Error(), "yaml: "))
		return
	}
	context := ""
	if le.ContextMsg != "" && le.ContextMark.Line > 0 && le.ContextMark.Line != le.Mark.Line {
		context = fmt.Sprintf(" (%s that starts at line %d)", le.ContextMsg, le.ContextMark.Line)
	}
	p.failAt(le.Mark.Line, "not valid YAML: %s%s", le.Message, context)
}
