// Package cases holds what the conformance suite's two halves, the command on
// the host and the harness in the guest, say to each other: the cases as the
// toucher lists them, what is expected of a sensor, and the cells.
package cases

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Case is one way to touch a file; see touch/touch.h for the fields.
type Case struct {
	Name, Group, What string
	Kinds, Overlay    string
	Before            string
	Old, OldOverlay   string
	Fanotify, LSM     *string
	FanotifySince     string
	Kprobe            *string
	KprobeOverlay     *string
	Cant, Detail      string
	Since, Only       string
	Again             string
	Content           string
	Mode, Owner       uint32
	StartAs, UID      uint32
	Reads, Writes     uint64
	Inherit           int
	Hardlink, Host    int
	RW, NoEnd         int
	Directory, Lower  int
	Reflink           int
}

// The planting forms: a file of its own bind-mounted over a path, and a file in
// a container's own overlay.
const (
	FormBind    = "bind"
	FormOverlay = "overlay"
)

// Forms are both.
func Forms() []string { return []string{FormBind, FormOverlay} }

// Parse reads the output of `touch --list`.
func Parse(list []byte) ([]Case, error) {
	var all []Case
	for dec := json.NewDecoder(bytes.NewReader(list)); ; {
		var c Case
		err := dec.Decode(&c)
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list of cases: %w", err)
		}
		c.Group = strings.TrimSuffix(c.Group[strings.LastIndexByte(c.Group, '/')+1:], ".c")
		for _, form := range Forms() {
			for _, rung := range []string{"", RungFanotify, RungLSM, RungKprobe} {
				for _, release := range []string{"0.0", "999.0"} {
					if _, err := c.Expect(form, rung, release); err != nil {
						return nil, err
					}
				}
			}
		}
		all = append(all, c)
	}
}

// In tells whether the case exists in a planting form.
func (c Case) In(form string) bool { return c.Only == "" || c.Only == form }

// Lacking tells whether a kernel release is too old for the case.
func (c Case) Lacking(release string) bool { return older(release, c.Since) }

// AskedAgain says whether the kernel may ask once more than is expected.
func (c Case) AskedAgain(release string) bool { return older(release, c.Again) }

// older tells whether a release is before a series; none is before "".
func older(release, series string) bool {
	if series == "" {
		return false
	}
	var have, want [2]int
	if _, err := fmt.Sscanf(release, "%d.%d", &have[0], &have[1]); err != nil {
		return false
	}
	if _, err := fmt.Sscanf(series, "%d.%d", &want[0], &want[1]); err != nil {
		return false
	}
	return have[0] < want[0] || have[0] == want[0] && have[1] < want[1]
}

// Touch is what an event says beyond its circumstances.
type Touch struct {
	Kind string
	// Errno is the error's name, empty when the touch was let through.
	Errno string
	// Child: by a process that the toucher forked.
	Child bool
}

// String is the touch as the cases write it.
func (t Touch) String() string {
	s := t.Kind
	if t.Errno != "" {
		s += "!" + t.Errno
	}
	if t.Child {
		s += "@child"
	}
	return s
}

// Term is one expectation: the first of Any whose kind the rung knows, N times.
type Term struct {
	Any   []Touch
	N     uint64
	Recon bool
}

// The rungs that the cases know: a kprobe has no result to tell, fanotify has
// rules of its own.
const (
	RungLSM      = "lsm"
	RungKprobe   = "kprobe"
	RungFanotify = "fanotify"
)

// untold is a kind that no rung sees.
const untold = "untold"

// text is what the case says of a planting form on a rung of a kernel.
func (c Case) text(form, rung, release string) string {
	text, old := c.Kinds, c.Old
	if form == FormOverlay {
		text, old = c.Overlay, c.OldOverlay
	}
	switch {
	case older(release, c.Before):
		return old
	case rung == RungFanotify && older(release, c.FanotifySince):
		return ""
	case rung == RungLSM && c.LSM != nil:
		return *c.LSM
	case rung == RungKprobe && form == FormOverlay && c.KprobeOverlay != nil:
		return *c.KprobeOverlay
	case rung == RungKprobe && form == FormBind && c.Kprobe != nil:
		return *c.Kprobe
	// What is refused is nothing to fanotify, so the case's rule isn't about it.
	case rung == RungFanotify && c.Fanotify != nil && !strings.Contains(text, "!"):
		return *c.Fanotify
	}
	return text
}

// Expect parses what the case expects in a planting form on a rung of a kernel.
func (c Case) Expect(form, rung, release string) ([]Term, error) {
	text := c.text(form, rung, release)
	var terms []Term
	for _, word := range strings.Fields(text) {
		if n, err := strconv.ParseUint(strings.TrimPrefix(word, "x"), 10, 32); err == nil && word[0] == 'x' && len(terms) > 0 {
			terms[len(terms)-1].N = n
			continue
		}
		term := Term{N: 1}
		word, term.Recon = strings.CutSuffix(word, "^recon")
		for _, alternative := range strings.Split(word, "/") {
			term.Any = append(term.Any, parseTouch(alternative))
		}
		terms = append(terms, term)
	}
	for n, t := range terms {
		for i, touch := range t.Any {
			if !known(touch.Kind) {
				return nil, fmt.Errorf("case %s: no kind %q in %q", c.Name, touch.Kind, text)
			}
			if rung == RungKprobe {
				t.Any[i].Errno = ""
			}
			// Its coverage says so: no refusals, and nothing below an overlay.
			if rung == RungFanotify && (touch.Errno != "" || c.Host != 0 && form == FormOverlay) {
				terms[n].Any[i].Kind = untold
			}
			// Its coverage says that too.
			if rung == RungFanotify && form == FormOverlay && older(release, "6.6") && changesName(touch.Kind) {
				terms[n].Any[i].Kind = untold
			}
		}
	}
	return terms, nil
}

// changesName says whether fanotify needs file handles to tell a kind.
func changesName(kind string) bool {
	return slices.Contains([]string{"setattr", "link", "rename", "unlink"}, kind)
}

func parseTouch(s string) Touch {
	var t Touch
	s, t.Child = strings.CutSuffix(s, "@child")
	t.Kind, t.Errno, _ = strings.Cut(s, "!")
	return t
}

func known(kind string) bool {
	return strings.Contains(" open exec open_path read write receive mmap stat access readlink handle xattr setattr link symlink rename unlink mount watch lock list ", " "+kind+" ")
}
