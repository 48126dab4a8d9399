package content

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the generated documentation")

func TestReferenceIsCurrent(t *testing.T) {
	const path = "../../docs/kinds.md"
	if *update {
		if err := os.WriteFile(path, []byte(Reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != Reference() {
		t.Errorf("%s is not what the code says: go generate ./internal/content", path)
	}
}

// Every function of templates is described, and there is none that isn't.
func TestFunctionsAreDescribed(t *testing.T) {
	j, err := node.job(input(1))
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]bool{}
	for _, f := range templateFunctions() {
		for use := range strings.SplitSeq(f.Use, ", ") {
			name, _, _ := strings.Cut(use, " ")
			described[name] = true
		}
	}
	functions := j.functions()
	for name := range functions {
		if !described[name] {
			t.Errorf("%s is not described", name)
		}
	}
	if len(described) != len(functions) {
		t.Errorf("%d described, %d functions", len(described), len(functions))
	}
}
