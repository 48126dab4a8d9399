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
	"github.com/beesting-otel/beesting/internal/config"
)

// engine is the part that outlives a receiver when the Collector reloads its
// configuration: the sensor with all that it watches, and the accesses that are
// not delivered yet. While it is parked it has no goroutine; what is touched
// then waits in the kernel's ring.
type engine struct {
	settings settings
	log      relay
	sensor   agent.Sensor
	core     *agent.Core
	out      *exporter.PData
	meter    *exporter.Meter
	// last is the agent that ran with it, closed.
	last *agent.Agent
}

// settings are those that an engine is made with: with others it takes a new one.
type settings struct {
	stateDir string
	sensor   config.Sensor
}

// newPData makes the way out of an engine.
func newPData(h *host, queue int, log relay) *exporter.PData {
	return exporter.NewPData(exporter.PDataOptions{
		Logger: log.logger(), Queue: queue, LongestWait: h.longestWait,
		Permanent: consumererror.IsPermanent, LeftLogs: leftLogs, LeftTraces: leftTraces,
	})
}

// openEngine attaches to the kernel. log is where it says how. The counts of the
// kernel side begin anew, and so does what is measured with them.
func openEngine(h *host, s settings, log relay, out *exporter.PData) (_ *engine, err error) {
	e := &engine{settings: s, log: log, out: out, meter: exporter.NewMeter(time.Now)}
	var refused []agent.ModeAttempt
	e.sensor, refused, err = h.open(agent.SensorOptions{Mode: s.sensor.Mode, RingBytes: s.sensor.RingBytes, MaxWatches: s.sensor.MaxWatches})
	if err != nil {
		return nil, fmt.Errorf("attach to the kernel: %w", err)
	}
	e.core, err = agent.NewCore(agent.CoreOptions{
		Sensor: e.sensor, Sink: e, Log: log.logger(), MaxPlacements: s.sensor.MaxWatches,
		DrainTimeout: h.drain,
	})
	if err != nil {
		return nil, errors.Join(err, e.sensor.Close())
	}
	for _, r := range refused {
		log.logger().Info("attach mode refused", slog.String("mode", r.Mode), slog.Any("error", r.Err))
	}
	log.logger().Info("attached", slog.String("mode", string(e.sensor.Mode())))
	return e, nil
}

// Deliver implements agent.Sink.
func (e *engine) Deliver(ctx context.Context, a beesting.Access) error {
	e.meter.Observe(&a)
	return e.out.Deliver(ctx, a)
}

// retire queues what the kernel has, and detaches: nothing is watched any more.
// It is for an engine that is parked.
func (e *engine) retire() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	e.detach(e.core.Run(ctx))
}

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
	if lost := e.out.Close(); lost > 0 {
		e.log.logger().Error("telemetry given up: the receiver has ended", slog.Int("accesses", lost))
	}
}
