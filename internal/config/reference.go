package config

//go:generate go test -run ^TestReferenceIsCurrent$ -count=1 . -update

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed reference.head.md
var referenceHead string

// Reference is docs/configuration.md.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	b.WriteString("\n## Keys\n")
	for _, e := range entries(topKeys()) {
		reference(&b, "", e)
	}
	b.WriteString("\n## A whole file\n\nAs `beesting config example` prints it:\n\n```yaml\n")
	b.WriteString(Example())
	b.WriteString("```\n")
	return b.String()
}

func reference(b *strings.Builder, prefix string, e entry) {
	name := prefix + e.name
	facts := []string{e.form}
	if e.required {
		facts = append(facts, "**required**")
	}
	if e.def != "" {
		facts = append(facts, "default `"+e.def+"`")
	}
	fmt.Fprintf(b, "\n### `%s`\n\n%s.\n\n%s\n", name, strings.Join(facts, ", "), wrap("", e.doc, 100))
	if e.list {
		name += "[]"
	}
	for _, s := range e.sub {
		reference(b, name+".", s)
	}
}

// Key is what the reference says of one key.
type Key struct {
	Path     string // as in "tokens[].name"
	Form     string // what the value is
	Default  string // as YAML; empty for none
	Doc      string // Markdown, one paragraph
	Required bool
	List     bool // of what the keys below it describe
}

// Keys gives every key, those inside another right after it.
func Keys() []Key { return flatten(nil, "", entries(topKeys())) }

func flatten(keys []Key, prefix string, es []entry) []Key {
	for _, e := range es {
		path := prefix + e.name
		keys = append(keys, Key{Path: path, Form: e.form, Default: e.def, Doc: e.doc, Required: e.required, List: e.list})
		if e.list {
			path += "[]"
		}
		keys = flatten(keys, path+".", e.sub)
	}
	return keys
}

// Example is a commented configuration with every key, ready to be changed.
// Keys without a default are commented out.
func Example() string {
	var b strings.Builder
	b.WriteString("# beesting: configuration of the node agent.\n" +
		"# `beesting config validate FILE` checks a file, docs/configuration.md is the reference.\n")
	for _, e := range entries(topKeys()) {
		b.WriteByte('\n')
		example(&b, "", "", e)
	}
	return b.String()
}

// example writes one key. The first line of an element of a list has "- " at
// the end of its indent.
func example(b *strings.Builder, indent, dash string, e entry) {
	body := indent + strings.Repeat(" ", len(dash))
	comment := body + "# "
	fmt.Fprintln(b, wrap(comment, strings.ReplaceAll(e.doc, "`", ""), 90))
	value := e.sample
	if value == "" {
		value = e.def
	}
	switch {
	case len(e.sub) > 0 && e.list && e.required:
		fmt.Fprintf(b, "%s%s%s:\n", indent, dash, e.name)
		exampleItem(b, body+"  ", e.sub)
	case len(e.sub) > 0 && e.list:
		// An optional list: shown, but commented out.
		fmt.Fprintf(b, "%s%s%s:\n", comment, dash, e.name)
		var item strings.Builder
		for i, s := range e.sub {
			lead := "  "
			if i == 0 {
				lead = "- "
			}
			fmt.Fprintf(&item, "%s  %s%s: %s\n", comment, lead, s.name, s.sample)
		}
		b.WriteString(item.String())
	case len(e.sub) > 0 && e.hint != "":
		fmt.Fprintf(b, "%s%s: %s\n", comment, e.name, e.hint)
	case len(e.sub) > 0:
		fmt.Fprintf(b, "%s%s%s:\n", indent, dash, e.name)
		for _, s := range e.sub {
			example(b, body+"  ", "", s)
		}
	case value == "":
		fmt.Fprintf(b, "%s%s: %s\n", comment, e.name, e.hint)
	default:
		fmt.Fprintf(b, "%s%s%s: %s\n", indent, dash, e.name, strings.ReplaceAll(value, "\n", "\n"+body+"  "))
	}
}

// exampleItem writes a list with one element.
func exampleItem(b *strings.Builder, indent string, sub []entry) {
	for i, s := range sub {
		if i > 0 {
			example(b, indent+"  ", "", s)
			continue
		}
		// The comment of the first key stands above the dash.
		fmt.Fprintln(b, wrap(indent+"# ", strings.ReplaceAll(s.doc, "`", ""), 90))
		fmt.Fprintf(b, "%s- %s: %s\n", indent, s.name, s.sample)
	}
}

// wrap breaks text into lines of at most width, each with the prefix.
func wrap(prefix, text string, width int) string {
	var lines []string
	line := prefix
	for _, word := range strings.Fields(text) {
		if line != prefix && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = prefix
		}
		if line != prefix {
			line += " "
		}
		line += word
	}
	return strings.Join(append(lines, line), "\n")
}
