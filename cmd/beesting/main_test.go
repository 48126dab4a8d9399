package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes this binary the command beesting on the PATH.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"beesting": main})
}
