package config

import (
	"path/filepath"

	"go.yaml.in/yaml/v4"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/policy"
)

// draft is a token while it is read.
type draft struct {
	beesting.Token
	content, contentFile bool

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
	var d draft
	mapping(p, n, "token", keys, &d)
	if n.Kind == yaml.MappingNode && !d.content && !d.contentFile {
		p.fail(n, `token: one of the keys "content" and "contentFile" must be given`)
	}
	if d.content && d.contentFile {
		p.fail(n, `token: only one of the keys "content" and "contentFile" can be given`)
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
	return []key[draft]{
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
			doc: "What the content pretends to be (`honeytoken.kind`), in the form of a name.",
		}, func(p *parser, d *draft, n *yaml.Node) { d.Kind, _ = p.name(n, "token kind") }},
		{entry{
			name: "path", form: "absolute path", required: true, sample: "/root/.aws/credentials",
			doc: "Where a container sees the token. An existing file there is hidden. Unique, and not below another token's path, unless " +
				"the tokens before it with such a path have a `match` of their own.",
		}, (*parser).tokenPath},
		{entry{
			name: "mode", form: "octal permission bits", def: `"0644"`,
			doc: "Permission bits of the file, which belongs to root. With `\"0600\"` the kernel refuses an open by a " +
				"process without root's rights, which the sensor sees in the tier `recon` only.",
		}, func(p *parser, d *draft, n *yaml.Node) { d.Mode, _ = read(p, n, "token mode", ParseMode) }},
		{entry{
			name: "content", form: "text", sample: "|\n" +
				"[default]\n" +
				"aws_access_key_id = AKIAIOSFODNN7EXAMPLE\n" +
				"aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
			doc: "What a reader finds; at most 1 MiB. Use a fake that looks right but opens nothing. Environment references " +
				"are expanded here too: write `$$` for a dollar sign before `{` or `$`.",
		}, func(p *parser, d *draft, n *yaml.Node) {
			d.content = true
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
			name: "watchDirectory", form: "true or false", def: "false",
			doc: "Whether listing the directory that the token stands in is an access too (`list`). That tells of who looks " +
				"around, and of everything else that lists the directory: for directories that nobody has business in.",
		}, func(p *parser, d *draft, n *yaml.Node) { d.WatchDirectory = p.boolean(n, "token watchDirectory") }},
		tokenMatchKey(),
	}
}

func (p *parser) tokenPath(d *draft, n *yaml.Node) {
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
	d.contentFile = true
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
