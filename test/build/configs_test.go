//go:build integration

package build

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The Collectors that `make collector collector-k8s` built.
const (
	leanBinary = root + "dist/otelcol-beesting"
	k8sBinary  = root + "dist/k8s/otelcol-beesting-k8s"
)

const (
	configs  = root + "deploy/otel/collector"
	validate = root + "hack/collector-validate.sh"
)

func TestConfigurationsAreValid(t *testing.T) {
	lean := []string{"node", "gateway", "gateway gateway-tls"}
	for binary, want := range map[string][]string{
		leanBinary: lean,
		k8sBinary:  slices.Concat(lean, []string{"node node-k8s", "node alerts", "node node-k8s alerts"}),
	} {
		out, err := exec.Command(validate, binary).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", binary, err, out)
		}
		var valid []string
		for line := range strings.Lines(string(out)) {
			_, combination, _ := strings.Cut(line, "valid: ")
			valid = append(valid, strings.TrimSpace(combination))
		}
		if !slices.Equal(valid, want) {
			t.Errorf("%s found valid: %q, want %q", binary, valid, want)
		}
	}
}

// In a copy of each file one thing is broken, and the check has to say so.
func TestBrokenConfigurationsAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ file, old, new, says string }{
		"key of the receiver":    {"node", "state_dir:", "statedir:", "statedir"},
		"rule of the receiver":   {"node", "path: /root/.aws/credentials", "path: credentials", "tokens[0].path"},
		"nobody to plant for":    {"node", "    match:\n", "    nomatch:\n", "match"},
		"processor in pipeline":  {"node", "[memory_limiter]", "[memory_limit]", "memory_limit"},
		"variable":               {"node", "env:STORAGE_DIR:-/var/lib/otelcol/storage", "env:STORAGE", "${env:STORAGE}"},
		"queue":                  {"gateway", "sizer: items", "sizer: things", "sizer"},
		"pipeline":               {"gateway", "    metrics:\n", "    measures:\n", "measures"},
		"certificate":            {"gateway-tls", "key_file: ${env:OTLP_KEY_FILE}", "key_pem: ''", "TLS configuration"},
		"association":            {"node-k8s", "from: resource_attribute, name: k8s.pod.uid", "form: resource_attribute, name: k8s.pod.uid", "form"},
		"metadata":               {"node-k8s", "- k8s.job.name", "- k8s.job.label", "k8s.job.label"},
		"condition of a filter":  {"alerts", "log.severity_number <", "log.severity <", "severity"},
		"statement":              {"alerts", "- keep_matching_keys(log", "- keep_keys_like(log", "keep_keys_like"},
		"exporter of the alerts": {"alerts", "encoding: json", "encoding: xml", "xml"},
	} {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			if err := os.CopyFS(directory, os.DirFS(configs)); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(directory, c.file+".yaml")
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), c.old) {
				t.Fatalf("%s.yaml has no %q", c.file, c.old)
			}
			if err := os.WriteFile(file, []byte(strings.Replace(string(text), c.old, c.new, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(validate, k8sBinary, directory).CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.says) {
				t.Errorf("%v, want a refusal that says %q:\n%s", err, c.says, out)
			}
		})
	}
}

func TestUncheckedConfigurationIsRefused(t *testing.T) {
	directory := t.TempDir()
	if err := os.CopyFS(directory, os.DirFS(configs)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(directory, "new.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(validate, leanBinary, directory).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "in no combination") {
		t.Errorf("%v: %s", err, out)
	}
}
