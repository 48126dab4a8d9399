package collectorreceiver

import (
	"context"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/beesting-otel/beesting/collectorreceiver/internal/metadata"
)

// meta is metadata.yaml. It has every key that is in use there: another one is
// refused.
type meta struct {
	DisplayName   string `mapstructure:"display_name"`
	Type          string `mapstructure:"type"`
	GithubProject string `mapstructure:"github_project"`
	Status        struct {
		Class                string              `mapstructure:"class"`
		Stability            map[string][]string `mapstructure:"stability"`
		Distributions        []string            `mapstructure:"distributions"`
		UnsupportedPlatforms []string            `mapstructure:"unsupported_platforms"`
		Warnings             []string            `mapstructure:"warnings"`
		Codeowners           struct {
			Active     []string `mapstructure:"active"`
			SeekingNew bool     `mapstructure:"seeking_new"`
		} `mapstructure:"codeowners"`
		DisableCodecovBadge bool `mapstructure:"disable_codecov_badge"`
	} `mapstructure:"status"`
	Tests struct {
		Config map[string]any `mapstructure:"config"`
	} `mapstructure:"tests"`
	Attributes map[string]metaAttribute `mapstructure:"attributes"`
	Telemetry  struct {
		Metrics map[string]metaMetric `mapstructure:"metrics"`
	} `mapstructure:"telemetry"`
}

type metaAttribute struct {
	NameOverride string   `mapstructure:"name_override"`
	Description  string   `mapstructure:"description"`
	Type         string   `mapstructure:"type"`
	Enum         []string `mapstructure:"enum"`
}

type metaMetric struct {
	Enabled     bool        `mapstructure:"enabled"`
	Stability   string      `mapstructure:"stability"`
	Description string      `mapstructure:"description"`
	Unit        string      `mapstructure:"unit"`
	Attributes  []string    `mapstructure:"attributes"`
	Sum         *metaValues `mapstructure:"sum"`
	Gauge       *metaValues `mapstructure:"gauge"`
}

type metaValues struct {
	ValueType string `mapstructure:"value_type"`
	Monotonic bool   `mapstructure:"monotonic"`
	Async     bool   `mapstructure:"async"`
}

func readMeta(t *testing.T) meta {
	t.Helper()
	cm, err := confmaptest.LoadConf("metadata.yaml")
	require.NoError(t, err)
	var m meta
	require.NoError(t, cm.Unmarshal(&m))
	return m
}

// title is a word as mdatagen capitalises it.
func title(word string) string { return strings.ToUpper(word[:1]) + word[1:] }

func camel(name string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(name, "_") {
		b.WriteString(title(word))
	}
	return b.String()
}

func TestMetadataStatus(t *testing.T) {
	m := readMeta(t)
	assert.Equal(t, m.Type, metadata.Type.String())
	assert.Equal(t, reflect.TypeFor[Config]().PkgPath(), metadata.ScopeName)
	assert.Equal(t, "receiver", m.Status.Class)
	assert.Equal(t, "github.com/"+m.GithubProject+"/collectorreceiver", metadata.ScopeName)

	test, err := os.ReadFile("component_test.go")
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(string(test), "//go:build !"+strings.Join(m.Status.UnsupportedPlatforms, " && !")+"\n"),
		"component_test.go is left out on other platforms than the unsupported ones")

	want := map[string]component.StabilityLevel{}
	for level, signals := range m.Status.Stability {
		var l component.StabilityLevel
		require.NoError(t, l.UnmarshalText([]byte(level)))
		for _, signal := range signals {
			want[signal] = l
		}
	}
	assert.Equal(t, want, map[string]component.StabilityLevel{
		"logs": metadata.LogsStability, "traces": metadata.TracesStability, "metrics": metadata.MetricsStability,
	})
}

// collect registers a callback for every instrument, each observing once, and
// reads what then comes out.
func collect(t *testing.T, reader *sdkmetric.ManualReader) []metricdata.Metrics {
	t.Helper()
	var rm metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &rm))
	var out []metricdata.Metrics
	for _, scope := range rm.ScopeMetrics {
		assert.Equal(t, metadata.ScopeName, scope.Scope.Name)
		out = append(out, scope.Metrics...)
	}
	return out
}

func telemetryOf(provider metric.MeterProvider) component.TelemetrySettings {
	set := componenttest.NewNopTelemetrySettings()
	set.MeterProvider = provider
	return set
}

