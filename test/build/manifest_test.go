package build

import (
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/beesting-otel/beesting/test/collector"
)

const (
	root         = "../../"
	leanManifest = root + "builder-config.yaml"
	k8sManifest  = root + "builder-config-k8s.yaml"
)

func requirements(t *testing.T, goMod string) map[string]string {
	t.Helper()
	versions, err := Requirements(goMod)
	if err != nil {
		t.Fatal(err)
	}
	return versions
}

func manifest(t *testing.T, file string) Manifest {
	t.Helper()
	m, err := ReadManifest(file)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestManifestsAgreeWithGoMod(t *testing.T) {
	goMod := requirements(t, root+"go.mod")
	for _, file := range []string{leanManifest, k8sManifest} {
		for _, problem := range manifest(t, file).Problems(goMod) {
			t.Errorf("%s: %s", file, problem)
		}
	}
	if replaces := manifest(t, leanManifest).Replaces; len(replaces) > 0 {
		t.Errorf("%s has replaces: %q", leanManifest, replaces)
	}
}

// Each change to a manifest that a slip could make has to be found.
func TestProblemsBite(t *testing.T) {
	goMod := requirements(t, root+"go.mod")
	text, err := os.ReadFile(k8sManifest)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][3]string{
		"core, unstable":      {"otlpreceiver v0.165.0", "otlpreceiver v0.164.0", "otlpreceiver is v0.164.0"},
		"core, stable":        {"envprovider v1.71.0", "envprovider v1.70.0", "envprovider is v1.70.0"},
		"contrib":             {"filestorage v0.165.0", "filestorage v0.164.0", "filestorage is v0.164.0"},
		"older contrib":       {"k8sattributesprocessor v0.160.0", "k8sattributesprocessor v0.165.0", "not the one known to build"},
		"distribution":        {"version: 0.165.0", "version: 0.164.0", "dist.version is 0.164.0"},
		"receiver's version":  {"beesting v0.0.0", "beesting v0.1.0", "receivers has no"},
		"receiver's path":     {"    path: .\n", "    path: ..\n", "receivers has no"},
		"receiver's import":   {"/collectorreceiver", "/receiver", "receivers has no"},
		"replace":             {"collector v0.165.0", "collector v0.160.0", "replaces has"},
		"somebody's module":   {contrib + "processor/filterprocessor", "example.com/filterprocessor", "neither ours nor"},
		"version left out":    {"otlpexporter v0.165.0", "otlpexporter", "otlpexporter is ,"},
		"another stable pair": {"fileprovider v1.71.0", "fileprovider v0.71.0", "fileprovider is v0.71.0"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(string(text), change[0]) {
				t.Fatalf("%s has no %q", k8sManifest, change[0])
			}
			m, err := ParseManifest([]byte(strings.Replace(string(text), change[0], change[1], 1)))
			if err != nil {
				t.Fatal(err)
			}
			if found := m.Problems(goMod); !slices.ContainsFunc(found, func(s string) bool { return strings.Contains(s, change[2]) }) {
				t.Errorf("found %q, want %q among it", found, change[2])
			}
		})
	}
	if _, err := ParseManifest([]byte("dist: {go: x}")); err == nil {
		t.Error("an unknown key was taken")
	}
	changed := maps.Clone(goMod)
	changed[unstableModule] = "v0.166.0"
	if found := manifest(t, leanManifest).Problems(changed); len(found) < 8 {
		t.Errorf("after an update of go.mod alone: %q, want each module of the old version", found)
	}
}

// Whoever reads one manifest knows the other.
func TestManifestsDifferByTheAdditions(t *testing.T) {
	lean, k8s := manifest(t, leanManifest), manifest(t, k8sManifest)
	var added []string
	k8s.Processors = slices.DeleteFunc(k8s.Processors, func(m Module) bool {
		path, _, _ := strings.Cut(m.GoMod, " ")
		if !slices.Contains(olderNames, path) {
			return false
		}
		added = append(added, path)
		return true
	})
	if !slices.Equal(added, olderNames) {
		t.Errorf("%s adds %q, want %q", k8sManifest, added, olderNames)
	}
	if len(k8s.Replaces) != 1 {
		t.Errorf("%s replaces %q, want the core's root module", k8sManifest, k8s.Replaces)
	}
	if lean.Dist.Name == k8s.Dist.Name || lean.Dist.OutputPath == k8s.Dist.OutputPath {
		t.Errorf("both are built as %+v", lean.Dist)
	}
	k8s.Replaces, k8s.Dist = nil, lean.Dist
	if !reflect.DeepEqual(lean, k8s) {
		t.Errorf("apart from the additions:\n%+v\n%+v", lean, k8s)
	}
}

// One version of the Collector everywhere: in the module, in the builder, and in
// the Collector of the tests.
func TestOneCollectorVersion(t *testing.T) {
	goMod := requirements(t, root+"go.mod")
	pair := []string{goMod[stableModule], goMod[unstableModule]}
	if slices.Contains(pair, "") || pair[0] == pair[1] {
		t.Fatalf("go.mod's versions of the Collector: %q", pair)
	}
	for _, file := range []string{"go.mod", "internal/tools/go.mod", "test/collector/otelcol/go.mod"} {
		seen := 0
		for path, version := range requirements(t, root+file) {
			if !strings.HasPrefix(path, core) {
				continue
			}
			seen++
			if !slices.Contains(pair, version) {
				t.Errorf("%s: %s is %s, want one of %q", file, path, version, pair)
			}
		}
		if seen == 0 {
			t.Errorf("%s requires no module of the Collector", file)
		}
	}
	if builder := requirements(t, root+"internal/tools/go.mod")[core+"cmd/builder"]; builder != pair[1] {
		t.Errorf("internal/tools has builder %s, want %s", builder, pair[1])
	}
	if "v"+collector.Version != pair[1] {
		t.Errorf("the tests' Collector is v%s, want %s", collector.Version, pair[1])
	}
}
