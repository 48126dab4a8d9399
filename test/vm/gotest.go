package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// TestConfig says which Go tests to run on which kernels.
type TestConfig struct {
	// Guest is the configuration of each boot; its Kernel, Command, Stdout and
	// Stderr are not used.
	Guest Config
	// Kernels to boot, one boot each, Parallel of them at a time; at least one.
	Kernels  []string
	Parallel int
	// Packages are patterns as the go command knows them.
	Packages []string
	// Flags are given to every test program: "-test.run=X".
	Flags []string
	// Tags are further build tags, separated by commas, beside vmtest.
	Tags string
	// SkipOK matches the names of tests that may skip themselves. Every other
	// skip is a failure.
	SkipOK string
	// Verbose shows the output of packages that pass, too.
	Verbose bool
	// Output receives results as they come, and the output of what failed. Only
	// one goroutine at a time writes to it.
	Output io.Writer
}

// TestReport is the outcome on every kernel.
type TestReport struct{ Results []TestResult }

// OK tells whether everything passed.
func (r TestReport) OK() bool {
	for _, t := range r.Results {
		if !t.OK {
			return false
		}
	}
	return len(r.Results) > 0
}

// TestResult is one package on one kernel.
type TestResult struct {
	Kernel  string
	Package string
	OK      bool
	// Passed counts tests and subtests, Skipped lists those that skipped
	// themselves.
	Passed  int
	Skipped []string
	Elapsed time.Duration
	// Problem says in a few words why the package failed.
	Problem string
}

// String is the result as one line.
func (r TestResult) String() string {
	verdict := "ok  "
	if !r.OK {
		verdict = "FAIL"
	}
	line := fmt.Sprintf("%s %-10s %-44s %4d passed %2d skipped %6.1fs", verdict, r.Kernel, r.Package, r.Passed, len(r.Skipped), r.Elapsed.Seconds())
	if r.Problem != "" {
		line += "  " + r.Problem
	}
	return line
}

// testProgram is a compiled test of one package.
type testProgram struct {
	pkg, dir, host string
	// run matches the names of its tests that need a guest.
	run string
}

// guestDir is where the package's directory lies in the guest; tests find their
// testdata below their working directory.
func (p testProgram) guestDir() string { return "/src/" + p.pkg }

// Build builds a static program for guests of the host's architecture from a
// package of this module.
func Build(ctx context.Context, out, pkg string) error { return BuildFor(ctx, "", out, pkg) }

// BuildFor builds for another architecture, as Config.Arch names it.
func BuildFor(ctx context.Context, goarch, out, pkg string) error {
	a, err := guestArch(goarch)
	if err != nil {
		return err
	}
	return goBuild(ctx, a, out, "build", "-trimpath", "-o", out, pkg)
}

// TestPackages compiles the tests of packages with the build tag vmtest and runs
// them in each kernel, all of them in one boot. Where a package has files for that
// tag, only the tests in these are run, unless Flags choose: the others are no
// different on the machine that this runs on. A guest that dies is a failure
// of the package it was in and of those that didn't get their turn; the error is
// about what comes before: packages that don't compile.
func TestPackages(ctx context.Context, cfg TestConfig) (TestReport, error) {
	skipOK, err := regexp.Compile(cfg.SkipOK)
	if err != nil {
		return TestReport{}, fmt.Errorf("skip pattern: %w", err)
	}
	tmp, err := os.MkdirTemp("", "beesting-vmtest-")
	if err != nil {
		return TestReport{}, err
	}
	defer os.RemoveAll(tmp)
	programs, err := compileTests(ctx, cfg, tmp)
	if err != nil {
		return TestReport{}, err
	}
	empty := filepath.Join(tmp, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		return TestReport{}, err
	}
	cfg.Output = &lockedWriter{w: cfg.Output}
	results := make([][]TestResult, len(cfg.Kernels))
	turn := make(chan struct{}, max(1, cfg.Parallel))
	var runs sync.WaitGroup
	for i, kernel := range cfg.Kernels {
		run := &testRun{cfg: cfg, kernel: kernel, programs: programs, empty: empty}
		if cfg.SkipOK != "" {
			run.skipOK = skipOK
		}
		turn <- struct{}{}
		runs.Go(func() {
			defer func() { <-turn }()
			results[i] = run.boot(ctx)
		})
	}
	runs.Wait()
	return TestReport{Results: slices.Concat(results...)}, nil
}