func TestMetadataTelemetry(t *testing.T) {
	m := readMeta(t)
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	t.Cleanup(func() { assert.NoError(t, provider.Shutdown(context.Background())) })
	builder, err := metadata.NewTelemetryBuilder(telemetryOf(provider))
	require.NoError(t, err)
	require.Empty(t, collect(t, reader))

	var registers []string
	for i := range reflect.TypeOf(builder).NumMethod() {
		name, is := strings.CutPrefix(reflect.TypeOf(builder).Method(i).Name, "Register")
		if !is {
			continue
		}
		registers = append(registers, strings.TrimSuffix(name, "Callback"))
		before := len(collect(t, reader))
		var cb any = metric.Int64Callback(func(_ context.Context, o metric.Int64Observer) error { o.Observe(7); return nil })
		call := reflect.ValueOf(builder).Method(i)
		if call.Type().In(0) == reflect.TypeFor[metric.Float64Callback]() {
			cb = metric.Float64Callback(func(_ context.Context, o metric.Float64Observer) error { o.Observe(7); return nil })
		}
		require.True(t, call.Call([]reflect.Value{reflect.ValueOf(cb)})[0].IsNil())
		require.Len(t, collect(t, reader), before+1, "%s observes another instrument than its own", name)
	}
	var wantRegisters, wantMetrics, gotMetrics []string
	for name, metric := range m.Telemetry.Metrics {
		wantRegisters = append(wantRegisters, camel(name))
		wantMetrics = append(wantMetrics, metric.line(name))
	}
	for _, got := range collect(t, reader) {
		gotMetrics = append(gotMetrics, line(t, got))
	}
	slices.Sort(wantRegisters)
	slices.Sort(wantMetrics)
	slices.Sort(gotMetrics)
	assert.Equal(t, wantRegisters, registers)
	assert.Equal(t, wantMetrics, gotMetrics)

	builder.Shutdown()
	builder.Shutdown()
	require.Empty(t, collect(t, reader), "callbacks are called after Shutdown")
}

// line says all of a metric that metadata.yaml says.
func (m metaMetric) line(name string) string {
	values, kind := m.Gauge, "gauge"
	if m.Sum != nil {
		values, kind = m.Sum, "sum"
	}
	return fmt.Sprintf("otelcol_%s|%s [%s]|%s|%s|%s|%t", name, m.Description, title(m.Stability), m.Unit, kind, values.ValueType, values.Monotonic)
}

func line(t *testing.T, m metricdata.Metrics) string {
	t.Helper()
	kind, value, monotonic := "", "", false
	switch d := m.Data.(type) {
	case metricdata.Gauge[int64]:
		kind, value = "gauge", "int"
	case metricdata.Gauge[float64]:
		kind, value = "gauge", "double"
	case metricdata.Sum[int64]:
		kind, value, monotonic = "sum", "int", d.IsMonotonic
	case metricdata.Sum[float64]:
		kind, value, monotonic = "sum", "double", d.IsMonotonic
	default:
		t.Fatalf("%s is a %T", m.Name, d)
	}
	return fmt.Sprintf("%s|%s|%s|%s|%s|%t", m.Name, m.Description, m.Unit, kind, value, monotonic)
}

// What metadata.yaml could get wrong without any of the above noticing.
func TestMetadataIsWhole(t *testing.T) {
	m := readMeta(t)
	used := map[string]bool{}
	for name, metric := range m.Telemetry.Metrics {
		require.True(t, metric.Enabled && (metric.Sum == nil) != (metric.Gauge == nil), name)
		values := metric.Sum
		if values == nil {
			values = metric.Gauge
		}
		require.True(t, values.Async, "%s: every instrument is asynchronous", name)
		require.Contains(t, m.Status.Stability, metric.Stability, name)
		for _, attribute := range metric.Attributes {
			require.Contains(t, m.Attributes, attribute, name)
			used[attribute] = true
		}
	}
	assert.Equal(t, slices.Sorted(maps.Keys(m.Attributes)), slices.Sorted(maps.Keys(used)))
	_, err := metadata.NewTelemetryBuilder(telemetryOf(noop.NewMeterProvider()))
	assert.NoError(t, err)
}

