package build

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const examples = root + "deploy/otel/collector/examples/"

// The examples differ from the file they start from by the receiver alone.
func TestExamplesAddTheReceiver(t *testing.T) {
	before := manifest(t, examples+"before.yaml")
	for file, want := range map[string]struct{ version, path string }{
		"after.yaml":      {`^v0\.0\.0$`, "../beesting"},
		"by-version.yaml": {`^v[0-9]+\.[0-9]+\.[0-9]+$`, ""},
	} {
		m := manifest(t, examples+file)
		version, found := strings.CutPrefix(m.Receivers[0].GoMod, ourModule+" ")
		if !found || !regexp.MustCompile(want.version).MatchString(version) || (want.path == "") == (version == "v0.0.0") {
			t.Errorf("%s has %q", file, m.Receivers[0].GoMod)
		}
		if r := m.Receivers[0]; r.Import != ourModule+"/collectorreceiver" || r.Path != want.path {
			t.Errorf("%s has %+v", file, r)
		}
		m.Receivers = m.Receivers[1:]
		if !reflect.DeepEqual(before, m) {
			t.Errorf("apart from the receiver %s is\n%+v, before\n%+v", file, m, before)
		}
	}
	goMod := requirements(t, root+"go.mod")
	for _, module := range before.modules() {
		path, version, _ := strings.Cut(module.GoMod, " ")
		if !slices.Contains([]string{goMod[stableModule], goMod[unstableModule]}, version) {
			t.Errorf("before.yaml has %s at %s", path, version)
		}
	}
}
