package vm

import (
	"strings"
	"testing"
)

func TestSelectRelease(t *testing.T) {
	releases := []string{
		"5.10.0-30", "5.10.0-46", "6.1.0-0.deb11.52", "6.1.0-9", "6.1.0-56",
		"6.12.95+deb12", "6.12.117+deb12", "6.12.117+deb13", "6.17.13+deb13",
		"6.19.6+deb13", "6.19.14+deb13", "7.2.13+deb14", "7.3.4+deb13",
	}
	tests := []struct {
		selector, want string
		nearest        bool
	}{
		{selector: "5.10", want: "5.10.0-46"},
		{selector: "6.1", want: "6.1.0-56"},
		{selector: "6.12", want: "6.12.117+deb13"},
		{selector: "6.12.95+deb12", want: "6.12.95+deb12"},
		{selector: "6.18", want: "6.19.14+deb13", nearest: true},
		{selector: "7.9", want: "7.3.4+deb13", nearest: true},
		{selector: "5.4", want: "5.10.0-46", nearest: true},
		{selector: "newest", want: "7.3.4+deb13"},
	}
	for _, tt := range tests {
		got, note, err := selectRelease(tt.selector, releases)
		if err != nil {
			t.Errorf("%s: %v", tt.selector, err)
			continue
		}
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.selector, got, tt.want)
		}
		if (note != "") != tt.nearest || tt.nearest && !strings.Contains(note, tt.want) {
			t.Errorf("%s: note %q", tt.selector, note)
		}
	}
}

func TestSelectReleaseErrors(t *testing.T) {
	for _, selector := range []string{"", "latest", "6", "6.12 ; rm", "../6.1"} {
		if r, _, err := selectRelease(selector, []string{"6.1.0-56"}); err == nil {
			t.Errorf("%q: got %s, want an error", selector, r)
		}
	}
	if _, _, err := selectRelease("6.1", nil); err == nil {
		t.Error("no kernels: no error")
	}
}
