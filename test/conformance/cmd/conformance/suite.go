package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/beesting-otel/beesting/test/conformance/internal/cases"
	"github.com/beesting-otel/beesting/test/conformance/internal/report"
	"github.com/beesting-otel/beesting/test/vm"
)

// limit is for one kernel with everything on it; arm64 takes the longest.
const limit = 90 * time.Minute

// suite is one run of the command.
type suite struct {
	options
	tmp     string
	out     io.Writer
	kernels []report.Kernel
	list    []cases.Case
	trees   map[string]string // by architecture
}

// compilers are the C compilers by the guest's architecture.
func compiler(arch string) (program string, err error) {
	if arch == runtime.GOARCH {
		return "gcc", nil
	}
	if arch == "arm64" {
		return "aarch64-linux-gnu-gcc", nil
	}
	return "", fmt.Errorf("architecture %s: no C compiler for it", arch)
}

// toucher compiles the toucher, static: guests have no libraries.
func (s *suite) toucher(ctx context.Context, arch string) (string, error) {
	out := filepath.Join(s.tmp, "touch-"+arch)
	cc, err := compiler(arch)
	if err != nil {
		return "", err
	}
	sources, err := touchSources()
	if err != nil {
		return "", err
	}
	// In the order of the sources, which is the order of the table.
	args := append([]string{"-O1", "-static", "-pthread", "-Wall", "-Wextra", "-Werror", "-fno-toplevel-reorder", "-o", out}, sources...)
	if text, err := exec.CommandContext(ctx, cc, args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("toucher: %s: %w: %s", cc, err, text)
	}
	return out, nil
}

// kernel boots one kernel, runs the plan in it and keeps the result.
func (s *suite) kernel(ctx context.Context, name string) error {
	arch, selector := split(name)
	touch, err := s.toucher(ctx, arch)
	if err != nil {
		return err
	}
	guest := filepath.Join(s.tmp, "guest-"+arch)
	if err := vm.BuildFor(ctx, arch, guest, guestPackage); err != nil {
		return err
	}
	run := report.Run{Date: time.Now().UTC().Format(time.DateOnly)}
	if run.Tree, err = s.tree(name); err != nil {
		return err
	}
	k := report.Kernel{Name: name}
	var stdout lines
	stdout.each = func(line []byte) error { return s.line(&k, run, line) }
	cfg := vm.Config{
		Arch: arch, Kernel: selector, MemoryMiB: 1024, Timeout: limit,
		Append:      append([]string{"lsm=landlock,lockdown,yama,bpf"}, strings.Fields(s.appends)...),
		Files:       map[string]string{"/conformance/touch": touch, "/conformance/guest": guest},
		Filesystems: slices.DeleteFunc(strings.Split(s.systems, ","), func(fs string) bool { return fs == "tmpfs" }),
		Command:     []string{"/conformance/guest", "-plan", s.plan(), "-cases", s.cases},
		Stdout:      &stdout, Stderr: os.Stderr,
	}
	start := time.Now()
	code, err := vm.Run(ctx, cfg)
	if errors.Is(err, vm.ErrEmulator) {
		fmt.Fprintf(s.out, "%v\n     %s: all of it once more\n", err, name)
		k.Cells, k.Rungs, k.Runs = nil, nil, nil
		code, err = vm.Run(ctx, cfg)
	}
	if err == nil && code != 0 {
		err = fmt.Errorf("kernel %s: the harness ended with code %d", name, code)
	}
	if err == nil && k.Release == "" {
		err = fmt.Errorf("kernel %s: the harness did not come to its end", name)
	}
	fmt.Fprintf(s.out, "%s: %s %v\n", name, report.Summary(k), time.Since(start).Round(time.Second))
	err = errors.Join(err, s.keep(&k))
	s.kernels = append(s.kernels, k)
	return err
}

// split takes a kernel's name apart.
func split(name string) (arch, selector string) {
	if arch, selector, ok := strings.Cut(name, "/"); ok {
		return arch, selector
	}
	return runtime.GOARCH, name
}

// tree is what a kernel's cells come from now.
func (s *suite) tree(kernel string) (string, error) {
	arch, _ := split(kernel)
	if s.trees[arch] == "" {
		t, err := tree(arch)
		if err != nil {
			return "", err
		}
		s.trees[arch] = t
	}
	return s.trees[arch], nil
}