// statusBlock is what mdatagen puts at the head of README.md, without the badges
// and distributions that this component doesn't have.
func statusBlock(m meta) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n| Status        |           |\n| ------------- |-----------|\n", m.DisplayName)
	levels := slices.Sorted(maps.Keys(m.Status.Stability))
	for i, level := range levels {
		head := "Stability"
		if i > 0 {
			head = "         "
		}
		fmt.Fprintf(&b, "| %s     | [%s]: %s   |\n", head, level, strings.Join(m.Status.Stability[level], ", "))
	}
	fmt.Fprintf(&b, "| Unsupported Platforms | %s |\n", strings.Join(m.Status.UnsupportedPlatforms, ", "))
	if len(m.Status.Distributions) > 0 {
		fmt.Fprintf(&b, "| Distributions | %s |\n", strings.Join(m.Status.Distributions, ", "))
	}
	var warnings []string
	for _, w := range m.Status.Warnings {
		warnings = append(warnings, "["+w+"](#warnings)")
	}
	fmt.Fprintf(&b, "| Warnings      | %s |\n", strings.Join(warnings, ", "))
	fmt.Fprintf(&b, "| Issues        | [%s](https://github.com/%s/issues) |\n", m.GithubProject, m.GithubProject)
	owners := "nobody by name yet"
	if len(m.Status.Codeowners.Active) > 0 {
		owners = "@" + strings.Join(m.Status.Codeowners.Active, ", @")
	}
	if m.Status.Codeowners.SeekingNew {
		owners += ` \| Seeking more code owners!`
	}
	fmt.Fprintf(&b, "| Code Owners   | %s |\n\n", owners)
	for _, level := range levels {
		fmt.Fprintf(&b, "[%s]: https://github.com/open-telemetry/opentelemetry-collector/blob/main/docs/component-stability.md#%s\n", level, level)
	}
	return b.String()
}

// documentation is the file of that name, in mdatagen's form.
func documentation(m meta) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[comment]: <> (Made from metadata.yaml by go generate ./collectorreceiver.)\n\n"+
		"# %s\n\n## Internal Telemetry\n\nThe following telemetry is emitted by this component.\n", m.Type)
	for _, name := range slices.Sorted(maps.Keys(m.Telemetry.Metrics)) {
		metric := m.Telemetry.Metrics[name]
		fmt.Fprintf(&b, "\n### otelcol_%s\n\n%s\n\n", name, metric.Description)
		if s := metric.Sum; s != nil {
			fmt.Fprintf(&b, "| Unit | Metric Type | Value Type | Monotonic | Stability |\n| ---- | ----------- | ---------- | --------- | --------- |\n"+
				"| %s | Sum | %s | %t | %s |\n", metric.Unit, title(s.ValueType), s.Monotonic, title(metric.Stability))
		} else {
			fmt.Fprintf(&b, "| Unit | Metric Type | Value Type | Stability |\n| ---- | ----------- | ---------- | --------- |\n"+
				"| %s | Gauge | %s | %s |\n", metric.Unit, title(metric.Gauge.ValueType), title(metric.Stability))
		}
		if len(metric.Attributes) == 0 {
			continue
		}
		b.WriteString("\n#### Attributes\n\n| Name | Description | Values | Semantic Convention |\n| ---- | ----------- | ------ | ------------------- |\n")
		for _, key := range metric.Attributes {
			a := m.Attributes[key]
			name, values := key, "Any Str"
			if a.NameOverride != "" {
				name = a.NameOverride
			}
			if len(a.Enum) > 0 {
				values = "Str: ``" + strings.Join(a.Enum, "``, ``") + "``"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | - |\n", name, a.Description, values)
		}
	}
	return b.String()
}

// TestDocumentsAreCurrent keeps true what the code says: documentation.md, the
// reference of the configuration, and two blocks of README.md. go generate
// writes them; the prose of README.md is written by hand.
func TestDocumentsAreCurrent(t *testing.T) {
	m := readMeta(t)
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	current(t, "documentation.md", documentation(m))
	current(t, "../docs/collector-configuration.md", configurationReference(t))
	text := block(t, string(readme), "<!-- status section: made from metadata.yaml -->\n", "<!-- end status section -->", statusBlock(m))
	text = block(t, text, "<!-- configuration table: made by go generate -->\n", "<!-- end configuration table -->", configurationTable())
	current(t, "README.md", text)
}

// block replaces what stands between the two marks.
func block(t *testing.T, text, begin, end, inner string) string {
	t.Helper()
	re := regexp.MustCompile("(?s)" + regexp.QuoteMeta(begin) + ".*?" + regexp.QuoteMeta(end))
	require.Len(t, re.FindAllString(text, -1), 1, begin)
	return re.ReplaceAllLiteralString(text, begin+inner+end)
}

func current(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o644)) //nolint:gosec // documentation
	}
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, want, string(got), "%s is not what the code says: go generate ./collectorreceiver", path)
}
