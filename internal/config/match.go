package config

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/beesting-otel/beesting/internal/policy"
)

// MaxExclude is how many exclude rules a match can have.
const MaxExclude = 64

// matchWords are what the reference says of the keys of a match; the same keys
// stand in tokens and in exclude rules.
type matchWords struct{ namespaces, excludeNamespaces, labels, containers, images, exclude, annotation string }

const asInMatch = "As in the policy's `match`."

func policyWords() matchWords {
	return matchWords{
		namespaces: "Namespaces whose pods get tokens; every namespace if left out. `*` stands for any run of characters, `?` for one. " +
			"YAML wants quotes around what begins with `*`.",
		excludeNamespaces: "Namespaces whose pods get none, with the same wildcards; wins over `namespaces`. `[]` excludes nothing.",
		labels: "Conditions on the pod's labels, with the meaning of a Kubernetes LabelSelector. All of them must hold; " +
			"without any, every pod matches. The labels are those that the pod was started with: runtimes aren't told of later changes.",
		containers: "Names of the containers that get tokens, with the same wildcards; every container if left out. Runtimes don't tell " +
			"init containers and ephemeral ones from others: they are matched by their names, too.",
		images: "Images whose containers get tokens; every image if left out. A pattern has to match one of REPOSITORY, " +
			"REPOSITORY:TAG, REPOSITORY@DIGEST and REPOSITORY:TAG@DIGEST from end to end, with the same wildcards, which stand for slashes, too. " +
			"REPOSITORY begins with the registry and its port, as in `registry.example:5000/team/web`; that of Docker Hub " +
			"can be left out as in a pod: `nginx:1.*` is `docker.io/library/nginx:1.*`. Name and tag are those in the pod, " +
			"`latest` where it has neither tag nor digest; the digest is as the runtime tells it, which containerd before 2.2 does not. " +
			"An image whose name isn't told matches nothing.",
		exclude: "Containers that get no tokens, whatever the other keys say: a list of at most 64 rules. A rule holds for a container if all of its " +
			"conditions do, and needs at least one.",
		annotation: "Gives pods a say, by an annotation of theirs: it can keep a pod from getting tokens that the other keys " +
			"give it, never get it more. Off unless given, since an annotation tells whoever can read it that there are tokens: " +
			"the API server shows it to readers of pods, and the pod's owner can have it inside the container through the " +
			"downward API. It is the one that the pod was started with.",
	}
}

func narrowWords() matchWords {
	return matchWords{asInMatch, asInMatch + " Nothing if left out.", asInMatch, asInMatch, asInMatch, asInMatch, asInMatch}
}

func matchKey() key[Config] {
	keys := matchKeys("match", policyWords(), "[kube-system]")
	return key[Config]{entry{
		name: "match", form: "mapping", required: true, sub: entries(keys),
		doc: "Which containers get the tokens. It has to be there, so that nobody plants everywhere by leaving " +
			"something out: `match: {}` means every pod outside kube-system.",
	}, func(p *parser, c *Config, n *yaml.Node) { mapping(p, n, "match", keys, &c.Match) }}
}

func tokenMatchKey() key[draft] {
	keys := matchKeys("token match", narrowWords(), "")
	return key[draft]{entry{
		name: "match", form: "mapping", hint: "{containers: [app]}", sub: entries(keys),
		doc: "Narrows the policy's `match` for this token: a container gets it if both hold. Of tokens with the same path, or one " +
			"below the other's, a container gets the first that matches.",
	}, func(p *parser, d *draft, n *yaml.Node) {
		before := len(p.problems)
		mapping(p, n, "token match", keys, &d.match)
		d.narrowed = !d.match.IsZero() || len(p.problems) > before
	}}
}

// matchKeys are the keys of a match that messages call what. excluded is the
// default of excludeNamespaces.
func matchKeys(what string, words matchWords, excluded string) []key[policy.Match] {
	keys := ruleKeys(what, words, func(m *policy.Match) *policy.Rule { return &m.Rule }, false)
	hint := ""
	if excluded == "" {
		hint = "[kube-system]"
	}
	keys = slices.Insert(keys, 1, key[policy.Match]{entry{
		name: "excludeNamespaces", form: "list of names", def: excluded, hint: hint, doc: words.excludeNamespaces,
	}, func(p *parser, m *policy.Match, n *yaml.Node) {
		m.ExcludeNamespaces = p.patterns(n, what+".excludeNamespaces", ParseNamespace)
	}})
	return append(keys, excludeKey(what, words), annotationKey(what, words))
}

