package main

import (
	"fmt"
	"os"
	"strings"
)

// The marks around the figures in a document.
const (
	beginMark = "<!-- bench: begin -->\n"
	endMark   = "<!-- bench: end -->\n"
)

// section begins what a document has of one kernel.
const section = "### Linux "

// figuresIn returns a document in its three parts, the figures without marks.
func figuresIn(path string) (before, figures, after string, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", "", "", err
	}
	before, rest, ok := strings.Cut(string(raw), beginMark)
	figures, after, ok2 := strings.Cut(rest, endMark)
	if !ok || !ok2 {
		return "", "", "", fmt.Errorf("%s: no lines %q and %q", path, strings.TrimSpace(beginMark), strings.TrimSpace(endMark))
	}
	return before, figures, after, nil
}

// replaceIn puts new figures between the marks of a document.
func replaceIn(path, figures string) error {
	before, _, after, err := figuresIn(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(before+beginMark+"\n"+figures+endMark+after), 0o644)
}

// mergeInto puts the kernels' sections between the marks of a document, each in
// the place of the one that was there of the same kernel. The others stay, with
// the date that they bear.
func mergeInto(path, figures string) error {
	_, old, _, err := figuresIn(path)
	if err != nil {
		return err
	}
	now := sections(figures)
	var merged []string
	for _, s := range sections(old) {
		for i, n := range now {
			if heading(n) == heading(s) {
				s = n
				now = append(now[:i:i], now[i+1:]...)
				break
			}
		}
		merged = append(merged, s)
	}
	return replaceIn(path, strings.Join(append(merged, now...), ""))
}

// sections splits figures at the kernels; what is before the first is dropped.
func sections(figures string) []string {
	parts := strings.Split("\n"+figures, "\n"+section)
	var all []string
	for _, p := range parts[1:] {
		all = append(all, section+strings.TrimRight(p, "\n")+"\n\n")
	}
	return all
}

func heading(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
