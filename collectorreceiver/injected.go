package collectorreceiver

import (
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// signalAttribute is what the Collector adds to the telemetry of a component to
// say for which signal it was made.
const signalAttribute = "otelcol.signal"

// withoutSignal takes that attribute out of logger, meter and tracer: what all
// signals of a receiver share is not the first one's. It does what the
// DropInjectedAttributes of collector/internal/telemetry (0.165) does for the otlp
// receiver; that package can't be imported from here.
func withoutSignal(ts component.TelemetrySettings) component.TelemetrySettings {
	ts.Logger = ts.Logger.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		if injector, ok := c.(interface{ DropInjectedAttributes(...string) zapcore.Core }); ok {
			return injector.DropInjectedAttributes(signalAttribute)
		}
		return c
	}))
	if injector, ok := ts.MeterProvider.(interface {
		DropInjectedAttributes(...string) metric.MeterProvider
	}); ok {
		ts.MeterProvider = injector.DropInjectedAttributes(signalAttribute)
	}
	if injector, ok := ts.TracerProvider.(interface {
		DropInjectedAttributes(...string) trace.TracerProvider
	}); ok {
		ts.TracerProvider = injector.DropInjectedAttributes(signalAttribute)
	}
	return ts
}
