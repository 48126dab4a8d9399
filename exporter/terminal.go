package exporter

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// word makes s safe to show as one word on a terminal. What prints and holds
// no space, quote or backslash stays as it is; everything else is quoted as a
// Go string, which turns control characters, terminal escapes (C0 and C1),
// bidirectional overrides, invisible characters and invalid UTF-8 into visible
// escapes. The result is unambiguous: strconv.Unquote gives the bytes back.
func word(s string) string {
	if s != "" && !strings.ContainsAny(s, " \"'`\\") && printable(s) {
		return s
	}
	return strconv.Quote(s)
}

// words makes a list safe to show, with spaces in between.
func words(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = word(s)
	}
	return strings.Join(out, " ")
}

// printable reports whether s is valid UTF-8 and strconv.Quote would leave all
// of it alone.
func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !strconv.IsPrint(r) {
			return false
		}
	}
	return true
}