// plan is every rung and tier on the first file system, and the first rung in
// the first tier on the others.
func (s *suite) plan() string {
	systems := strings.Split(s.systems, ",")
	var plan []string
	for i, rung := range strings.Split(s.rungs, ",") {
		for t, tier := range strings.Split(s.tiers, ",") {
			for j, fs := range systems {
				// To fanotify the tiers are one.
				if (j == 0 || i == 0 && t == 0) && (t == 0 || rung != cases.RungFanotify) {
					plan = append(plan, rung+":"+tier+":"+fs)
				}
			}
		}
	}
	return strings.Join(plan, ",")
}

func (s *suite) line(k *report.Kernel, run report.Run, text []byte) error {
	var l cases.Line
	if err := json.Unmarshal(text, &l); err != nil {
		return fmt.Errorf("line of the guest %q: %w", text, err)
	}
	switch {
	case l.Cell != nil:
		k.Cells = append(k.Cells, *l.Cell)
		k.Ran(l.Cell.Rung, l.Cell.Tier, l.Cell.FS, run)
		if s.verbose || l.Cell.Verdict.Failed() {
			fmt.Fprintf(s.out, "%s %s\n", k.Name, report.Line(*l.Cell))
		}
	case l.Rung != nil:
		k.Rungs = append(k.Rungs, *l.Rung)
		if first, _, _ := strings.Cut(s.systems, ","); l.Rung.Refused != "" {
			k.Ran(l.Rung.Rung, l.Rung.Tier, first, run)
		}
		fmt.Fprintf(s.out, "%s %s\n", k.Name, report.RungLine(*l.Rung))
	default:
		k.Release = l.Done
	}
	return nil
}

// keep writes the results down, with those kept earlier of what did not run now.
func (s *suite) keep(k *report.Kernel) error {
	if s.results == "" || k.Release == "" || s.cases != "" || s.appends != "" {
		return nil
	}
	file := filepath.Join(s.results, strings.ReplaceAll(k.Name, "/", "-")+".json")
	if old, err := load(file); err == nil {
		k.Add(old)
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(s.results, 0o755); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	text, err := json.MarshalIndent(k, "", " ")
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return os.WriteFile(file, text, 0o644)
}

func load(file string) (report.Kernel, error) {
	var k report.Kernel
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &k)
	}
	if err != nil {
		return k, fmt.Errorf("results %s: %w", file, err)
	}
	return k, nil
}

// finish merges what was kept, writes the table and says whether all is well.
func (s *suite) finish() error {
	touch, err := s.toucher(context.Background(), runtime.GOARCH)
	if err != nil {
		return err
	}
	list, err := exec.Command(touch, "--list").Output()
	if err != nil {
		return fmt.Errorf("list of cases: %w", err)
	}
	if s.list, err = cases.Parse(list); err != nil {
		return err
	}
	if err := s.merge(); err != nil {
		return err
	}
	if n := report.Failures(s.kernels); n > 0 {
		return fmt.Errorf("%d cells are wrong, so there is no table", n)
	}
	if s.doc != "" {
		return s.document()
	}
	return nil
}

// document writes the table, if all of it is of the tree that is here.
func (s *suite) document() error {
	stale, err := report.Stale(s.kernels, s.tree)
	if err != nil {
		return err
	}
	if len(stale) > 0 {
		return fmt.Errorf("no table, as this was run from other sources and has to be run again:\n  %s", strings.Join(stale, "\n  "))
	}
	for _, u := range report.Unrun(s.kernels, names()) {
		fmt.Fprintf(s.out, "not run, and the table says so: %s\n", u)
	}
	if err := os.WriteFile(s.doc, []byte(report.Markdown(s.list, s.kernels, names())), 0o644); err != nil {
		return fmt.Errorf("table: %w", err)
	}
	return nil
}

// names are the kernels of the whole matrix.
func names() []string { return append(vm.Kernels[:], "arm64/6.12") }

// merge adds the kept results of kernels that did not run now.
func (s *suite) merge() error {
	if s.results == "" {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(s.results, "*.json"))
	if err != nil {
		return err
	}
	for _, f := range files {
		k, err := load(f)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(s.kernels, func(o report.Kernel) bool { return o.Name == k.Name }) {
			s.kernels = append(s.kernels, k)
		}
	}
	slices.SortFunc(s.kernels, report.Compare)
	return nil
}

// lines hands whole lines on.
type lines struct {
	rest []byte
	each func([]byte) error
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		if err := l.each(line); err != nil {
			return 0, err
		}
		l.rest = rest
	}
}
