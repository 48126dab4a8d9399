package content

import (
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"text/template"
	"text/template/parse"
)

// A template comes from whoever configures the node, and runs while a container
// is being created. So it can be no program: without loops and templates that
// call others each action runs once, and what functions return is bounded, each
// time and in sum. text/template itself can't be interrupted.
const (
	maxCallText  = 64 << 10
	maxCallBytes = 2 * maxContent
)

// builtinNames are the functions of text/template that templates may use.
var builtinNames = []string{"and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len"}

// templateFunction is one that templates can call.
type templateFunction struct {
	Use, About string
}

// templateFunctions is for the documentation; functions has the code.
func templateFunctions() []templateFunction {
	return []templateFunction{
		{"id", "the canary id, 26 characters of a-z and 2-7, which `trace-token` finds as it is"},
		{"password", "32 letters and digits that hold the canary id; use one of these two, and once"},
		{"random N ALPHABET", "N characters of an alphabet of your own: `random 8 \"abc\"`"},
		{"alnum N", "N letters and digits"},
		{"digits N", "N digits"},
		{"hex N", "N hexadecimal digits"},
		{"base64 N", "N random bytes in base64"},
		{"uuid", "a random UUID"},
		{"between LEAST MOST", "a number"},
		{"pick A B …", "one of its arguments"},
		{"encode TEXT", "TEXT in base64"},
		{"lower TEXT, upper TEXT", "in small letters, in capitals"},
		{"date LAYOUT", "when the content came into being, in a layout of Go's time package: `date \"2006-01-02\"`"},
		{"unix", "the same in seconds since 1970"},
		{"value NAME", "one of your own `values`; an error if there is none of that name"},
	}
}

// templateFields are what a template can read besides.
type templateFields struct {
	Token, Container, Pod, Namespace string
}

