//go:build linux

package collectorreceiver

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/beesting-otel/beesting/collectorreceiver/internal/metadata"
)

// What a running receiver observes is what metadata.yaml says of attributes:
// the same keys, and no other values.
func TestMetadataAttributes(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	t.Cleanup(func() { assert.NoError(t, provider.Shutdown(context.Background())) })
	h := newTestHost(t)
	p := &pipelines{}
	p.refuse(consumererror.NewPermanent(errors.New("unfit")))
	set := receivertest.NewNopSettings(metadata.Type)
	set.MeterProvider = provider
	c, err := newFactory(h.host).CreateLogs(t.Context(), set, h.config(), p)
	require.NoError(t, err)
	require.NoError(t, c.Start(t.Context(), &statuses{}))
	h.touch(1)

	m := readMeta(t)
	var seen map[string][]attribute.Set
	eventually(t, "a dropped access", func() bool {
		seen = points(t, reader)
		return len(seen["otelcol_honeytoken_accesses_dropped"]) > 0
	})
	for name, metric := range m.Telemetry.Metrics {
		require.NotEmpty(t, seen["otelcol_"+name], name)
		for _, set := range seen["otelcol_"+name] {
			var keys []string
			for _, key := range metric.Attributes {
				a := m.Attributes[key]
				if a.NameOverride != "" {
					key = a.NameOverride
				}
				keys = append(keys, key)
				value, _ := set.Value(attribute.Key(key))
				assert.Contains(t, a.Enum, value.AsString(), "%s: %s", name, key)
			}
			slices.Sort(keys)
			var got []string
			for _, kv := range set.ToSlice() {
				got = append(got, string(kv.Key))
			}
			assert.Equal(t, keys, got, name)
		}
	}
	require.NoError(t, c.Shutdown(t.Context()))
	require.Empty(t, points(t, reader)["otelcol_honeytoken_placements"], "observed after Shutdown")
}

// points gives the attributes of every point, by metric.
func points(t *testing.T, reader *sdkmetric.ManualReader) map[string][]attribute.Set {
	t.Helper()
	var rm metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &rm))
	out := map[string][]attribute.Set{}
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch d := m.Data.(type) {
			case metricdata.Gauge[int64]:
				out[m.Name] = sets(d.DataPoints)
			case metricdata.Sum[int64]:
				out[m.Name] = sets(d.DataPoints)
			case metricdata.Sum[float64]:
				out[m.Name] = sets(d.DataPoints)
			}
		}
	}
	return out
}

func sets[N int64 | float64](points []metricdata.DataPoint[N]) []attribute.Set {
	var out []attribute.Set
	for _, p := range points {
		out = append(out, p.Attributes)
	}
	return out
}
