package policy

import (
	"strings"
	"testing"

	"github.com/beesting-otel/beesting"
)

func patterns(t *testing.T, ss ...string) []Pattern {
	t.Helper()
	var ps []Pattern
	for _, s := range ss {
		p, err := ParseNamespace(s)
		if err != nil {
			t.Fatalf("pattern %q: %v", s, err)
		}
		ps = append(ps, p)
	}
	return ps
}

func requirement(t *testing.T, key, op string, values ...string) Requirement {
	t.Helper()
	r, err := ParseRequirement(key, op, values)
	if err != nil {
		t.Fatalf("requirement %s %s %v: %v", key, op, values, err)
	}
	return r
}

func TestMatchNamespaces(t *testing.T) {
	tests := []struct {
		name               string
		namespaces, except []string
		namespace          string
		want               bool
	}{
		{"zero value matches all", nil, nil, "web", true},
		{"zero value matches a pod without namespace", nil, nil, "", true},
		{"listed", []string{"web", "shop"}, nil, "shop", true},
		{"not listed", []string{"web", "shop"}, nil, "db", false},
		{"no prefix match", []string{"web"}, nil, "web-1", false},
		{"star", []string{"web-*"}, nil, "web-1", true},
		{"star needs the rest", []string{"web-*"}, nil, "we-1", false},
		{"question mark is one character", []string{"web-?"}, nil, "web-10", false},
		{"excluded", nil, []string{"kube-*"}, "kube-system", false},
		{"exclusion wins", []string{"*"}, []string{"kube-system"}, "kube-system", false},
		{"not excluded", nil, []string{"kube-*"}, "web", true},
		{"listed, pod without namespace", []string{"web"}, nil, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := Match{Rule: Rule{Namespaces: patterns(t, tt.namespaces...)}, ExcludeNamespaces: patterns(t, tt.except...)}
			if got := m.Matches(beesting.Container{Pod: beesting.Pod{Namespace: tt.namespace}}); got != tt.want {
				t.Errorf("Matches(%q) = %v, want %v", tt.namespace, got, tt.want)
			}
		})
	}
}

// The expected values are those of metav1.LabelSelectorAsSelector.
func TestMatchLabels(t *testing.T) {
	labels := map[string]string{"app": "shop", "tier": ""}
	tests := []struct {
		name   string
		key    string
		op     string
		values []string
		want   bool
	}{
		{"in", "app", "In", []string{"web", "shop"}, true},
		{"not in the list", "app", "In", []string{"web"}, false},
		{"in, label absent", "team", "In", []string{"a"}, false},
		{"in, empty value", "tier", "In", []string{""}, true},
		{"notin", "app", "NotIn", []string{"web"}, true},
		{"notin, in the list", "app", "NotIn", []string{"shop"}, false},
		{"notin, label absent", "team", "NotIn", []string{"a"}, true},
		{"exists", "tier", "Exists", nil, true},
		{"exists, absent", "team", "Exists", nil, false},
		{"doesnotexist", "team", "DoesNotExist", nil, true},
		{"doesnotexist, present", "app", "DoesNotExist", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := Match{Rule: Rule{Labels: []Requirement{requirement(t, tt.key, tt.op, tt.values...)}}}
			if got := m.Matches(beesting.Container{Pod: beesting.Pod{Labels: labels}}); got != tt.want {
				t.Errorf("%s on %v = %v, want %v", m.Labels[0], labels, got, tt.want)
			}
		})
	}
	both := Match{Rule: Rule{Labels: []Requirement{
		requirement(t, "app", "In", "shop"), requirement(t, "team", "Exists"),
	}}}
	if both.Matches(beesting.Container{Pod: beesting.Pod{Labels: labels}}) {
		t.Error("requirements are joined by OR, want AND")
	}
}

func TestParseRequirementRefuses(t *testing.T) {
	tests := []struct {
		key, op string
		values  []string
		want    string
	}{
		{"app", "in", []string{"a"}, "must be one of In, NotIn, Exists, DoesNotExist"},
		{"app", "In", nil, "values set can't be empty"},
		{"app", "Exists", []string{"a"}, "values set must be empty"},
		{"a b", "Exists", nil, "name part must consist of"},
		{"", "Exists", nil, "name part must be non-empty"},
		{"app", "In", []string{"a b"}, "a valid label must be an empty string or consist of"},
	}
	for _, tt := range tests {
		_, err := ParseRequirement(tt.key, tt.op, tt.values)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ParseRequirement(%q, %q, %q) = %v, want an error with %q", tt.key, tt.op, tt.values, err, tt.want)
		}
	}
}

func TestParseNamespaceRefuses(t *testing.T) {
	for _, s := range []string{"", "Web", "a/b", "[a-z]", `a\b`, "a b", "ü", strings.Repeat("a", 64)} {
		if p, err := ParseNamespace(s); err == nil {
			t.Errorf("ParseNamespace(%q) = %v, want an error", s, p)
		}
	}
}