var valueNameTable = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,62}$`)

func (j *job) template(text string) ([]byte, error) {
	if len(text) > MaxTemplate {
		return nil, fmt.Errorf("template: %d bytes, at most %d are allowed", len(text), MaxTemplate)
	}
	for _, name := range sorted(j.in.Values) {
		if !valueNameTable.MatchString(name) {
			return nil, fmt.Errorf("values: name %.70q: must be 1 to 63 letters, digits and _, a letter first", name)
		}
		if len(j.in.Values[name]) > maxValue {
			return nil, fmt.Errorf("values: %s: %d bytes, at most %d are allowed", name, len(j.in.Values[name]), maxValue)
		}
	}
	functions := j.functions()
	t, err := template.New("template").Option("missingkey=error").Funcs(functions).Parse(text)
	if err != nil {
		return nil, templateError(err)
	}
	allowed := map[string]bool{}
	for name := range functions {
		allowed[name] = true
	}
	for _, name := range builtinNames {
		allowed[name] = true
	}
	if len(t.Templates()) > 1 || t.Tree == nil {
		return nil, errors.New("template: {{define}} and {{block}} are not supported, nor is an empty one")
	}
	if err := plain(t.Root, allowed); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	var out bounded
	err = t.Execute(&out, templateFields{j.in.Token, j.in.Container, j.in.Pod, j.in.Namespace})
	if err != nil {
		return nil, templateError(err)
	}
	return out.data, nil
}

// templateError makes "line N" of what the package puts before its errors.
func templateError(err error) error {
	if rest, found := strings.CutPrefix(err.Error(), "template: template:"); found {
		return fmt.Errorf("template: line %s", rest)
	}
	return err
}

// bounded takes no more than a token can have.
type bounded struct{ data []byte }

func (b *bounded) Write(p []byte) (int, error) {
	if len(b.data)+len(p) > maxContent {
		return 0, fmt.Errorf("gives more than %d bytes", maxContent)
	}
	b.data = append(b.data, p...)
	return len(p), nil
}

// plain refuses what could run for long. What it doesn't know it refuses.
func plain(n parse.Node, allowed map[string]bool) error {
	var below []parse.Node
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil { // no {{else}}
			return nil
		}
		below = n.Nodes
	case *parse.ActionNode:
		below = []parse.Node{n.Pipe}
	case *parse.IfNode:
		below = []parse.Node{n.Pipe, n.List, n.ElseList}
	case *parse.WithNode:
		below = []parse.Node{n.Pipe, n.List, n.ElseList}
	case *parse.PipeNode:
		for _, c := range n.Cmds {
			below = append(below, c)
		}
	case *parse.CommandNode:
		below = n.Args
	case *parse.ChainNode:
		below = []parse.Node{n.Node}
	case *parse.IdentifierNode:
		if !allowed[n.Ident] {
			return fmt.Errorf("function %q is not supported", n.Ident)
		}
	case *parse.TextNode, *parse.CommentNode, *parse.StringNode, *parse.NumberNode, *parse.BoolNode, *parse.DotNode,
		*parse.NilNode, *parse.FieldNode, *parse.VariableNode:
	default:
		return fmt.Errorf("%.40q is not supported: only actions, {{if}} and {{with}} are", n.String())
	}
	for _, b := range below {
		if err := plain(b, allowed); err != nil {
			return err
		}
	}
	return nil
}

// functions has what a template can call. Each name draws from a stream of its
// own, so that the same function gives other texts at the next call.
func (j *job) functions() template.FuncMap {
	spent := 0
	s := j.stream("template")
	give := func(n int, made func() string) (string, error) {
		if n < 0 || n > maxCallText {
			return "", fmt.Errorf("%d is not a length from 0 to %d", n, maxCallText)
		}
		if spent += n; spent > maxCallBytes {
			return "", fmt.Errorf("functions give more than %d bytes", maxCallBytes)
		}
		return made(), nil
	}
	of := func(alphabet string) func(int) (string, error) {
		return func(n int) (string, error) { return give(n, func() string { return s.text(alphabet, n) }) }
	}
	changed := func(f func(string) string) func(string) (string, error) {
		return func(text string) (string, error) { return give(len(text), func() string { return f(text) }) }
	}
	return template.FuncMap{
		"id":       func() string { return idText(j.id, idBits) },
		"password": func() string { return j.password(j.stream("password")) },
		"random": func(n int, alphabet string) (string, error) {
			if alphabet == "" || len(alphabet) > 256 || strings.ContainsFunc(alphabet, func(r rune) bool { return r >= 0x80 }) {
				return "", errors.New("the alphabet has to be 1 to 256 ASCII characters")
			}
			return of(alphabet)(n)
		},
		"alnum":  of(base62),
		"digits": of(digits),
		"hex":    of(hexDigit),
		"base64": func(n int) (string, error) {
			return give(n, func() string { return base64.StdEncoding.EncodeToString(s.bytes(n)) })
		},
		"uuid":    func() (string, error) { return give(36, s.uuid) },
		"between": s.fromTo,
		"pick": func(from ...string) (string, error) {
			if len(from) == 0 {
				return "", errors.New("nothing to pick from")
			}
			return s.pick(from), nil
		},
		"encode": changed(func(t string) string { return base64.StdEncoding.EncodeToString([]byte(t)) }),
		"lower":  changed(strings.ToLower),
		"upper":  changed(strings.ToUpper),
		"date":   changed(j.at.Format),
		"unix":   j.at.Unix,
		"value": func(name string) (string, error) {
			v, given := j.in.Values[name]
			if !given {
				return "", fmt.Errorf("values has no %.60q", name)
			}
			return v, nil
		},
	}
}

// fromTo is between for numbers of either sign.
func (s *stream) fromTo(least, most int64) (int64, error) {
	if most < least || least < -1<<53 || most > 1<<53 {
		return 0, fmt.Errorf("%d to %d is no range", least, most)
	}
	return least + int64(s.below(uint64(most-least)+1)), nil
}
