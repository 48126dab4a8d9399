package collectorreceiver

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// The injectors stand in for the Collector's, which are in an internal package of
// its service.
type injector struct{ dropped *[]string }

func (i injector) drop(what string, attrs []string) {
	*i.dropped = append(*i.dropped, what+" "+attrs[0])
}

type injectorCore struct {
	zapcore.Core
	injector
}

func (c injectorCore) DropInjectedAttributes(attrs ...string) zapcore.Core {
	c.drop("logger", attrs)
	return c.Core
}

type injectorMeters struct {
	metric.MeterProvider
	injector
}

func (p injectorMeters) DropInjectedAttributes(attrs ...string) metric.MeterProvider {
	p.drop("meter", attrs)
	return p.MeterProvider
}

type injectorTracers struct {
	trace.TracerProvider
	injector
}

func (p injectorTracers) DropInjectedAttributes(attrs ...string) trace.TracerProvider {
	p.drop("tracer", attrs)
	return p.TracerProvider
}

// What the signals share doesn't say that it is one's.
func TestSharedTelemetryHasNoSignal(t *testing.T) {
	var dropped []string
	i := injector{&dropped}
	set := componenttest.NewNopTelemetrySettings()
	set.Logger = zap.New(injectorCore{zapcore.NewNopCore(), i})
	set.MeterProvider = injectorMeters{metricnoop.NewMeterProvider(), i}
	set.TracerProvider = injectorTracers{tracenoop.NewTracerProvider(), i}
	got := withoutSignal(set)
	slices.Sort(dropped)
	assert.Equal(t, []string{"logger otelcol.signal", "meter otelcol.signal", "tracer otelcol.signal"}, dropped)
	assert.Equal(t, metricnoop.NewMeterProvider(), got.MeterProvider)
	assert.Equal(t, tracenoop.NewTracerProvider(), got.TracerProvider)
	plain := componenttest.NewNopTelemetrySettings()
	assert.Equal(t, plain.MeterProvider, withoutSignal(plain).MeterProvider)
}