// lockedWriter keeps what several goroutines write apart.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// compileTests builds a test program for each package that has tests.
func compileTests(ctx context.Context, cfg TestConfig, tmp string) ([]testProgram, error) {
	a, err := guestArch(cfg.Guest.Arch)
	if err != nil {
		return nil, err
	}
	tags := "-tags=" + strings.Trim("vmtest,"+cfg.Tags, ",")
	packages, err := listTests(ctx, tags, cfg.Packages)
	if err != nil {
		return nil, err
	}
	without, err := listTests(ctx, "-tags="+cfg.Tags, cfg.Packages)
	if err != nil {
		return nil, err
	}
	chosen := slices.ContainsFunc(cfg.Flags, func(f string) bool { return strings.HasPrefix(f, "-test.run") })
	var programs []testProgram
	for i, p := range packages {
		if len(p.files()) == 0 {
			fmt.Fprintf(cfg.Output, "     %s has no tests\n", p.ImportPath)
			continue
		}
		prog := testProgram{pkg: p.ImportPath, dir: p.Dir, host: filepath.Join(tmp, fmt.Sprintf("%d.test", len(programs)))}
		if !chosen {
			if prog.run, err = p.pattern(without[i]); err != nil {
				return nil, err
			}
		}
		if err := goBuild(ctx, a, p.ImportPath, "test", "-c", tags, "-o", prog.host, p.ImportPath); err != nil {
			return nil, err
		}
		programs = append(programs, prog)
	}
	if len(programs) == 0 {
		return nil, fmt.Errorf("packages %v: not one has a test", cfg.Packages)
	}
	return programs, nil
}

// testRun is all test programs on one kernel.
type testRun struct {
	cfg      TestConfig
	kernel   string
	programs []testProgram
	skipOK   *regexp.Regexp
	// empty is an empty directory.
	empty   string
	results []TestResult
	buf     bytes.Buffer
}

func (t *testRun) boot(ctx context.Context) []TestResult {
	guest := t.cfg.Guest
	guest.Kernel = t.kernel
	files := map[string]string{}
	for name, host := range guest.Files {
		files[name] = host
	}
	var jobs []Job
	for i, p := range t.programs {
		program := fmt.Sprintf("/src/%d.test", i)
		files[program] = p.host
		if data := filepath.Join(p.dir, "testdata"); exists(data) {
			files[p.guestDir()+"/testdata"] = data
		} else {
			// An empty directory makes the working directory exist.
			files[p.guestDir()+"/.keep"] = t.empty
		}
		args := append([]string{program, "-test.v", "-test.count=1"}, t.cfg.Flags...)
		if p.run != "" {
			args = append(args, "-test.run="+p.run)
		}
		jobs = append(jobs, Job{Args: args, Env: guest.Env, Dir: p.guestDir()})
	}
	guest.Files = files
	guest.Stdout, guest.Stderr = &t.buf, &t.buf
	_, boot, err := RunJobs(ctx, guest, jobs, t.jobDone)
	if errors.Is(err, ErrEmulator) {
		fmt.Fprintf(t.cfg.Output, "%v\n     %s: all of it once more\n", err, t.kernel)
		t.results = nil
		t.buf.Reset()
		_, boot, err = RunJobs(ctx, guest, jobs, t.jobDone)
	}
	if boot.Wall > 0 {
		fmt.Fprintf(t.cfg.Output, "     %s: %s, booted in %.1fs\n", t.kernel, boot.Kernel.Release, boot.Wall.Seconds())
	}
	if err != nil {
		t.guestDied(err)
	}
	return t.results
}

// jobDone judges one test program.
func (t *testRun) jobDone(i int, r Result) {
	text := t.buf.String()
	t.buf.Reset()
	res := TestResult{Kernel: t.kernel, Package: t.programs[i].pkg, Elapsed: r.Elapsed}
	res.Passed, res.Skipped = countTests(text)
	switch {
	case r.Err != nil:
		res.Problem = r.Err.Error()
	case r.ExitCode != 0:
		res.Problem = fmt.Sprintf("exit code %d", r.ExitCode)
	case res.Passed+len(res.Skipped) == 0:
		res.Problem = "no test ran"
	default:
		res.Problem = t.badSkips(res.Skipped)
	}
	res.OK = res.Problem == ""
	if res.OK && !t.cfg.Verbose {
		text = ""
	}
	fmt.Fprintf(t.cfg.Output, "%s%v\n", text, res)
	t.results = append(t.results, res)
}

func (t *testRun) badSkips(skipped []string) string {
	var bad []string
	for _, name := range skipped {
		if t.skipOK == nil || !t.skipOK.MatchString(name) {
			bad = append(bad, name)
		}
	}
	if len(bad) == 0 {
		return ""
	}
	return "skipped: " + strings.Join(bad, " ")
}

// guestDied blames the package that was running and all that come after it.
func (t *testRun) guestDied(err error) {
	fmt.Fprintf(t.cfg.Output, "%s%v\n", t.buf.String(), err)
	t.buf.Reset()
	for i := len(t.results); i < len(t.programs); i++ {
		problem := "the guest died before its turn"
		if i == len(t.results) {
			problem = "the guest died"
		}
		t.results = append(t.results, TestResult{Kernel: t.kernel, Package: t.programs[i].pkg, Problem: problem})
	}
}

// testLine is a verdict in the output of "go test -v".
var testLine = regexp.MustCompile(`(?m)^ *--- (PASS|SKIP): (\S+) `)

func countTests(text string) (passed int, skipped []string) {
	for _, m := range testLine.FindAllStringSubmatch(text, -1) {
		if m[1] == "PASS" {
			passed++
		} else {
			skipped = append(skipped, m[2])
		}
	}
	return passed, skipped
}
