package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/exporter"
	"github.com/beesting-otel/beesting/internal/agent"
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
	return o.each(func(out output) error { return out.Deliver(ctx, a) })
}

func (o outputs) End(ctx context.Context, a beesting.Access) error {
	return o.each(func(out output) error { return out.End(ctx, a) })
}

func (o outputs) Gap(ctx context.Context, g beesting.Gap) error {
	return o.each(func(out output) error { return out.Gap(ctx, g) })
}

func (o outputs) each(do func(output) error) error {
	var errs []error
	for _, out := range o {
		errs = append(errs, do(out))
	}
	return errors.Join(errs...)
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

// namedWriter knows what it writes.
type namedWriter struct {
	*exporter.Writer
	name string
}

// newOutputs makes the named outputs: text, json, otlp. The latter has metrics
// too unless they are nil.
func (a *app) newOutputs(ctx context.Context, names []string, stdout io.Writer, m *exporter.Mapping, log *slog.Logger, metrics *metrics) (outputs, error) {
	var all outputs
	for _, name := range names {
		switch name {
		case "text":
			color := exporter.ColorWanted(a.stdout, a.getenv)
			text := exporter.NewText(stdout, m, exporter.TextOptions{Color: color, Location: time.Local})
			all = append(all, namedWriter{text, name})
		case "json":
			all = append(all, namedWriter{exporter.NewJSON(stdout, m), name})
		case "otlp":
			options := exporter.OTLPOptions{Getenv: a.getenv, Logger: log}
			if metrics != nil {
				options.Meter, options.State = metrics.meter, metrics.state
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
