// Package policy decides which containers get tokens.
//
// Label requirements have exactly the meaning they have in a Kubernetes
// LabelSelector, because they are evaluated by the same code. Only
// k8s.io/apimachinery/pkg/labels is used: the selector type of
// pkg/apis/meta/v1 would add 60 packages and 4.9 MB (v0.37.2, amd64, stripped)
// to say the same.
package policy

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/beesting-otel/beesting"
)

// Match says which pods' containers get tokens. The zero value matches every
// pod. It is a plain value, safe for concurrent use.
type Match struct {
	// Namespaces is the list a pod's namespace must be on; empty means every
	// namespace.
	Namespaces []Pattern
	// ExcludeNamespaces wins over Namespaces.
	ExcludeNamespaces []Pattern
	// Labels must all hold for the pod's labels.
	Labels []Requirement
}

// Pod reports whether the containers of p get tokens.
func (m Match) Pod(p beesting.Pod) bool {
	if len(m.Namespaces) > 0 && !anyMatches(m.Namespaces, p.Namespace) {
		return false
	}
	if anyMatches(m.ExcludeNamespaces, p.Namespace) {
		return false
	}
	for _, r := range m.Labels {
		if !r.r.Matches(labels.Set(p.Labels)) {
			return false
		}
	}
	return true
}

func anyMatches(patterns []Pattern, namespace string) bool {
	for _, p := range patterns {
		if p.matches(namespace) {
			return true
		}
	}
	return false
}

// Pattern is a namespace's name in which "*" stands for any run of characters
// and "?" for exactly one. Make it with [ParsePattern].
type Pattern struct{ glob string }

// ParsePattern checks s: 1 to 63 bytes of a-z, 0-9, "-", "*" and "?", as a
// namespace is a DNS label.
func ParsePattern(s string) (Pattern, error) {
	switch {
	case s == "":
		return Pattern{}, errors.New("must not be empty")
	case len(s) > 63:
		return Pattern{}, errors.New("longer than 63 bytes, which no namespace is")
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("-*?", c) {
			return Pattern{}, fmt.Errorf(`%q can't be in a namespace's name: use a-z, 0-9, "-", and "*" or "?" as wildcards`, c)
		}
	}
	return Pattern{glob: s}, nil
}

// String returns the pattern as written.
func (p Pattern) String() string { return p.glob }

func (p Pattern) matches(namespace string) bool {
	// The alphabet of ParsePattern has no "[" and no "\", so that the pattern
	// is always well-formed.
	ok, err := path.Match(p.glob, namespace)
	return ok && err == nil
}

// Requirement is one condition on a pod's labels. Make it with
// [ParseRequirement].
type Requirement struct{ r labels.Requirement }

// Operators are the operators of [ParseRequirement], spelled as in a
// Kubernetes LabelSelector.
func Operators() []string { return []string{"In", "NotIn", "Exists", "DoesNotExist"} }

// ParseRequirement makes a requirement as metav1.LabelSelectorAsSelector does
// of a matchExpressions entry: In and NotIn need values, Exists and
// DoesNotExist take none, keys and values obey the syntax of labels. NotIn
// holds for a pod that lacks the label.
func ParseRequirement(key, operator string, values []string) (Requirement, error) {
	var op selection.Operator
	switch operator {
	case "In":
		op = selection.In
	case "NotIn":
		op = selection.NotIn
	case "Exists":
		op = selection.Exists
	case "DoesNotExist":
		op = selection.DoesNotExist
	default:
		return Requirement{}, fmt.Errorf("operator %q: must be one of %s", operator, strings.Join(Operators(), ", "))
	}
	r, err := labels.NewRequirement(key, op, values)
	if err != nil {
		return Requirement{}, err
	}
	return Requirement{r: *r}, nil
}

// String returns the requirement in the notation of kubectl's --selector.
func (r Requirement) String() string { return r.r.String() }
