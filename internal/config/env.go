package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/beesting-otel/beesting"
)

// expand replaces the environment references of a value, as the OpenTelemetry
// Collector does in its configuration (confmap's envprovider): ${env:NAME} and
// ${NAME}, with a default for an unset variable as ${env:NAME:-default}; $$ is
// a dollar sign, and any other $ stands for itself. Unlike there, an unset
// variable without a default is an error, and what comes in is text, never
// YAML.
func (p *parser) expand(n *yaml.Node, what string) (string, bool) {
	s := n.Value
	var out strings.Builder
	ok := true
	for at := 0; at < len(s); {
		dollar := strings.IndexByte(s[at:], '$')
		if dollar < 0 {
			out.WriteString(s[at:])
			break
		}
		out.WriteString(s[at : at+dollar])
		at += dollar
		value, used, err := p.reference(s[at:])
		if err != nil {
			p.failAt(lineOf(n, at), "%s: %v", what, err)
			ok = false
		}
		out.WriteString(value)
		at += used
		if out.Len() > beesting.MaxTokenContent {
			p.fail(n, "%s: longer than %d bytes with its environment references expanded", what, beesting.MaxTokenContent)
			return "", false
		}
	}
	return out.String(), ok
}

// reference reads what begins with the "$" of s, and says how much it used.
func (p *parser) reference(s string) (value string, used int, err error) {
	switch {
	case strings.HasPrefix(s, "$$"):
		return "$", 2, nil
	case !strings.HasPrefix(s, "${"):
		return "$", 1, nil
	}
	end := strings.IndexByte(s, '}')
	if end < 0 {
		line, _, _ := strings.Cut(s, "\n")
		return "", len(s), fmt.Errorf(`%q is not closed by "}" (a literal "${" is written "$${")`, clip(line))
	}
	ref := s[:end+1]
	name, fallback, hasDefault := strings.Cut(s[2:end], ":-")
	name = strings.TrimPrefix(name, "env:")
	if !isVariable(name) {
		return "", end + 1, fmt.Errorf(`%q is not a reference: write ${env:NAME} or ${env:NAME:-default} (a literal "${" is written "$${")`, clip(ref))
	}
	if v, set := p.env.LookupEnv(name); set {
		return v, end + 1, nil
	}
	if hasDefault {
		return fallback, end + 1, nil
	}
	return "", end + 1, fmt.Errorf("environment variable %s is not set (a default is written ${env:%s:-default})", name, name)
}

// isVariable follows POSIX (base definitions, 8.1): letters, digits and
// underscore, not starting with a digit.
func isVariable(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || (c|0x20 >= 'a' && c|0x20 <= 'z')
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// lineOf gives the line of byte at of a scalar. Only a literal block keeps its
// line ends; for the others it is the line where the value starts.
func lineOf(n *yaml.Node, at int) int {
	if n.Style&yaml.LiteralStyle == 0 {
		return n.Line
	}
	return n.Line + 1 + strings.Count(n.Value[:at], "\n")
}
