//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// key is a process and a placement that it touches.
type key struct {
	pid       int
	placement uint64
}

// told is what an agent, or several in a row, wrote of what they were given.
type told struct {
	ready ready
	books *books
	// accesses are counted by process and placement.
	accesses map[key]uint64
	lines    uint64 // accesses
	touches  uint64 // for which they stand
	// ongoing are the opens whose end was to come; ends were seen, endsUnseen not.
	ongoing, ends, endsUnseen uint64

	gaps      map[string]uint64 // touches by cause
	classes   map[string]uint64 // accesses by actor class
	kinds     map[string]uint64
	malformed []string
}

func newTold() *told {
	return &told{
		accesses: map[key]uint64{}, gaps: map[string]uint64{}, classes: map[string]uint64{}, kinds: map[string]uint64{},
	}
}

// read takes an agent's lines until they end. It closes isReady at the line that
// says so.
func (t *told) read(r io.Reader, isReady chan<- struct{}) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if err := t.take(line); err != nil && len(t.malformed) < 5 {
			t.malformed = append(t.malformed, fmt.Sprintf("%q: %v", line, err))
		}
		if strings.HasPrefix(line, string(lineReady)) {
			close(isReady)
		}
	}
}

func (t *told) take(line string) error {
	rest := ""
	if len(line) > 2 {
		rest = line[2:]
	}
	switch {
	case line == "":
		return nil
	case line[0] == lineReady:
		return json.Unmarshal([]byte(rest), &t.ready)
	case line[0] == lineBooks:
		t.books = &books{}
		return json.Unmarshal([]byte(rest), t.books)
	case line[0] == lineEnd:
		if strings.HasSuffix(line, "true") {
			t.ends++
		} else {
			t.endsUnseen++
		}
		return nil
	case line[0] == lineGap:
		return t.gap(strings.Fields(rest))
	case line[0] == lineAccess:
		return t.access(strings.Fields(rest))
	}
	return errors.New("unknown line")
}

func (t *told) gap(fields []string) error {
	if len(fields) != 4 {
		return errors.New("want 4 fields")
	}
	count, err := strconv.ParseUint(fields[2], 10, 64)
	t.gaps[fields[3]] += count
	return err
}

func (t *told) access(fields []string) error {
	if len(fields) != 6 {
		return errors.New("want 6 fields")
	}
	pid, errPID := strconv.Atoi(fields[0])
	placement, errPlacement := strconv.ParseUint(fields[1], 10, 64)
	count, errCount := strconv.ParseUint(fields[4], 10, 64)
	if err := errors.Join(errPID, errPlacement, errCount); err != nil {
		return err
	}
	t.accesses[key{pid, placement}]++
	t.lines++
	t.touches += count
	t.kinds[fields[2]]++
	t.classes[fields[3]]++
	if fields[5] == "true" {
		t.ongoing++
	}
	return nil
}

// missing is the sum of all gaps.
func (t *told) missing() uint64 {
	var sum uint64
	for _, n := range t.gaps {
		sum += n
	}
	return sum
}
