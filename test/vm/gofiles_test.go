package vm

import (
	"strings"
	"testing"
)

func TestPatternIsOfFilesForGuests(t *testing.T) {
	with, err := listTests(t.Context(), "-tags=vmtest", []string{"."})
	must(t, err)
	without, err := listTests(t.Context(), "-tags=", []string{"."})
	must(t, err)
	pattern, err := with[0].pattern(without[0])
	must(t, err)
	if !strings.Contains(pattern, "TestGuestHasItsMounts") || strings.Contains(pattern, t.Name()) {
		t.Errorf("pattern %s", pattern)
	}
	if pattern, err := without[0].pattern(without[0]); pattern != "" || err != nil {
		t.Errorf("nothing for guests: %q, %v", pattern, err)
	}
}
