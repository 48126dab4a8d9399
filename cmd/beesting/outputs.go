package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/exporter"
	"github.com/beesting-otel/beesting/internal/agent"
	"github.com/beesting-otel/beesting/internal/journal"
)

// output is where accesses go.
type output interface {
	agent.Sink
	Shutdown(ctx context.Context) error
}

// outputs is several at once; the trouble of one is no other's.
type outputs []output

// Deliver implements agent.Sink, as the next two.
func (o outputs) Deliver(ctx context.Context, a beesting.Access) error {
	return o.some(func(out output) error { return out.Deliver(ctx, a) })
}

// End is not told again: whatever went wrong is worth a word.
func (o outputs) End(ctx context.Context, a beesting.Access) error {
	return errors.Join(o.each(func(out output) error { return out.End(ctx, a) })...)
}

func (o outputs) Gap(ctx context.Context, g beesting.Gap) error {
	return o.some(func(out output) error { return out.Gap(ctx, g) })
}

// some returns an error only if no output has it. What is refused is told again
// until it is taken, once a second, and an output that took it the first time
// would get it each time. The loss of the others is counted and logged by them.
func (o outputs) some(do func(output) error) error {
	errs := o.each(do)
	if slices.Contains(errs, nil) {
		return nil
	}
	return errors.Join(errs...)
}

func (o outputs) each(do func(output) error) []error {
	errs := make([]error, len(o))
	for i, out := range o {
		errs[i] = do(out)
	}
	return errs
}

func (o outputs) Shutdown(ctx context.Context) error {
	errs := make([]error, len(o))
	var wg sync.WaitGroup
	for i, out := range o {
		wg.Go(func() { errs[i] = out.Shutdown(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// stats tells what became of the accesses, by output.
func (o outputs) stats() outputStats {
	var all outputStats
	for _, out := range o {
		switch out := out.(type) {
		case namedWriter:
			s := out.Stats()
			if out.name == "json" {
				all.JSON = &s
			} else {
				all.Text = &s
			}
		case *exporter.OTLP:
			s := out.Stats()
			all.OTLP = &s
		}
	}
	return all
}

// namedWriter knows what it writes, and logs when that begins to fail and when it
// works again.
type namedWriter struct {
	*exporter.Writer
	name    string
	log     *slog.Logger
	failing *atomic.Bool
}

func newNamedWriter(w *exporter.Writer, name string, log *slog.Logger) namedWriter {
	return namedWriter{w, name, log.With("output", name), new(atomic.Bool)}
}

// Deliver implements agent.Sink, as the next.
func (w namedWriter) Deliver(ctx context.Context, a beesting.Access) error {
	return w.note(w.Writer.Deliver(ctx, a))
}

// Gap tells of missing touches.
func (w namedWriter) Gap(ctx context.Context, g beesting.Gap) error {
	return w.note(w.Writer.Gap(ctx, g))
}

func (w namedWriter) note(err error) error {
	switch was := w.failing.Swap(err != nil); {
	case err != nil && !was && !errors.Is(err, syscall.EPIPE): // a reader that left is somebody else's business
		w.log.Error("output not written", slog.Any("error", err))
	case err == nil && was:
		w.log.Info("output written again", slog.Uint64("failed", w.Stats().Failed))
	}
	return err
}

// destinations are what outputs need beside their names.
type destinations struct {
	stdout  io.Writer
	journal *journal.Journal // nil for none
	metrics *metrics         // nil for none
}

// newOutputs makes the named outputs: text, json, otlp. Without the latter the
// journal, if there is one, is an output of its own.
func (a *app) newOutputs(ctx context.Context, names []string, to destinations, m *exporter.Mapping, log *slog.Logger) (outputs, error) {
	var all outputs
	if to.journal != nil && !slices.Contains(names, "otlp") {
		all = append(all, exporter.NewRecorder(to.journal, m))
	}
	for _, name := range names {
		switch name {
		case "text":
			color := exporter.ColorWanted(a.stdout, a.getenv)
			text := exporter.NewText(to.stdout, m, exporter.TextOptions{Color: color, Location: time.Local})
			all = append(all, newNamedWriter(text, name, log))
		case "json":
			all = append(all, newNamedWriter(exporter.NewJSON(to.stdout, m), name, log))
		case "otlp":
			options := exporter.OTLPOptions{Getenv: a.getenv, Logger: log, Journal: to.journal, Beside: len(names) > 1}
			if to.metrics != nil {
				options.Meter, options.State = to.metrics.meter, to.metrics.state
			}
			o, err := exporter.NewOTLP(ctx, m, options)
			if err != nil {
				return nil, errors.Join(err, all.Shutdown(ctx))
			}
			all = append(all, o)
		default:
			return nil, fmt.Errorf("output %q: must be text, json or otlp", name)
		}
	}
	return all, nil
}

// watchedPipe is a standard output whose reader may leave, as head(1) does.
type watchedPipe struct {
	io.Writer
	broken func()
}

func (p watchedPipe) Write(b []byte) (int, error) {
	n, err := p.Writer.Write(b)
	if errors.Is(err, syscall.EPIPE) {
		p.broken()
	}
	return n, err
}
