package config

import (
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/policy"
)

// draft is a token while it is read.
type draft struct {
	beesting.Token
	given Given

	match    policy.Match
	narrowed bool // match is there, and says something
	pathLine int
}

func tokensKey() key[Config] {
	keys := tokenKeys()
	return key[Config]{entry{
		name: "tokens", form: "list", required: true, list: true, sub: entries(keys),
		doc: "What to plant: 1 to 64 tokens. Every matched container gets all of them, but for those that narrow it down with a `match` of their own.",
	}, func(p *parser, c *Config, n *yaml.Node) {
		p.names = map[string]int{}
		p.list(n, "tokens", func(i int, n *yaml.Node) {
			if i < MaxTokens { // the others are one mistake, below
				p.token(c, n, keys)
			}
		})
		if err := CheckTokenCount(len(n.Content)); err != nil && n.Kind == yaml.SequenceNode {
			p.fail(n, "tokens: %v", err)
		}
	}}
}

func (p *parser) token(c *Config, n *yaml.Node, keys []key[draft]) {
	d := draft{given: Given{Keys: [5]string{`"content"`, `"contentFile"`, `"template"`, `"values"`, `"path"`}}}
	mapping(p, n, "token", keys, &d)
	if n.Kind == yaml.MappingNode {
		for _, err := range CompleteToken(&d.Token, d.given) {
			p.fail(n, "token: %v", err)
		}
		if !d.given.Path {
			d.pathLine = n.Line
		}
	}
	p.place(d)
	c.Tokens = append(c.Tokens, d.Token)
	if !d.match.IsZero() {
		if c.TokenMatch == nil {
			c.TokenMatch = map[string]policy.Match{}
		}
		c.TokenMatch[d.Name] = d.match
	}
}

func tokenKeys() []key[draft] {
	keys := []key[draft]{
		{entry{
			name: "name", form: "text", required: true, sample: "aws-credentials",
			doc: "Names the token in telemetry (`honeytoken.name`): 1 to 63 of a-z, 0-9 and \"-\", unique.",
		}, func(p *parser, d *draft, n *yaml.Node) {
			if s, ok := p.name(n, "token name"); ok {
				p.unique(p.names, n, "token name", s)
				d.Name = s
			}
		}},
		{entry{
			name: "kind", form: "text", def: beesting.KindGeneric, sample: "aws-credentials",
			doc: "What the content pretends to be (`honeytoken.kind`). Without `content`, `contentFile` and `template` the " +
				"content is made, for each container another one, and the kind is one of those that `beesting kinds` lists " +
				"(docs/kinds.md). Otherwise it is any text in the form of a name.",
		}, func(p *parser, d *draft, n *yaml.Node) { d.Kind, _ = p.name(n, "token kind") }},
		{entry{
			name: "path", form: "absolute path", sample: "/root/.aws/credentials",
			doc: "Where a container sees the token. Unique, and not below another token's path, unless the tokens before it with " +
				"such a path have a `match` of their own. Can be left out for a kind whose files have a usual place.",
		}, (*parser).tokenPath},
		{entry{
			name: "mode", form: "octal permission bits", hint: `"0644"`,
			doc: "Permission bits of the file. Left out, they are what is usual for a kind that makes its content, mostly " +
				"`\"0600\"`, and otherwise `\"0644\"`. The file belongs to the user that the container runs as, where the runtime " +
				"tells (containerd 2.2), and to root elsewhere. With `\"0600\"` the kernel refuses an open by another user without " +
				"root's rights, which the sensor sees in the tier `recon` only.",
		}, func(p *parser, d *draft, n *yaml.Node) {
			d.given.Mode = true
			d.Mode, _ = read(p, n, "token mode", ParseMode)
		}},
	}
	return slices.Concat(keys, contentKeys(), plantingKeys())
}

