//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/internal/agent"
)

// agentMain is the agent: its core on tokens of a directory, with a sink that
// tells standard output what it is given. It ends with SIGTERM and tells the
// books.
func agentMain(args []string) (err error) {
	flags := flag.NewFlagSet("agent", flag.ContinueOnError)
	dir := flags.String("dir", "", "")
	tokens := flags.Int("tokens", 1, "")
	mode := flags.String("mode", "auto", "")
	pin := flags.String("pin", "", "")
	exempt := flags.String("exempt", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	sensor, _, err := agent.OpenSensor(agent.SensorOptions{Mode: *mode, Pin: *pin})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sensor.Close()) }()
	options := agent.CoreOptions{
		Sensor: sensor, Sink: &sink{},
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	}
	if *exempt != "" {
		options.Exempt.Binaries = []string{*exempt}
	}
	core, err := agent.NewCore(options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, core.Close()) }()
	if err := arm(core, *dir, *tokens); err != nil {
		return err
	}
	_, resumed := sensor.Resumed()
	if err := tell(lineReady, ready{Mode: string(core.Mode()), Resumed: resumed}); err != nil {
		return err
	}
	errRun := core.Run(ctx)
	b, err := readBooks(core, sensor)
	return errors.Join(errRun, err, tell(lineBooks, b))
}

func arm(core *agent.Core, dir string, tokens int) error {
	for i := range tokens {
		f, err := openPath(tokenPath(dir, i))
		if err != nil {
			return err
		}
		err = core.Arm(placementOf(dir, i), f)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// ready says that the tokens are watched.
type ready struct {
	Mode    string
	Resumed bool
}

// books are the sums over all placements, and those whose sums don't add up.
type books struct {
	Placements int
	// Seen is the kernel's count of touches by kind; Delivered, Coalesced and
	// Lost are the account's. Exempt and KernelLost are the kernel's.
	Seen                       map[string]uint64
	Delivered, Coalesced, Lost uint64
	Exempt, KernelLost         uint64
	Uneven                     []string
	Stats                      agent.CoreStats
}

// readBooks reads what the kernel counted and what was made of it.
func readBooks(core *agent.Core, sensor agent.Sensor) (books, error) {
	b := books{Seen: map[string]uint64{}}
	var err error
	if b.Stats, err = core.Stats(); err != nil {
		return b, err
	}
	ids, err := sensor.Placements()
	if err != nil {
		return b, err
	}
	b.Placements = len(ids)
	for _, id := range ids {
		c, err := sensor.Count(id)
		if err != nil {
			return b, err
		}
		a, err := sensor.Account(id)
		if err != nil {
			return b, err
		}
		b.add(id, c, a)
	}
	return b, nil
}

func (b *books) add(id uint64, c bpf.Count, a bpf.Account) {
	b.Exempt += c.Exempt
	for k := range bpf.Kinds {
		seen, told := c.Seen[k], a.Delivered[k]+a.Coalesced[k]+a.Lost[k]
		if bpf.Kind(k) == bpf.KindClose {
			continue // no touch
		}
		if seen > 0 {
			b.Seen[bpf.Kind(k).String()] += seen
		}
		b.KernelLost += c.Lost[k]
		b.Delivered += a.Delivered[k]
		b.Coalesced += a.Coalesced[k]
		b.Lost += a.Lost[k]
		if seen != told && len(b.Uneven) < 5 {
			b.Uneven = append(b.Uneven, fmt.Sprintf("placement %d, %s: seen %d, delivered %d + coalesced %d + lost %d",
				id, bpf.Kind(k), seen, a.Delivered[k], a.Coalesced[k], a.Lost[k]))
		}
	}
}

// The first letters of the agent's lines.
const (
	lineReady  = 'R'
	lineAccess = 'A'
	lineEnd    = 'E'
	lineGap    = 'G'
	lineBooks  = 'B'
)

// tell writes a line of JSON.
func tell(letter byte, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Printf("%c %s\n", letter, raw)
	return err
}
