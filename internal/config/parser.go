package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// parser walks the YAML nodes itself instead of decoding into structs: only so
// does every mistake keep its line, and only so can all be reported at once.
// Nothing unknown is ever descended into, and aliases are refused, so that the
// work is bounded by the size of the file.
type parser struct {
	file, dir string
	env       Environment
	problems  []Problem
	source    Source

	// names are the lines in which tokens' names were first given.
	names map[string]int
	// wide are the tokens so far that every matched container gets.
	wide []draft
}

// entry is what the reference says of a key.
type entry struct {
	name string
	form string // what the value is
	doc  string
	// def is the default as YAML; empty for none.
	def string
	// sample is the value in the sample file, def if empty. A key that has
	// neither appears there commented out, with hint as its value. A mapping with a
	// hint has no default, not even those of its keys.
	sample, hint string
	required     bool
	// list says that the value is a list of what sub describes.
	list bool
	sub  []entry
}

// key is an entry whose value goes into a T. set is not called for a key
// without a value.
type key[T any] struct {
	entry
	set func(p *parser, dst *T, n *yaml.Node)
}

// entries is the reference of a table of keys.
func entries[T any](keys []key[T]) []entry {
	es := make([]entry, len(keys))
	for i, k := range keys {
		es[i] = k.entry
	}
	return es
}

func (p *parser) document(data []byte) Config {
	var c Config
	var docs []yaml.Node
	if err := yaml.Load(data, &docs, yaml.WithAllDocuments()); err != nil {
		p.syntax(err)
		return c
	}
	if len(docs) == 0 || len(docs[0].Content) != 1 || isNull(docs[0].Content[0]) {
		p.failAt(1, "the configuration is empty")
		return c
	}
	if len(docs) > 1 {
		p.fail(&docs[1], "the file holds more than one YAML document")
	}
	mapping(p, docs[0].Content[0], "the configuration", topKeys(), &c)
	if c.NodeName == "" {
		name, err := p.env.NodeName()
		if err != nil {
			p.failAt(1, "nodeName: %v", err)
		}
		c.NodeName = name
	}
	if c.FilesDir == "" {
		c.FilesDir = DefaultFilesDir(c.StateDir)
	}
	return c
}

// mapping reads n, which must hold nothing but the given keys, into dst. what
// names it in messages.
func mapping[T any](p *parser, n *yaml.Node, what string, keys []key[T], dst *T) {
	if !p.kind(n, yaml.MappingNode, what) {
		return
	}
	seen := make(map[string]int, len(keys))
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		k := p.lookup(name, what, entries(keys))
		if k < 0 {
			continue
		}
		if first, dup := seen[name.Value]; dup {
			p.fail(name, "key %q is already given in line %d", name.Value, first)
			continue
		}
		seen[name.Value] = name.Line
		if isNull(value) {
			delete(seen, name.Value) // as if it were not there
			continue
		}
		keys[k].set(p, dst, value)
	}
	for _, k := range keys {
		if _, given := seen[k.name]; given {
			continue
		}
		if k.required {
			p.fail(n, "%s: key %q is missing", what, k.name)
		} else if d := k.defaultNode(); d != nil {
			k.set(p, dst, d)
		}
	}
}

// defaultNode is what stands for a key that is not given, so that the defaults
// are those of the reference and go through the same checks; nil for none.
func (e entry) defaultNode() *yaml.Node {
	if len(e.sub) > 0 && !e.list && e.hint == "" {
		return &yaml.Node{Kind: yaml.MappingNode}
	}
	var doc yaml.Node
	if e.def == "" || yaml.Load([]byte(e.def), &doc) != nil || len(doc.Content) != 1 {
		return nil
	}
	return doc.Content[0]
}

// lookup finds the key's place in the table; -1 with a problem noted.
func (p *parser) lookup(name *yaml.Node, what string, known []entry) int {
	if name.Kind != yaml.ScalarNode {
		p.fail(name, "%s: a key must be plain text", what)
		return -1
	}
	names := make([]string, len(known))
	for i, e := range known {
		if e.name == name.Value {
			return i
		}
		names[i] = e.name
	}
	if s := suggest(name.Value, names); s != "" {
		p.fail(name, "%s: unknown key %q: did you mean %q?", what, clip(name.Value), s)
	} else {
		p.fail(name, "%s: unknown key %q: known are %s", what, clip(name.Value), strings.Join(names, ", "))
	}
	return -1
}

// list calls item for each element of n.
func (p *parser) list(n *yaml.Node, what string, item func(i int, n *yaml.Node)) {
	if !p.kind(n, yaml.SequenceNode, what) {
		return
	}
	for i, c := range n.Content {
		if isNull(c) {
			p.fail(c, "%s: item %d has no value", what, i+1)
			continue
		}
		item(i, c)
	}
}

// texts reads a list of texts.
func (p *parser) texts(n *yaml.Node, what string, item func(n *yaml.Node, s string)) {
	p.list(n, what, func(_ int, n *yaml.Node) {
		if s, ok := p.text(n, what); ok {
			item(n, s)
		}
	})
}

func (p *parser) kind(n *yaml.Node, want yaml.Kind, what string) bool {
	if n.Kind == yaml.AliasNode {
		p.fail(n, "%s: aliases (*%s) are not supported: write the value out", what, clip(n.Value))
		return false
	}
	if n.Kind != want {
		p.fail(n, "%s: must be %s, is %s", what, kindName(want), kindName(n.Kind))
		return false
	}
	if n.Style&yaml.TaggedStyle != 0 {
		p.fail(n, "%s: tags (%s) are not supported", what, clip(n.Tag))
		return false
	}
	return true
}

func kindName(k yaml.Kind) string {
	switch k {
	case yaml.MappingNode:
		return "a mapping (key: value)"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		return "a plain value"
	default:
		return fmt.Sprintf("something else (%d)", k)
	}
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && n.Style&yaml.TaggedStyle == 0
}

// clip keeps quoted input short.
func clip(s string) string {
	const limit = 60
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

// unique notes that a token's name is given, and refuses the second.
func (p *parser) unique(seen map[string]int, n *yaml.Node, what, value string) {
	if first, dup := seen[value]; dup {
		p.fail(n, "%s %q is already used by the token in line %d", what, clip(value), first)
		return
	}
	seen[value] = n.Line
}

// place refuses a token that no container would ever get, because of the path of
// one before it.
func (p *parser) place(d draft) {
	if d.Path == "" {
		return
	}
	for _, before := range p.wide {
		if err := CheckPath(d.Path, before.Path, fmt.Sprintf("the token in line %d", before.pathLine)); err != nil {
			p.failAt(d.pathLine, "token path %v", err)
			return
		}
	}
	if !d.narrowed {
		p.wide = append(p.wide, d)
	}
}
