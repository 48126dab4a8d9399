package parts

import (
	"bytes"
	"strings"
)

// Lines passes whole lines of what is written to it on to a function. It is for
// one goroutine, as the output of a command is.
type Lines struct {
	log     func(string)
	partial []byte
}

// NewLines returns a writer that calls log for each line that is not blank.
func NewLines(log func(string)) *Lines { return &Lines{log: log} }

// Write implements io.Writer.
func (l *Lines) Write(b []byte) (int, error) {
	l.partial = append(l.partial, b...)
	for {
		line, rest, ok := bytes.Cut(l.partial, []byte{'\n'})
		if !ok {
			return len(b), nil
		}
		if s := strings.TrimRight(string(line), " \t\r"); s != "" {
			l.log(s)
		}
		l.partial = append([]byte(nil), rest...)
	}
}
