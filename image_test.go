package beesting

import (
	"strings"
	"testing"
)

func TestSplitImage(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	for ref, want := range map[string][3]string{
		"":                             {},
		"busybox":                      {"busybox", "", ""},
		"busybox:1":                    {"busybox", "1", ""},
		"localhost:5000/a/b":           {"localhost:5000/a/b", "", ""},
		"localhost:5000/a/b:c":         {"localhost:5000/a/b", "c", ""},
		"a/b:c@sha256:" + sum:          {"a/b", "c", "sha256:" + sum},
		"a/b@sha256:" + sum:            {"a/b", "", "sha256:" + sum},
		"sha256:" + sum:                {},
		sum:                            {},
		"localhost/sha256:" + sum[:10]: {"localhost/sha256", sum[:10], ""},
	} {
		name, tag, digest := SplitImage(ref)
		if got := [3]string{name, tag, digest}; got != want {
			t.Errorf("%s: %q, want %q", ref, got, want)
		}
	}
}
