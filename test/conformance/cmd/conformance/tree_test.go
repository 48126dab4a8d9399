package main

import (
	"testing"
)

// TestTreeIsOfTheSources: the same twice, another for each architecture, whose
// eBPF objects differ.
func TestTreeIsOfTheSources(t *testing.T) {
	t.Chdir("../../../..") // the module's root
	first, err := tree("amd64")
	if err != nil {
		t.Fatal(err)
	}
	again, err := tree("amd64")
	if err != nil || again != first || len(first) != 16 {
		t.Errorf("%q and then %q, %v", first, again, err)
	}
	if other, err := tree("arm64"); err != nil || other == first {
		t.Errorf("arm64: %q as amd64, %v", other, err)
	}
}
