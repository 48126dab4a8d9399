package policy

import (
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

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

func (r Requirement) matches(pod map[string]string) bool { return r.r.Matches(labels.Set(pod)) }

// Annotation is a pod's own say. The zero value gives it none. Make it with
// [ParseAnnotation].
type Annotation struct {
	key   string
	optIn bool
}

// AnnotationModes are the modes of [ParseAnnotation].
func AnnotationModes() []string { return []string{"optOut", "optIn"} }

// ParseAnnotation takes the annotation's key, in Kubernetes' syntax for it, and a
// mode: "optOut" leaves out pods in which it is "false", "optIn" leaves out all
// pods but those in which it is "true".
func ParseAnnotation(key, mode string) (Annotation, error) {
	if mode != "optOut" && mode != "optIn" {
		return Annotation{}, fmt.Errorf("mode %q: must be one of %s", mode, strings.Join(AnnotationModes(), ", "))
	}
	// An annotation's key has the syntax of a label's, but for capitals in its
	// prefix (k8s.io/apimachinery api/validation.ValidateAnnotations).
	if _, err := labels.NewRequirement(strings.ToLower(key), selection.Exists, nil); err != nil {
		return Annotation{}, errors.New("not an annotation's key, which is NAME or PREFIX/NAME, as in example.com/backup")
	}
	return Annotation{key: key, optIn: mode == "optIn"}, nil
}

// Key returns the annotation's key; empty for the zero value.
func (a Annotation) Key() string { return a.key }

// OptIn reports whether a pod without the annotation gets nothing.
func (a Annotation) OptIn() bool { return a.optIn }

// check says whether the pod's annotations agree, and why. odd is a value that
// is neither "true" nor "false": it counts as absent.
func (a Annotation) check(pod map[string]string) (ok bool, why, odd string) {
	if a.key == "" {
		return true, "", ""
	}
	value, given := pod[a.key]
	switch {
	case given && value == "true":
		return true, fmt.Sprintf(`annotation %s is "true"`, a.key), ""
	case given && value == "false":
		return false, fmt.Sprintf(`annotation %s is "false"`, a.key), ""
	case given:
		odd = fmt.Sprintf(`annotation %s is %s, which is neither "true" nor "false" and counts as absent`, a.key, quoted(value))
	}
	if a.optIn {
		return false, fmt.Sprintf(`annotation %s is not "true"`, a.key), odd
	}
	return true, "", odd
}

// quoted keeps a value of the pod's author short, and on its line.
func quoted(s string) string {
	const limit = 60
	if len(s) > limit {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(s[:limit], ""))
	}
	return fmt.Sprintf("%q", s)
}
