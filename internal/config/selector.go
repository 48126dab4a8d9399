package config

import (
	"go.yaml.in/yaml/v4"

	"github.com/beesting-otel/beesting/internal/policy"
)

// expression is a matchExpressions entry while it is read.
type expression struct {
	key, operator string
	values        []string
}

func selectorKeys() []key[policy.Rule] {
	keys := expressionKeys()
	return []key[policy.Rule]{
		{entry{
			name: "matchLabels", form: "mapping of label to value", hint: "{app: shop}",
			doc: "Labels that the pod must have, with these values.",
		}, (*parser).matchLabels},
		{entry{
			name: "matchExpressions", form: "list", list: true, sub: entries(keys),
			doc: "Further conditions.",
		}, func(p *parser, m *policy.Rule, n *yaml.Node) {
			p.list(n, "matchExpressions", func(_ int, n *yaml.Node) {
				e := expression{values: []string{}}
				before := len(p.problems)
				mapping(p, n, "matchExpressions", keys, &e)
				if len(p.problems) == before {
					p.requirement(m, n, e)
				}
			})
		}},
	}
}

func expressionKeys() []key[expression] {
	return []key[expression]{
		{entry{
			name: "key", form: "text", required: true, sample: "team", doc: "The label.",
		}, func(p *parser, e *expression, n *yaml.Node) { e.key, _ = p.text(n, "matchExpressions key") }},
		{entry{
			name: "operator", form: "In, NotIn, Exists or DoesNotExist", required: true, sample: "NotIn",
			doc: "`NotIn` also holds for a pod that lacks the label.",
		}, func(p *parser, e *expression, n *yaml.Node) {
			e.operator, _ = p.oneOf(n, "matchExpressions operator", policy.Operators())
		}},
		{entry{
			name: "values", form: "list of texts", sample: "[security]",
			doc: "At least one for `In` and `NotIn`, none for the others.",
		}, func(p *parser, e *expression, n *yaml.Node) {
			p.texts(n, "matchExpressions values", func(_ *yaml.Node, s string) { e.values = append(e.values, s) })
		}},
	}
}

// matchLabels is the one mapping whose keys are the user's own.
func (p *parser) matchLabels(m *policy.Rule, n *yaml.Node) {
	if !p.kind(n, yaml.MappingNode, "matchLabels") {
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		label, value := n.Content[i], n.Content[i+1]
		if !p.kind(label, yaml.ScalarNode, "matchLabels: a label") {
			continue
		}
		if first, dup := seen[label.Value]; dup {
			p.fail(label, "matchLabels: label %q is already given in line %d", clip(label.Value), first)
			continue
		}
		seen[label.Value] = label.Line
		if isNull(value) {
			p.fail(value, `matchLabels: label %q has no value (the empty value is written "")`, clip(label.Value))
			continue
		}
		if s, ok := p.text(value, "matchLabels"); ok {
			p.requirement(m, label, expression{key: label.Value, operator: "In", values: []string{s}})
		}
	}
}

func (p *parser) requirement(m *policy.Rule, n *yaml.Node, e expression) {
	r, err := policy.ParseRequirement(e.key, e.operator, e.values)
	if err != nil {
		p.fail(n, "label selector: %v", err)
		return
	}
	m.Labels = append(m.Labels, r)
}
