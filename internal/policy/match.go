package policy

import (
	"fmt"
	"strings"

	"github.com/beesting-otel/beesting"
)

// Rule is a set of conditions on a container. It holds when all that are given
// hold; the zero value holds for every container. What the runtime did not tell
// of a container matches no pattern but those that match the empty name.
type Rule struct {
	// Namespaces is the list that the pod's namespace must be on.
	Namespaces []Pattern
	// Labels must all hold for the pod's labels.
	Labels []Requirement
	// Containers is the list that the container's name must be on.
	Containers []Pattern
	// Images is the list that the container's image must be on: as
	// REPOSITORY, REPOSITORY:TAG, REPOSITORY@DIGEST or REPOSITORY:TAG@DIGEST, one
	// of which a pattern has to match in full. REPOSITORY begins with its registry;
	// one of Docker Hub is also known without. An image whose name is not known is on
	// no list.
	Images []Pattern
}

// IsZero reports whether r has no condition.
func (r Rule) IsZero() bool {
	return len(r.Namespaces)+len(r.Labels)+len(r.Containers)+len(r.Images) == 0
}

// Match says which containers get tokens. The zero value matches every
// container. It is a plain value, safe for concurrent use.
type Match struct {
	Rule
	// ExcludeNamespaces wins over the Rule.
	ExcludeNamespaces []Pattern
	// Exclude wins over the Rule: a container for which one of these holds gets
	// none.
	Exclude []Rule
	// Annotation is the pod's own say. It can leave out what the rest matches,
	// never add to it.
	Annotation Annotation
}

// IsZero reports whether m matches every container.
func (m Match) IsZero() bool {
	return m.Rule.IsZero() && len(m.ExcludeNamespaces)+len(m.Exclude) == 0 && m.Annotation.key == ""
}

// Matches reports whether the container gets tokens.
func (m Match) Matches(c beesting.Container) bool { return m.decide(&c).ok }

// decision is what one Match says, and which of its keys decided.
type decision struct {
	ok   bool
	key  string // as in a configuration file, below the match; empty for the whole
	why  string
	odds []string // values that could not be understood
}

// decide asks what excludes first: it wins over everything.
func (m Match) decide(c *beesting.Container) decision {
	if p, ok := first(m.ExcludeNamespaces, c.Pod.Namespace); ok {
		return decision{key: "excludeNamespaces", why: fmt.Sprintf("namespace %s matches %s", quoted(c.Pod.Namespace), p)}
	}
	for i, r := range m.Exclude {
		conditions := r.check(c)
		if held(conditions) {
			return decision{key: fmt.Sprintf("exclude[%d]", i), why: every(conditions)}
		}
	}
	ok, why, odd := m.Annotation.check(c.Pod.Annotations)
	var odds []string
	if odd != "" {
		odds = []string{odd}
	}
	if !ok {
		return decision{key: "annotation", why: why, odds: odds}
	}
	conditions := m.check(c)
	for _, cond := range conditions {
		if !cond.holds {
			return decision{key: cond.key, why: cond.why, odds: odds}
		}
	}
	why = "nothing excludes it"
	if len(conditions) > 0 {
		why = every(conditions)
	}
	return decision{ok: true, why: why, odds: odds}
}

// condition is one condition of a rule as it turned out.
type condition struct {
	key   string // as in a configuration file
	holds bool
	why   string
}

// check tries all conditions of r, in the order of the reference.
func (r Rule) check(c *beesting.Container) []condition {
	var all []condition
	if len(r.Namespaces) > 0 {
		all = append(all, listed("namespaces", "namespace", r.Namespaces, c.Pod.Namespace))
	}
	for _, l := range r.Labels {
		cond := condition{key: "labelSelector", holds: l.matches(c.Pod.Labels)}
		cond.why = fmt.Sprintf("the pod's labels are not %s", l)
		if cond.holds {
			cond.why = fmt.Sprintf("the pod's labels are %s", l)
		}
		all = append(all, cond)
	}
	if len(r.Containers) > 0 {
		all = append(all, listed("containers", "container", r.Containers, c.Name))
	}
	if len(r.Images) > 0 {
		all = append(all, imageListed(r.Images, c))
	}
	return all
}

func listed(key, what string, patterns []Pattern, name string) condition {
	if p, ok := first(patterns, name); ok {
		return condition{key, true, fmt.Sprintf("%s %s matches %s", what, quoted(name), p)}
	}
	return condition{key, false, fmt.Sprintf("%s %s matches none of %s", what, quoted(name), few(patterns))}
}

func imageListed(patterns []Pattern, c *beesting.Container) condition {
	names := images(c)
	if len(names) == 0 {
		return condition{"images", false, "the image's name is not known"}
	}
	longest := names[len(names)-1]
	if p, ok := first(patterns, names...); ok {
		return condition{"images", true, fmt.Sprintf("image %q matches %s", longest, p)}
	}
	return condition{"images", false, fmt.Sprintf("image %q matches none of %s", longest, few(patterns))}
}

func held(all []condition) bool {
	for _, c := range all {
		if !c.holds {
			return false
		}
	}
	return true
}

func every(all []condition) string {
	whys := make([]string, len(all))
	for i, c := range all {
		whys[i] = c.why
	}
	return strings.Join(whys, ", and ")
}

// few lists patterns, the first ones of a long list.
func few(patterns []Pattern) string {
	const most = 5
	var texts []string
	for i, p := range patterns {
		if i == most {
			texts = append(texts, fmt.Sprintf("and %d more", len(patterns)-most))
			break
		}
		texts = append(texts, p.glob)
	}
	return strings.Join(texts, ", ")
}
