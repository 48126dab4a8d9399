//go:build integration

package build

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Builds the examples as their readers would, in a directory beside a checkout.
// The one by version gets what a module proxy would give it from the tree: there
// is no other way before a version is tagged.
func TestExamplesBuild(t *testing.T) {
	tree, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(tree, "hack/tool.sh"), "builder").Output()
	if err != nil {
		t.Fatal(err)
	}
	builder := strings.TrimSpace(string(out))
	for file, more := range map[string]string{
		"after.yaml":      "",
		"by-version.yaml": "\nreplaces:\n  - " + ourModule + " => " + tree + "\n",
	} {
		parent := t.TempDir()
		here := filepath.Join(parent, "custom")
		text, err := os.ReadFile(examples + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{
			os.Symlink(tree, filepath.Join(parent, "beesting")),
			os.Mkdir(here, 0o755),
			os.WriteFile(filepath.Join(here, file), append(text, more...), 0o600),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		build := exec.Command(builder, "--config", file)
		build.Dir = here
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", file, err, out)
		}
		out, err := exec.Command(filepath.Join(here, "otelcol-custom/otelcol-custom"), "components").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "- name: honeytoken\n") {
			t.Errorf("%s: %v, want the receiver honeytoken among\n%s", file, err, out)
		}
	}
}