// ruleKeys are the conditions of a rule that lies in a T. Those of a list's item
// have samples.
func ruleKeys[T any](what string, words matchWords, rule func(*T) *policy.Rule, item bool) []key[T] {
	selector := selectorKeys()
	keys := []key[T]{
		{entry{
			name: "namespaces", form: "list of names", hint: "[payments, web-*]", doc: words.namespaces,
		}, func(p *parser, t *T, n *yaml.Node) {
			rule(t).Namespaces = p.patterns(n, what+".namespaces", ParseNamespace)
		}},
		{entry{
			name: "labelSelector", form: "mapping", sub: entries(selector), doc: words.labels,
		}, func(p *parser, t *T, n *yaml.Node) { mapping(p, n, what+".labelSelector", selector, rule(t)) }},
		{entry{
			name: "containers", form: "list of names", hint: "[app, worker-*]", doc: words.containers,
		}, func(p *parser, t *T, n *yaml.Node) {
			rule(t).Containers = p.patterns(n, what+".containers", ParseContainer)
		}},
		{entry{
			name: "images", form: "list of images", hint: `["registry.example:5000/team/*", "nginx:1.*"]`, doc: words.images,
		}, func(p *parser, t *T, n *yaml.Node) { rule(t).Images = p.patterns(n, what+".images", ParseImage) }},
	}
	if item {
		for i, sample := range []string{"[payments]", "{matchLabels: {role: builder}}", "[istio-proxy]", `["*/istio/proxyv2:*"]`} {
			keys[i].sample = sample
		}
	}
	return keys
}

func excludeKey(what string, words matchWords) key[policy.Match] {
	what += ".exclude"
	item := matchWords{asInMatch, "", asInMatch, asInMatch, asInMatch, "", ""}
	keys := ruleKeys(what, item, func(r *policy.Rule) *policy.Rule { return r }, true)
	return key[policy.Match]{entry{
		name: "exclude", form: "list of rules", list: true, sub: entries(keys), doc: words.exclude,
	}, func(p *parser, m *policy.Match, n *yaml.Node) {
		p.list(n, what, func(i int, n *yaml.Node) {
			if i >= MaxExclude { // one mistake, below
				return
			}
			var r policy.Rule
			before := len(p.problems)
			mapping(p, n, what, keys, &r)
			if err := CheckExclude(r); err != nil && len(p.problems) == before {
				p.fail(n, "%s: %v", what, err)
			}
			m.Exclude = append(m.Exclude, r)
		})
		if err := CheckExcludeCount(len(n.Content)); err != nil && n.Kind == yaml.SequenceNode {
			p.fail(n, "%s: %v", what, err)
		}
	}}
}

// say is an annotation key while it is read.
type say struct{ key, mode string }

func annotationKey(what string, words matchWords) key[policy.Match] {
	what += ".annotation"
	keys := []key[say]{
		{entry{
			name: "key", form: "text", required: true, doc: "The annotation. Choose one that doesn't tell of tokens.",
		}, func(p *parser, s *say, n *yaml.Node) { s.key, _ = p.text(n, what+" key") }},
		{entry{
			name: "mode", form: "optOut or optIn", def: "optOut",
			doc: "`optOut`: a pod whose annotation is \"false\" gets no tokens. `optIn`: only a pod whose annotation is \"true\" " +
				"gets tokens. A value that is neither counts as if it were not there, and the log has a warning.",
		}, func(p *parser, s *say, n *yaml.Node) { s.mode, _ = p.oneOf(n, what+".mode", policy.AnnotationModes()) }},
	}
	return key[policy.Match]{entry{
		name: "annotation", form: "mapping", hint: "{key: example.com/backup, mode: optOut}", sub: entries(keys), doc: words.annotation,
	}, func(p *parser, m *policy.Match, n *yaml.Node) {
		var s say
		before := len(p.problems)
		mapping(p, n, what, keys, &s)
		if len(p.problems) > before {
			return
		}
		var err error
		if m.Annotation, err = ParseAnnotation(s.key, s.mode); err != nil {
			p.fail(n, "%s: %v", what, err)
		}
	}}
}

func (p *parser) patterns(n *yaml.Node, what string, rule func(string) (policy.Pattern, error)) []policy.Pattern {
	var out []policy.Pattern
	p.texts(n, what, func(n *yaml.Node, s string) {
		pattern, err := rule(s)
		if err != nil {
			p.fail(n, "%s: %v", what, err)
			return
		}
		out = append(out, pattern)
	})
	if err := CheckPatterns(len(n.Content)); err != nil && n.Kind == yaml.SequenceNode {
		p.fail(n, "%s: %v", what, err)
	}
	return out
}

// ParseNamespace reads a namespace's name with wildcards.
func ParseNamespace(s string) (policy.Pattern, error) { return quotedPattern(s, policy.ParseNamespace) }

// ParseContainer reads a container's name with wildcards.
func ParseContainer(s string) (policy.Pattern, error) { return quotedPattern(s, policy.ParseContainer) }

// ParseImage reads an image's name with wildcards.
func ParseImage(s string) (policy.Pattern, error) { return quotedPattern(s, policy.ParseImage) }

func quotedPattern(s string, rule func(string) (policy.Pattern, error)) (policy.Pattern, error) {
	pattern, err := rule(s)
	if err != nil {
		return policy.Pattern{}, fmt.Errorf("%q: %w", clip(s), err)
	}
	return pattern, nil
}

// ParseAnnotation reads the key and the mode of an annotation.
func ParseAnnotation(key, mode string) (policy.Annotation, error) {
	a, err := policy.ParseAnnotation(key, mode)
	if err != nil {
		return policy.Annotation{}, fmt.Errorf("key %q: %w", clip(key), err)
	}
	return a, nil
}
