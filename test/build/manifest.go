package build

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Manifest is a configuration of the Collector builder (cmd/builder,
// internal/builder/config.go): the keys that are used here, and no others.
type Manifest struct {
	Dist struct {
		Name        string `yaml:"name"`
		Description string `yaml:"description"`
		OutputPath  string `yaml:"output_path"`
		Version     string `yaml:"version"`
	} `yaml:"dist"`
	Receivers  []Module `yaml:"receivers"`
	Processors []Module `yaml:"processors"`
	Exporters  []Module `yaml:"exporters"`
	Extensions []Module `yaml:"extensions"`
	Providers  []Module `yaml:"providers"`
	Replaces   []string `yaml:"replaces"`
}

// Module is one component of a Manifest.
type Module struct {
	GoMod  string `yaml:"gomod"`
	Import string `yaml:"import"`
	Path   string `yaml:"path"`
}

// ReadManifest reads a manifest and refuses what Manifest doesn't know.
func ReadManifest(file string) (Manifest, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return Manifest{}, fmt.Errorf("manifest: %w", err)
	}
	m, err := ParseManifest(text)
	if err != nil {
		return Manifest{}, fmt.Errorf("manifest %s: %w", file, err)
	}
	return m, nil
}

// ParseManifest is ReadManifest for a text.
func ParseManifest(text []byte) (Manifest, error) {
	var m Manifest
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&m); err != nil && !errors.Is(err, io.EOF) {
		return Manifest{}, err
	}
	return m, nil
}

// modules are all components of m.
func (m Manifest) modules() []Module {
	return slices.Concat(m.Receivers, m.Processors, m.Exporters, m.Extensions, m.Providers)
}

// Requirements reads the versions that a go.mod asks for, by module path.
func Requirements(goMod string) (map[string]string, error) {
	text, err := exec.Command("go", "mod", "edit", "-json", goMod).Output()
	if err != nil {
		return nil, fmt.Errorf("go mod edit %s: %w", goMod, err)
	}
	var file struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("go mod edit %s: %w", goMod, err)
	}
	versions := make(map[string]string, len(file.Require))
	for _, r := range file.Require {
		versions[r.Path] = r.Version
	}
	return versions, nil
}

const (
	ourModule = "github.com/beesting-otel/beesting"
	core      = "go.opentelemetry.io/collector/"
	contrib   = "github.com/open-telemetry/opentelemetry-collector-contrib/"
	// One module of each kind says what the version of the others is: the
	// Collector is released as a pair, and a module is of one kind.
	stableModule   = core + "component"
	unstableModule = core + "component/componenttest"
	// Rules of the manifest for Kubernetes.
	olderContrib = "v0.160.0"
	rootReplace  = "go.opentelemetry.io/collector => go.opentelemetry.io/collector "
)

// olderNames are contrib's modules that builder-config-k8s.yaml adds.
var olderNames = []string{
	contrib + "processor/filterprocessor",
	contrib + "processor/k8sattributesprocessor",
	contrib + "processor/transformprocessor",
}

// Problems says what of a manifest doesn't agree with the versions of go.mod.
func (m Manifest) Problems(goMod map[string]string) []string {
	var found []string
	report := func(format string, a ...any) { found = append(found, fmt.Sprintf(format, a...)) }
	stable, unstable := goMod[stableModule], goMod[unstableModule]
	if "v"+m.Dist.Version != unstable {
		report("dist.version is %s, go.mod's Collector %s", m.Dist.Version, unstable)
	}
	receiver := Module{GoMod: ourModule + " v0.0.0", Import: ourModule + "/collectorreceiver", Path: "."}
	if !slices.Contains(m.Receivers, receiver) {
		report("receivers has no %+v", receiver)
	}
	for _, module := range m.modules() {
		path, version, _ := strings.Cut(module.GoMod, " ")
		required, inGoMod := goMod[path]
		switch {
		case module == receiver:
		case module.Path != "" || module.Import != "":
			report("%s has a path or an import of its own", path)
		case inGoMod && version != required:
			report("%s is %s, in go.mod %s", path, version, required)
		case slices.Contains(olderNames, path):
			if version != olderContrib {
				report("%s is %s, which is not the one known to build, %s", path, version, olderContrib)
			}
		case strings.HasPrefix(path, core) && version != stable && version != unstable:
			report("%s is %s, neither %s nor %s", path, version, stable, unstable)
		case strings.HasPrefix(path, contrib) && version != unstable:
			report("%s is %s, not %s", path, version, unstable)
		case !strings.HasPrefix(path, core) && !strings.HasPrefix(path, contrib):
			report("%s is neither ours nor the Collector's", path)
		}
	}
	for _, replace := range m.Replaces {
		if replace != rootReplace+unstable {
			report("replaces has %q", replace)
		}
	}
	return found
}
