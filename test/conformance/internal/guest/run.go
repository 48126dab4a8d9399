//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
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

// caseLimit is how long a toucher may take: an agent that hangs must not hang
// the workload, so this is a verdict too.
const caseLimit = 30 * time.Second

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

// cell runs one case. An error is about the harness.
func (r *rungRun) cell(g *ground, c cases.Case, place cases.Place) (cases.Cell, error) {
	cell := cases.Cell{Place: place, Case: c.Name}
	r.next++
	p, err := g.plant(c, r.next)
	if err != nil {
		return cell, err
	}
	defer p.close()
	watches, err := r.watch(p, r.next)
	if err != nil {
		return cell, fmt.Errorf("watch for %s: %w", c.Name, err)
	}
	seen := &observed{run: r, c: c, placement: r.next, token: p.path, got: cases.Tally{}}
	seen.begin = bootTime()
	pid, problem := touch(c, form(g), p)
	seen.end = bootTime()
	seen.pid = uint32(pid)
	if problem != "" {
		seen.problems = append(seen.problems, problem)
	}
	if err := seen.collect(); err != nil {
		return cell, fmt.Errorf("%s: %w", c.Name, err)
	}
	if err := unwatch(watches); err != nil {
		return cell, fmt.Errorf("end of the watch for %s: %w", c.Name, err)
	}
	// Counters of a placement that was never touched are gone with its watch.
	_ = r.sensor.Forget(r.next)
	return r.judge(cell, c, seen)
}

func form(g *ground) string { return g.form }

func (r *rungRun) judge(cell cases.Cell, c cases.Case, seen *observed) (cases.Cell, error) {
	terms, err := c.Expect(cell.Form, cell.Rung, r.release)
	if err != nil {
		return cell, err
	}
	// What is refused before a hook is found by its result, and a kprobe has none.
	recon := r.rung.Tier == string(bpf.TierRecon) && cell.Rung != cases.RungKprobe && cell.Rung != cases.RungFanotify
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

// touch runs the toucher and returns its pid, and what went wrong.
func touch(c cases.Case, form string, p *planted) (pid int, problem string) {
	ctx, cancel := context.WithTimeout(context.Background(), caseLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, toucher, c.Name, form, p.path, p.scratch, p.host, p.hard)
	cmd.Env = []string{"PATH=/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: c.StartAs, Gid: c.StartAs}}
	if p.inherit != nil {
		cmd.ExtraFiles = []*os.File{p.inherit}
	}
	// No pipe: a process that the case leaves behind would hold it open.
	errOut, err := os.CreateTemp("", "stderr-")
	if err != nil {
		return 0, err.Error()
	}
	defer func() { errOut.Close(); os.Remove(errOut.Name()) }()
	cmd.Stderr = errOut
	err = cmd.Run()
	if cmd.Process != nil {
		pid = cmd.Process.Pid
	}
	if err != nil {
		text, _ := os.ReadFile(errOut.Name())
		return pid, fmt.Sprintf("toucher: %v: %s", err, strings.TrimSpace(string(text)))
	}
	return pid, ""
}

func bootTime() time.Duration {
	var ts unix.Timespec
	// CLOCK_BOOTTIME is there since 2.6.39; an error can't happen.
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return time.Duration(ts.Nano())
}
