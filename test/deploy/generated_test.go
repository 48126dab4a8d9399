package deploy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/beesting-otel/beesting/internal/config"
)

// current holds a generated file against what its source gives, or writes it.
func current(t *testing.T, name string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is out of date: run `make generate`", name)
	}
}

// TestFilesOfTheCollectorAreCurrent: a chart can't have files from outside of its directory. It
// comes before what is made with them.
func TestFilesOfTheCollectorAreCurrent(t *testing.T) {
	for _, name := range []string{"node.yaml", "node-k8s.yaml", "gateway.yaml", "gateway-tls.yaml"} {
		want, err := os.ReadFile(filepath.Join("../../deploy/otel/collector", name))
		if err != nil {
			t.Fatal(err)
		}
		current(t, filepath.Join(chartDir, "files", name), want)
	}
}

// baseRows are the kustomize bases and the values that they are rendered with.
var baseRows = []variant{
	{"agent", values{"otlp": values{"endpoint": "http://otel-collector.monitoring:4318"}, "podSecurity": values{"createNamespace": true}}},
	{"collector", values{"mode": "collector", "collector": values{"insecure": true}, "gateway": values{"enabled": true}, "podSecurity": values{"createNamespace": true}}},
}

// TestBasesAreCurrent holds the bases against the chart, which they are made from:
// two descriptions of one thing would drift apart.
func TestBasesAreCurrent(t *testing.T) {
	for _, base := range baseRows {
		files, err := render(t, base.values)
		if err != nil {
			t.Fatal(err)
		}
		maps.DeleteFunc(files, func(name, _ string) bool { return strings.HasPrefix(name, "tests/") })
		dir := filepath.Join(basesDir, base.name)
		list := "# Made from the chart beside it by `make generate`: change that one.\n" +
			"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n"
		for _, name := range slices.Sorted(maps.Keys(files)) {
			list += "  - " + name + "\n"
			current(t, filepath.Join(dir, name), []byte("# Made from the chart beside it by `make generate`: change that one.\n"+withoutHelm(files[name])))
		}
		current(t, filepath.Join(dir, "kustomization.yaml"), []byte(list))
		there, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range there {
			if _, ok := files[e.Name()]; !ok && e.Name() != "kustomization.yaml" {
				t.Errorf("%s is of no template", filepath.Join(dir, e.Name()))
			}
		}
	}
}

// withoutHelm takes out what only a release of Helm's has.
func withoutHelm(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		if !strings.HasPrefix(trimmed, "helm.sh/chart:") && !strings.HasPrefix(trimmed, "app.kubernetes.io/managed-by:") && (trimmed != "" || out.Len() > 0) {
			out.WriteString(strings.TrimRight(line, " \n") + "\n")
		}
	}
	return strings.TrimRight(out.String(), "\n") + "\n"
}

// value is a row of the chart's README.
type value struct{ key, fallback, about string }

// described are the values with a comment that begins with "--".
func described(t *testing.T, n *yaml.Node, prefix string) []value {
	t.Helper()
	var out []value
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, child := n.Content[i], n.Content[i+1]
		path := prefix + key.Value
		_, about, has := strings.Cut(key.HeadComment, "# -- ")
		switch {
		case has:
			var v any
			if err := child.Decode(&v); err != nil {
				t.Fatal(err)
			}
			fallback, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, value{path, string(fallback), strings.ReplaceAll(about, "\n# ", " ")})
		case child.Kind == yaml.MappingNode:
			out = append(out, described(t, child, path+".")...)
		default:
			t.Errorf("value %s: no comment that begins with \"--\"", path)
		}
	}
	return out
}

func valueRows(t *testing.T) []value {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(chartDir, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return described(t, doc.Content[0], "")
}

func TestReadmeIsCurrent(t *testing.T) {
	c := loadChart(t)
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\n%s\n\n<!-- Made from values.yaml by `make generate`; a test fails when it is out of date. -->\n\n", c.Name(), c.Metadata.Description)
	fmt.Fprintf(&b, "Kubernetes %s, containerd 2 or 1.7 with NRI switched on.\n[docs/kubernetes.md](../../../../docs/kubernetes.md) has the rest.\n\n", strings.TrimSuffix(c.Metadata.KubeVersion, "-0"))
	b.WriteString("```sh\nhelm install beesting deploy/otel/chart/beesting --namespace beesting --create-namespace \\\n  --set otlp.endpoint=http://otel-collector.monitoring:4318 --wait\nhelm test beesting --namespace beesting\n```\n\n")
	b.WriteString("## Values\n\n| value | default | what it says |\n|---|---|---|\n")
	for _, v := range valueRows(t) {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", v.key, strings.ReplaceAll(v.fallback, "|", "\\|"), strings.ReplaceAll(v.about, "|", "\\|"))
	}
	current(t, filepath.Join(chartDir, "README.md"), b.Bytes())
}

// TestSchemaKnowsEveryValue compares names; that types fit is Helm's to say.
func TestSchemaKnowsEveryValue(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal(loadChart(t).Schema, &schema); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	var walk func(s map[string]any, prefix string)
	walk = func(s map[string]any, prefix string) {
		properties, _ := s["properties"].(map[string]any)
		for name, child := range properties {
			known[prefix+name] = true
			walk(child.(map[string]any), prefix+name+".")
		}
	}
	walk(schema, "")
	for _, v := range valueRows(t) {
		if !known[v.key] && !strings.Contains(v.key, "resources.") && !strings.Contains(v.key, "Profile") {
			t.Errorf("value %s is not in the schema", v.key)
		}
	}
}

// TestConfigurationsAreValid has the agent itself read what it would get.
func TestConfigurationsAreValid(t *testing.T) {
	n := 0
	for name, objects := range everything(t) {
		for _, text := range agentConfigs(objects) {
			n++
			file := filepath.Join(t.TempDir(), "beesting.yaml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := config.Load(file, config.Environment{
				LookupEnv: func(string) (string, bool) { return "", false },
				Hostname:  func() (string, error) { return "node", nil },
			})
			if err != nil {
				t.Errorf("%s: %v\n%s", name, err, text)
			}
			if len(c.Tokens) == 0 || c.NRI.Socket == "" {
				t.Errorf("%s: %+v", name, c)
			}
		}
	}
	if n < 4 {
		t.Errorf("only %d configurations were found", n)
	}
}
