package collectorreceiver

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/beesting-otel/beesting/internal/config"
	"github.com/beesting-otel/beesting/internal/policy"
)

func (c *MatchConfig) translate(m *mistakes) policy.Match {
	if c == nil {
		m.add("match", errors.New("must be given, so that nobody plants everywhere by leaving something out: {} means every pod outside kube-system"))
		return policy.Match{}
	}
	return c.under(m, "match")
}

// under translates c, which stands at key.
func (c *MatchConfig) under(m *mistakes, key string) policy.Match {
	r := RuleConfig{Namespaces: c.Namespaces, LabelSelector: c.LabelSelector, Containers: c.Containers, Images: c.Images}
	out := policy.Match{
		Rule:              r.translate(m, key),
		ExcludeNamespaces: patterns(m, key+".exclude_namespaces", c.ExcludeNamespaces, config.ParseNamespace),
	}
	m.add(key+".exclude", config.CheckExcludeCount(len(c.Exclude)))
	for i, r := range c.Exclude[:min(len(c.Exclude), config.MaxExclude)] {
		key := fmt.Sprintf("%s.exclude[%d]", key, i)
		before := m.count()
		rule := r.translate(m, key)
		if m.count() == before {
			m.add(key, config.CheckExclude(rule))
		}
		out.Exclude = append(out.Exclude, rule)
	}
	if a := c.Annotation; a != nil {
		out.Annotation = a.translate(m, key+".annotation")
	}
	return out
}

// tokenMatches are the matches of the tokens that have one, by their names.
func (c *Config) tokenMatches(m *mistakes) map[string]policy.Match {
	var out map[string]policy.Match
	for i, t := range c.Tokens[:min(len(c.Tokens), config.MaxTokens)] {
		if t.Match == nil {
			continue
		}
		own := MatchConfig(*t.Match)
		match := own.under(m, fmt.Sprintf("tokens[%d].match", i))
		if match.IsZero() {
			continue
		}
		if out == nil {
			out = map[string]policy.Match{}
		}
		out[t.Name] = match
	}
	return out
}

// given reports whether c says anything, right or wrong.
func (c *TokenMatchConfig) given() bool {
	return c != nil && (len(c.Namespaces)+len(c.ExcludeNamespaces)+len(c.Containers)+len(c.Images)+len(c.Exclude) > 0 ||
		len(c.LabelSelector.MatchLabels)+len(c.LabelSelector.MatchExpressions) > 0 || c.Annotation != nil)
}

func (r RuleConfig) translate(m *mistakes, key string) policy.Rule {
	return policy.Rule{
		Namespaces: patterns(m, key+".namespaces", r.Namespaces, config.ParseNamespace),
		Labels:     r.LabelSelector.translate(m, key+".label_selector"),
		Containers: patterns(m, key+".containers", r.Containers, config.ParseContainer),
		Images:     patterns(m, key+".images", r.Images, config.ParseImage),
	}
}

func (c LabelSelectorConfig) translate(m *mistakes, key string) []policy.Requirement {
	var out []policy.Requirement
	add := func(key, label, operator string, values []string) {
		r, err := policy.ParseRequirement(label, operator, values)
		if err != nil {
			m.add(key, err)
			return
		}
		out = append(out, r)
	}
	for _, label := range slices.Sorted(maps.Keys(c.MatchLabels)) {
		add(key+".match_labels", label, "In", []string{c.MatchLabels[label]})
	}
	for i, e := range c.MatchExpressions {
		key := fmt.Sprintf("%s.match_expressions[%d]", key, i)
		if err := config.CheckOneOf(e.Operator, policy.Operators()); err != nil {
			m.add(key+".operator", err)
			continue
		}
		add(key, e.Key, e.Operator, append([]string{}, e.Values...)) // an error prints nil as null
	}
	return out
}

func (a AnnotationConfig) translate(m *mistakes, key string) policy.Annotation {
	mode := a.Mode
	if mode == "" {
		mode = policy.AnnotationModes()[0]
	}
	if err := config.CheckOneOf(mode, policy.AnnotationModes()); err != nil {
		m.add(key+".mode", err)
		return policy.Annotation{}
	}
	out, err := config.ParseAnnotation(a.Key, mode)
	m.add(key, err)
	return out
}

func patterns(m *mistakes, key string, texts []string, rule func(string) (policy.Pattern, error)) []policy.Pattern {
	m.add(key, config.CheckPatterns(len(texts)))
	var out []policy.Pattern
	for i, s := range texts {
		p, err := rule(s)
		if err != nil {
			m.add(fmt.Sprintf("%s[%d]", key, i), err)
			continue
		}
		out = append(out, p)
	}
	return out
}