// plantingKeys are those that say how the token gets into which containers, and
// what is watched there.
func plantingKeys() []key[draft] {
	return []key[draft]{
		{entry{
			name: "strategy", form: "auto, bind, hook or live", def: "auto",
			doc: "How the token gets into a container (docs/planting.md): `bind` has the runtime mount it, `hook` has an OCI hook " +
				"write it into the container's own root, `live` mounts it in a container that is there already. `auto` is `bind` " +
				"for new containers, and `live` for those that run.",
		}, func(p *parser, d *draft, n *yaml.Node) {
			if s, ok := p.oneOf(n, "token strategy", TokenStrategies()); ok {
				d.Strategy = Strategy(s)
			}
		}},
		{entry{
			name: "overwrite", form: "true or false", def: "false",
			doc: "Whether the token may hide a file that the image has at its path. If not, the container goes without the token. " +
				"A hook never does.",
		}, func(p *parser, d *draft, n *yaml.Node) { d.Overwrite = p.boolean(n, "token overwrite") }},
		{entry{
			name: "watchDirectory", form: "true or false", def: "false",
			doc: "Whether listing the directory that the token stands in is an access too (`list`). That tells of who looks " +
				"around, and of everything else that lists the directory: for directories that nobody has business in.",
		}, func(p *parser, d *draft, n *yaml.Node) { d.WatchDirectory = p.boolean(n, "token watchDirectory") }},
		tokenMatchKey(),
	}
}

// contentKeys are those that say what a reader of the token finds.
func contentKeys() []key[draft] {
	return []key[draft]{
		{entry{
			name: "content", form: "text", hint: `"a text of your own"`,
			doc: "What a reader finds, the same in every container; at most 1 MiB. Use a fake that looks right but opens nothing. " +
				"Environment references are expanded here too: write `$$` for a dollar sign before `{` or `$`.",
		}, func(p *parser, d *draft, n *yaml.Node) {
			d.given.Content = true
			if s, ok := p.text(n, "token content"); ok {
				d.Content = []byte(s)
			}
		}},
		{entry{
			name: "contentFile", form: "path", hint: "credentials.txt",
			doc: "File with the content, in place of `content`: read with the configuration, as it is, at most 1 MiB. A relative " +
				"path starts at the configuration file's directory.",
		}, (*parser).contentFile},
		{entry{
			name: "template", form: "text", hint: `"password={{password}}"`,
			doc: "Makes the content of each container, in place of `content`: a Go template with the functions of docs/kinds.md. " +
				"At most 64 KiB; references as in `content`.",
		}, func(p *parser, d *draft, n *yaml.Node) {
			d.given.Template = true
			d.Template, _ = read(p, n, "token template", func(s string) (string, error) { return s, CheckTemplate(s) })
		}},
		{entry{
			name: "values", form: "mapping of name to text", hint: "{accessKeyID: …, secretAccessKey: …}",
			doc: "Your own in place of made ones, for example those of a service that tells of their use elsewhere. Each kind " +
				"has names of its own (docs/kinds.md), a template those that it reads. A secret of your own doesn't name its container.",
		}, (*parser).values},
	}
}

// values reads a mapping whose keys depend on the kind.
func (p *parser) values(d *draft, n *yaml.Node) {
	d.given.Values = true
	if !p.kind(n, yaml.MappingNode, "token values") {
		return
	}
	if err := CheckValueCount(len(n.Content) / 2); err != nil {
		p.fail(n, "token values: %v", err)
		return
	}
	d.Values = map[string]string{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		if !p.kind(name, yaml.ScalarNode, "token values: a name") {
			continue
		}
		if _, dup := d.Values[name.Value]; dup {
			p.fail(name, "token values: %q is given twice", clip(name.Value))
		}
		if isNull(value) {
			p.fail(value, "token values: %q has no value", clip(name.Value))
			continue
		}
		if s, ok := p.text(value, "token values"); ok {
			d.Values[name.Value] = s
		}
	}
}

func (p *parser) tokenPath(d *draft, n *yaml.Node) {
	d.given.Path = true
	s, ok := p.text(n, "token path")
	if !ok {
		return
	}
	if err := CheckTokenPath(s); err != nil {
		p.fail(n, "token path %v", err)
		return
	}
	d.Path, d.pathLine = s, n.Line
}

func (p *parser) contentFile(d *draft, n *yaml.Node) {
	d.given.ContentFile = true
	s, ok := p.text(n, "token contentFile")
	if !ok {
		return
	}
	if !filepath.IsAbs(s) {
		s = filepath.Join(p.dir, s)
	}
	data, err := p.read(s, beesting.MaxTokenContent)
	if err != nil {
		p.fail(n, "token contentFile: %v", err)
		return
	}
	d.Content = data
}

// name reads what has the form of a token's name.
func (p *parser) name(n *yaml.Node, what string) (string, bool) {
	s, ok := p.text(n, what)
	if !ok {
		return "", false
	}
	if err := CheckName(s); err != nil {
		p.fail(n, "%s %v", what, err)
		return "", false
	}
	return s, true
}
