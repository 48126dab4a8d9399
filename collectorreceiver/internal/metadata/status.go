// Package metadata holds the component's type, stability and internal telemetry
// in the form in which the Collector's mdatagen writes them from metadata.yaml.
// That tool is not run here: the files are kept by hand, and the receiver's
// metadata_test.go fails when they and metadata.yaml differ.
package metadata

import (
	"go.opentelemetry.io/collector/component"
)

var (
	// Type is the name that a configuration uses.
	Type = component.MustNewType("honeytoken") //nolint:gochecknoglobals // mdatagen's form; nobody assigns to it
	// ScopeName is the instrumentation scope of the internal telemetry.
	ScopeName = "github.com/beesting-otel/beesting/collectorreceiver" //nolint:gochecknoglobals // mdatagen's form; nobody assigns to it
)

// Stability of each signal.
const (
	LogsStability    = component.StabilityLevelAlpha
	TracesStability  = component.StabilityLevelAlpha
	MetricsStability = component.StabilityLevelAlpha
)
