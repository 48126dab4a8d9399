package collectorreceiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/collector/consumer/consumererror"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/exporter"
	"github.com/beesting-otel/beesting/internal/agent"
	"github.com/beesting-otel/beesting/internal/check"
	"github.com/beesting-otel/beesting/internal/config"
	"github.com/beesting-otel/beesting/internal/journal"
)

// engine is the part that outlives a receiver when the Collector reloads its
// configuration: the sensor with all that it watches, and the accesses that are
// not delivered yet. While it is parked it reads nothing: what is touched then
// waits in the kernel's ring, or with fanotify in the sensor's queue.
type engine struct {
	settings settings
	pin      string // where the sensor is pinned; empty for nowhere
	log      relay
	sensor   agent.Sensor
	core     *agent.Core
	out      wayOut
	meter    *exporter.Meter
	// last is the agent that ran with it, closed.
	last *agent.Agent
}

// settings are those that an engine is made with: with others it takes a new one.
type settings struct {
	stateDir string
	filesDir string
	sensor   config.Sensor
	journal  config.Journal
}

// wayOut is where an engine's accesses go. It outlives the engine where the next
// one has the same.
type wayOut struct {
	*exporter.PData
	journal *journal.Journal // nil where accesses wait in memory
}

// openWayOut makes one.
func openWayOut(h *host, s settings, queue int, log relay) (wayOut, error) {
	var w wayOut
	if s.journal.MaxBytes > 0 {
		var err error
		o := journal.Options{MaxBytes: int64(s.journal.MaxBytes), MaxAge: s.journal.MaxAge, Log: log.logger()}
		if w.journal, err = journal.OpenBelow(s.stateDir, o); err != nil {
			return w, err
		}
	}
	w.PData = exporter.NewPData(exporter.PDataOptions{
		Logger: log.logger(), Queue: queue, Journal: w.journal, LongestWait: h.longestWait,
		Permanent: consumererror.IsPermanent, LeftLogs: leftLogs, LeftTraces: leftTraces,
	})
	return w, nil
}

// journalStats returns nil where there is no journal.
func (w wayOut) journalStats() *journal.Stats {
	if w.journal == nil {
		return nil
	}
	s := w.journal.Stats()
	return &s
}

// fits says whether an engine with other settings can have the way out of one with
// these: what waits in memory goes anywhere, a journal is in its directory.
func (s settings) fits(next settings) bool {
	return s.journal == next.journal && (s.journal.MaxBytes == 0 || s.stateDir == next.stateDir)
}

// giveUp ends it for good, and returns how many accesses are lost by that: what is
// in a journal is not.
func (w wayOut) giveUp() (lost int, err error) {
	lost = w.Close()
	if w.journal != nil {
		err = w.journal.Close()
	}
	return lost, err
}

// openEngine attaches to the kernel, pinned if there is a place for it. log is
// where it says how. The counts of the
// kernel side begin anew, and so does what is measured with them.
func openEngine(h *host, s settings, pin string, log relay, out wayOut) (_ *engine, err error) {
	e := &engine{settings: s, log: log, out: out, meter: exporter.NewMeter(time.Now)}
	o := s.options(pin)
	var refused []agent.ModeAttempt
	if e.sensor, refused, err = h.open(o); err != nil {
		return nil, fmt.Errorf("attach to the kernel: %w", err)
	}
	e.core, err = agent.NewCore(agent.CoreOptions{
		Sensor: e.sensor, Sink: e, Log: log.logger(), MaxPlacements: s.sensor.MaxWatches,
		Exempt:      agent.Exempt{Binaries: s.sensor.Exempt.Binaries, Cgroups: s.sensor.Exempt.Cgroups},
		OpenTimeout: s.sensor.OpenTimeout, RepeatInterval: s.sensor.RepeatInterval,
		DrainTimeout: h.drain,
	})
	if err != nil {
		return nil, errors.Join(err, e.sensor.Close())
	}
	how := started(e.sensor, o, refused)
	how.Log(log.logger())
	e.pin = how.Pin
	return e, nil
}

func (s settings) options(pin string) agent.SensorOptions {
	return agent.SensorOptions{
		Mode: s.sensor.Mode, Tier: s.sensor.Tier, Pin: pin, RingBytes: s.sensor.RingBytes, MaxWatches: s.sensor.MaxWatches,
		RepeatInterval: s.sensor.RepeatInterval, ReportExempt: s.sensor.Exempt.Report,
	}
}

// started is how an open sensor watches, for the log.
func started(sensor agent.Sensor, o agent.SensorOptions, refused []agent.ModeAttempt) check.Start {
	s := check.Start{Asked: o.Mode, Mode: string(sensor.Mode()), Tier: string(sensor.Tier())}
	if agent.IsPinned(sensor) {
		s.Pin = o.Pin
	} else {
		s.PinRefused = o.Pin
	}
	for _, k := range agent.CoverageBy(sensor) {
		s.Kinds = append(s.Kinds, check.Kind(k))
	}
	for _, r := range refused {
		s.Refused = append(s.Refused, check.Attempt{Mode: r.Mode, Err: r.Err})
	}
	return s
}

// Deliver implements agent.Sink.
func (e *engine) Deliver(ctx context.Context, a beesting.Access) error {
	err := e.out.Deliver(ctx, a)
	if err == nil { // else it comes again
		e.meter.Observe(&a)
	}
	return err
}

// End implements agent.Sink.
func (e *engine) End(ctx context.Context, a beesting.Access) error { return e.out.End(ctx, a) }

// Gap implements agent.Sink.
func (e *engine) Gap(ctx context.Context, g beesting.Gap) error {
	err := e.out.Gap(ctx, g)
	if err == nil {
		e.meter.ObserveGap(&g)
	}
	return err
}

// drain queues what the kernel has. It is for an engine that is parked.
func (e *engine) drain() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return e.core.Run(ctx)
}

// owe is for an engine whose process may end before a successor delivers what is
// queued: what is pinned must not claim that it was told.
func (e *engine) owe() { e.core.Owe(e.out.Owed()) }

// close detaches and gives up what is not delivered.
func (e *engine) close() {
	e.detach(nil)
	e.giveUp()
}

func (e *engine) detach(err error) {
	if err := errors.Join(err, e.core.Close(), e.sensor.Close()); err != nil {
		e.log.logger().Error("detaching from the kernel", slog.Any("error", err))
	}
}

func (e *engine) giveUp() {
	lost, err := e.out.giveUp()
	if lost > 0 {
		e.log.logger().Error("telemetry given up: the receiver has ended", slog.Int("accesses", lost))
	}
	if err != nil {
		e.log.logger().Error("closing the journal", slog.Any("error", err))
	}
}
