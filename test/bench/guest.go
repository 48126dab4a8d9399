package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/beesting-otel/beesting/test/bench/internal/figure"
	"github.com/beesting-otel/beesting/test/vm"
)

// guest boots VMs with the part of the benchmark that runs there.
type guest struct {
	program  string
	timeout  time.Duration
	progress io.Writer
}

// boot runs one boot and returns its figures.
func (g guest) boot(ctx context.Context, kernel, boot string) ([]figure.Figure, vm.Kernel, error) {
	fmt.Fprintf(g.progress, "bench: %s on %s ", boot, kernel)
	defer fmt.Fprintln(g.progress)
	cfg := vm.Config{
		Kernel: kernel, MemoryMiB: 2048, Timeout: g.timeout, Progress: g.progress,
		ICount: boot == figure.BootWatchers || boot == figure.BootAudit,
		Files:  map[string]string{"/bench": g.program},
		// 5.10 has BPF among its LSMs only when told.
		Append: appendOf(kernel),
	}
	var out, complaints bytes.Buffer
	cfg.Stdout, cfg.Stderr = io.MultiWriter(&out, &progressWriter{w: g.progress}), &complaints
	results, b, err := vm.RunJobs(ctx, cfg, []vm.Job{{Args: []string{"/bench", "boot", boot}}}, nil)
	if err != nil {
		return nil, b.Kernel, err
	}
	if r := results[0]; r.Err != nil || r.ExitCode != 0 {
		return nil, b.Kernel, fmt.Errorf("exit code %d: %w", r.ExitCode,
			errors.Join(r.Err, errors.New(strings.TrimSpace(complaints.String()))))
	}
	figures, err := decode(&out)
	return figures, b.Kernel, err
}

func appendOf(kernel string) []string {
	if kernel == "5.10" {
		return []string{"lsm=landlock,bpf"}
	}
	return nil
}

func decode(out io.Reader) ([]figure.Figure, error) {
	var figures []figure.Figure
	for dec := json.NewDecoder(out); ; {
		var f figure.Figure
		if err := dec.Decode(&f); errors.Is(err, io.EOF) {
			return figures, nil
		} else if err != nil {
			return nil, fmt.Errorf("figures: %w", err)
		}
		figures = append(figures, f)
	}
}

// progressWriter shows that something is going on: a dot for each figure.
type progressWriter struct{ w io.Writer }

func (p *progressWriter) Write(b []byte) (int, error) {
	for range bytes.Count(b, []byte("\n")) {
		fmt.Fprint(p.w, ".")
	}
	return len(b), nil
}
