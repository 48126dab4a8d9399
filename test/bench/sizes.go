package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/beesting-otel/beesting/test/bench/internal/figure"
)

// defaultTier is the text of bpf.TierDefault; its programs are in recon too.
const defaultTier = "default"

// sized is what one kernel made of the programs.
type sized struct {
	release string
	sizes   []figure.Sizes
}

// reportSizes loads every program on every kernel and reports what came of it.
func reportSizes(ctx context.Context, g guest, o options, stdout io.Writer) error {
	var all []sized
	for _, kernel := range o.kernels {
		figures, k, err := g.boot(ctx, kernel, figure.BootSizes)
		if err != nil {
			return fmt.Errorf("%s: %w", kernel, err)
		}
		s := sized{release: k.Release}
		for _, f := range figures {
			if f.Sizes != nil {
				s.sizes = append(s.sizes, *f.Sizes)
			}
		}
		all = append(all, s)
	}
	markdown, err := sizesMarkdown(all)
	if err != nil {
		return err
	}
	if !o.markdown {
		fmt.Fprint(stdout, markdown)
	}
	return publish(o, markdown, replaceIn, stdout)
}

// sizesMarkdown has a table for each mode: the tier recon, which loads the
// programs of the default tier too, and what each program is to each kernel.
func sizesMarkdown(all []sized) (string, error) {
	var b strings.Builder
	loadTimes(&b, all)
	for _, mode := range []string{"lsm", "fentry", "kprobe"} {
		header := []string{"program", "hook", "tier"}
		for _, s := range all {
			header = append(header, series(s.release))
		}
		lines, err := programLines(all, mode)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "\n### %s\n\n", mode)
		markdownTable(&b, header, lines)
	}
	return b.String(), nil
}

// loadTimes says how long each kernel took to load and attach everything.
func loadTimes(b *strings.Builder, all []sized) {
	header := []string{"milliseconds to load and attach"}
	rows := map[string][]string{}
	var order []string
	for i, s := range all {
		header = append(header, series(s.release))
		for _, z := range s.sizes {
			name := z.Mode + ", " + z.Tier
			if !slices.Contains(order, name) {
				order = append(order, name)
			}
			for len(rows[name]) < i {
				rows[name] = append(rows[name], "–")
			}
			text := fmt.Sprintf("%.0f", z.LoadMilliseconds)
			if z.Unavailable != "" {
				text = "–"
			}
			rows[name] = append(rows[name], text)
		}
	}
	var lines [][]string
	for _, name := range order {
		lines = append(lines, append([]string{name}, rows[name]...))
	}
	markdownTable(b, header, lines)
}

// programLines has a line for each program of a mode.
func programLines(all []sized, mode string) ([][]string, error) {
	var lines [][]string
	index := map[string]int{}
	for i, s := range all {
		byDefault := map[string]bool{}
		for _, z := range s.sizes {
			if z.Mode != mode {
				continue
			}
			for _, p := range z.Programs { // the default tier's come first
				if z.Tier == defaultTier {
					byDefault[p.Name] = true
					continue
				}
				at, ok := index[p.Name]
				if !ok {
					at = len(lines)
					index[p.Name] = at
					lines = append(lines, append([]string{p.Name, hookOf(p), tierOf(byDefault[p.Name])}, dashes(len(all))...))
				}
				lines[at][3+i] = fmt.Sprintf("%d / %d / %d", p.Translated, p.Jited, p.Verified)
			}
		}
	}
	slices.SortFunc(lines, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	if len(lines) == 0 {
		return nil, errors.New("mode " + mode + ": no kernel loads a program")
	}
	return lines, nil
}

func hookOf(p figure.Program) string {
	if p.Hook == "" {
		return p.Type
	}
	if point, ok := strings.CutPrefix(p.Hook, "btf_trace_"); ok {
		return "trace point " + point
	}
	return strings.TrimPrefix(p.Hook, "bpf_lsm_")
}

func tierOf(byDefault bool) string {
	if byDefault {
		return defaultTier
	}
	return "recon"
}

func dashes(n int) []string { return slices.Repeat([]string{"–"}, n) }
