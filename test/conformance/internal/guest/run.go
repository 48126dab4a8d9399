//go:build linux

package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/test/conformance/internal/cases"
)

// rungRun is one open sensor.
type rungRun struct {
	*suite
	sensor sensor
	rung   *cases.Rung
}

// settle is how long this rung may take for what it tells afterwards.
func (r *rungRun) settle() time.Duration {
	if r.rung.Rung == cases.RungFanotify {
		return 100 * time.Millisecond
	}
	return 0
}

func (r *rungRun) seen(kind string) bool {
	for _, s := range r.rung.Coverage {
		if s.Kind == kind {
			return s.Seen
		}
	}
	return false
}

// place runs all cases, and what must be silent, on one file system in one form.
func (r *rungRun) place(fs, form string) error {
	g, err := newGround(fs, form)
	if err != nil {
		return err
	}
	place := cases.Place{FS: fs, Form: form, Rung: r.rung.Rung, Tier: r.rung.Tier}
	for _, c := range r.cases {
		if !c.In(form) {
			continue
		}
		cell := cases.Cell{Place: place, Case: c.Name, Verdict: cases.Lacks}
		if !c.Lacking(r.release) {
			if cell, err = r.cell(g, c, place); err != nil {
				return errors.Join(err, g.close())
			}
		}
		if err := r.out.Encode(cases.Line{Cell: &cell}); err != nil {
			return err
		}
	}
	return errors.Join(r.silence(g, place), g.close())
}

// lateTries is how often a case is run in which who touched could not be looked at
// in time.
const lateTries = 3

// cell runs one case. An error is about the harness. A toucher waits for fanotify's
// guard for 100 ms (docs/fanotify.md): where the machine holds the sensor up for as
// long, which says nothing of the case, it is run again.
func (r *rungRun) cell(g *ground, c cases.Case, place cases.Place) (cell cases.Cell, err error) {
	for try := 1; ; try++ {
		var late bool
		cell, late, err = r.once(g, c, place)
		if err != nil || !late || !cell.Verdict.Failed() || try == lateTries {
			return cell, err
		}
		r.rung.Late++
	}
}

func (r *rungRun) once(g *ground, c cases.Case, place cases.Place) (cell cases.Cell, late bool, err error) {
	cell = cases.Cell{Place: place, Case: c.Name}
	r.next++
	p, err := g.plant(c, r.next)
	if err != nil {
		return cell, false, err
	}
	defer p.close()
	watches, err := r.watch(p, r.next)
	if err != nil {
		return cell, false, fmt.Errorf("watch for %s: %w", c.Name, err)
	}
	seen := &observed{run: r, c: c, placement: r.next, token: p.path, got: cases.Tally{}}
	seen.begin = bootTime()
	seen.told, seen.as, seen.opens = map[key]uint64{}, map[key]cases.Touch{}, map[uint64]bool{}
	problem := r.touch(c, g.form, p, func(pid int) error {
		seen.pid, seen.end = uint32(pid), bootTime()
		return seen.catchUp()
	})
	seen.end = bootTime()
	if problem != "" {
		seen.problems = append(seen.problems, problem)
	}
	if err := seen.collect(); err != nil {
		return cell, false, fmt.Errorf("%s: %w", c.Name, err)
	}
	if err := unwatch(watches); err != nil {
		return cell, false, fmt.Errorf("end of the watch for %s: %w", c.Name, err)
	}
	// Counters of a placement that was never touched are gone with its watch.
	_ = r.sensor.Forget(r.next)
	cell, err = r.judge(cell, c, seen)
	return cell, seen.late, err
}

func (r *rungRun) judge(cell cases.Cell, c cases.Case, seen *observed) (cases.Cell, error) {
	terms, err := c.Expect(cell.Form, cell.Rung, r.release)
	if err != nil {
		return cell, err
	}
	// What is refused before a hook is found by its result, and a kprobe has none.
	recon := r.rung.Tier == string(bpf.TierRecon) && cell.Rung != cases.RungKprobe && cell.Rung != cases.RungFanotify
	// Where a file system shares no extents, the call ends before the file is
	// asked for anything; an overlay asks in any case.
	shares := cell.Form == cases.FormOverlay || cell.FS == "btrfs" || cell.FS == "xfs"
	if c.Reflink != 0 && !shares {
		terms = nil
	}
	want, dropped := cases.Want(terms, r.seen, recon)
	seen.merged(want)
	cell.Verdict = cases.Judge(want, seen.got, dropped, c.Cant != "")
	if seen.less && cell.Verdict == cases.OK {
		cell.Verdict = cases.Part
	}
	cell.Problem = strings.Join(seen.problems, "; ")
	if cell.Problem != "" {
		cell.Verdict = cases.Wrong
	}
	cell.Got = seen.got.String()
	if cell.Verdict.Failed() {
		cell.Want = want.String()
	}
	return cell, nil
}

func bootTime() time.Duration {
	var ts unix.Timespec
	// CLOCK_BOOTTIME is there since 2.6.39; an error can't happen.
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return time.Duration(ts.Nano())
}
