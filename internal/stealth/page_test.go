//go:build !vmtest

package stealth

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the generated documentation")

// The page's table is the command's.
func TestPageIsCurrent(t *testing.T) {
	const (
		page  = "../../docs/stealth.md"
		begin = "<!-- traits: made by go generate ./internal/stealth -->\n"
		end   = "<!-- end -->\n"
	)
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", page)
	}
	want := before + begin + Table() + end + after
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(b) != want {
		t.Errorf("%s is not what the code says: go generate ./internal/stealth", page)
	}
}
