package collector

import (
	"os"
	"strings"
	"testing"
)

// The helper looks for the binary by the version that the module has.
func TestVersionIsTheModules(t *testing.T) {
	mod, err := os.ReadFile("otelcol/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if want := "go.opentelemetry.io/collector/otelcol v" + Version + "\n"; !strings.Contains(string(mod), want) {
		t.Errorf("otelcol/go.mod has no line %q", want)
	}
}
