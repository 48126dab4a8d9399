//go:build linux

package main

import (
	"fmt"
	"os/exec"

	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/test/conformance/internal/cases"
)

// The rows that are about silence, beside the toucher's cases.
const (
	RowSiblings = "siblings"
	RowForks    = "forks"
)

// silence touches everything but the token, which is watched meanwhile. Once for
// each rung and form, the processes that touch nothing once for each rung: in the
// recon tier, which sees the most.
func (r *rungRun) silence(g *ground, place cases.Place) error {
	last := place.Tier == string(bpf.TierRecon) || place.Rung == cases.RungFanotify || r.onlyTier
	if place.FS != "tmpfs" || !last {
		return nil
	}
	for _, row := range []struct {
		name string
		do   func(*ground) (problem string, err error)
	}{{RowSiblings, r.siblings}, {RowForks, forks}} {
		if row.name == RowForks && place.Form != cases.FormBind {
			continue
		}
		cell, err := r.silent(g, place, row.name, row.do)
		if err != nil {
			return err
		}
		if err := r.out.Encode(cases.Line{Cell: &cell}); err != nil {
			return err
		}
	}
	return nil
}

func (r *rungRun) silent(g *ground, place cases.Place, name string, do func(*ground) (string, error)) (cases.Cell, error) {
	cell := cases.Cell{Place: place, Case: name, Verdict: cases.None}
	r.next++
	c := cases.Case{Name: name, Mode: 0o644, Owner: user, UID: user}
	p, err := g.plant(c, r.next)
	if err != nil {
		return cell, err
	}
	defer p.close()
	placement := r.next
	watches, err := r.watch(p, placement)
	if err != nil {
		return cell, err
	}
	problem, err := do(g)
	if err != nil {
		return cell, err
	}
	seen := &observed{run: r, c: c, placement: placement, token: p.path, got: cases.Tally{}}
	seen.told, seen.as, seen.opens = map[key]uint64{}, map[key]cases.Touch{}, map[uint64]bool{}
	if err := seen.collect(); err != nil {
		return cell, err
	}
	if err := unwatch(watches); err != nil {
		return cell, err
	}
	if problem != "" {
		seen.problem("%s", problem)
	}
	if len(seen.got) > 0 || len(seen.problems) > 0 {
		cell.Verdict, cell.Got = cases.Wrong, seen.got.String()
		cell.Problem = fmt.Sprint(seen.problems)
	}
	return cell, nil
}

// siblings does to a file beside the token all that the cases do to a token.
func (r *rungRun) siblings(g *ground) (string, error) {
	for _, c := range r.cases {
		if !c.In(g.form) || c.Lacking(r.release) {
			continue
		}
		r.next++
		p, err := g.plant(c, r.next)
		if err != nil {
			return "", err
		}
		problem := r.touch(c, g.form, p, nil)
		if err := p.close(); err != nil {
			return "", err
		}
		if problem != "" {
			return c.Name + ": " + problem, nil
		}
	}
	return "", nil
}

// processes is how many processes come and go without touching anything.
const processes = 1000

func forks(*ground) (string, error) {
	for range processes {
		if err := exec.Command(toucher, "noop").Run(); err != nil {
			return "", fmt.Errorf("process that touches nothing: %w", err)
		}
	}
	return "", nil
}
