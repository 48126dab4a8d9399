package config

import (
	"time"

	"go.yaml.in/yaml/v4"
)

// Each of these reads one value; false means that a problem was noted.

// text takes any scalar as it is written: 1.10 stays "1.10", off stays "off".
func (p *parser) text(n *yaml.Node, what string) (string, bool) {
	if !p.kind(n, yaml.ScalarNode, what) {
		return "", false
	}
	s, ok := p.expand(n, what)
	if !ok {
		return "", false
	}
	if err := CheckText(s); err != nil {
		p.fail(n, "%s: %v", what, err)
		return "", false
	}
	return s, true
}

func (p *parser) oneOf(n *yaml.Node, what string, allowed []string) (string, bool) {
	return read(p, n, what, func(s string) (string, error) { return s, CheckOneOf(s, allowed) })
}

func (p *parser) integer(n *yaml.Node, what string, least, most int) (int, bool) {
	return read(p, n, what, func(s string) (int, error) { return ParseInteger(s, least, most) })
}

func (p *parser) size(n *yaml.Node, what string, least, most int) (int, bool) {
	return read(p, n, what, func(s string) (int, error) { return ParseSize(s, least, most) })
}

func (p *parser) duration(n *yaml.Node, what string, least, most time.Duration) (time.Duration, bool) {
	return read(p, n, what, func(s string) (time.Duration, error) { return ParseDuration(s, least, most) })
}

func (p *parser) boolean(n *yaml.Node, what string) bool {
	v, _ := read(p, n, what, ParseBool)
	return v
}

// read takes a text that a rule turns into a T.
func read[T any](p *parser, n *yaml.Node, what string, rule func(string) (T, error)) (T, bool) {
	var none T
	s, ok := p.text(n, what)
	if !ok {
		return none, false
	}
	v, err := rule(s)
	if err != nil {
		p.fail(n, "%s: %v", what, err)
		return none, false
	}
	return v, true
}
