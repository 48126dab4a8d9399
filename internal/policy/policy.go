// Package policy decides which containers get which tokens, and says why.
//
// Label requirements have exactly the meaning they have in a Kubernetes
// LabelSelector, because they are evaluated by the same code. Only
// k8s.io/apimachinery/pkg/labels is used: the selector type of
// pkg/apis/meta/v1 would add 60 packages and 4.9 MB (v0.37.2, amd64, stripped)
// to say the same.
package policy

import (
	"fmt"
	"strings"

	"github.com/beesting-otel/beesting"
)

// Policy says which tokens a container gets: those whose own match, and the
// policy's, it passes. It is a plain value, safe for concurrent use as long as
// nobody changes it.
type Policy struct {
	Match  Match
	Tokens []Token // in the order in which they are planted
}

// Token is a token of a policy.
type Token struct {
	beesting.Token
	// Match narrows the policy's for this token; the zero value does not.
	Match Match
}

// Verdict is what the policy says of one token and one container.
type Verdict struct {
	Token   string `json:"token"`
	Planted bool   `json:"planted"`
	// Rule is the key of the configuration that decided first, as in
	// "match.exclude[0]" or "tokens[1].match.images", counted from 0.
	Rule string `json:"rule"`
	// Why says it in words, on one line.
	Why string `json:"why"`
	// Odd are the pod's values that could not be understood and count as absent.
	Odd []string `json:"odd,omitempty"`
}

// Select returns the tokens that the container gets, in their order.
func (p Policy) Select(c beesting.Container) []beesting.Token {
	tokens, _ := p.choose(&c)
	return tokens
}

// Explain returns a verdict for each token, in their order.
func (p Policy) Explain(c beesting.Container) []Verdict {
	top := p.Match.decide(&c)
	verdicts := make([]Verdict, len(p.Tokens))
	var before []beesting.Token
	for i, t := range p.Tokens {
		verdicts[i] = verdict(i, t, top, t.Match.decide(&c), before)
		if verdicts[i].Planted {
			before = append(before, t.Token)
		}
	}
	return verdicts
}

// choose is Select, and says what was odd about the pod.
func (p Policy) choose(c *beesting.Container) (tokens []beesting.Token, odd []string) {
	top := p.Match.decide(c)
	odd = top.odds
	for i, t := range p.Tokens {
		if !top.ok {
			return nil, odd
		}
		v := verdict(i, t, top, t.Match.decide(c), tokens)
		odd = append(odd, v.Odd[len(top.odds):]...)
		if v.Planted {
			tokens = append(tokens, t.Token)
		}
	}
	return tokens, odd
}

// verdict joins what the policy's match and the token's own say. before are the
// tokens that the container gets already.
func verdict(i int, t Token, top, own decision, before []beesting.Token) Verdict {
	v := Verdict{Token: t.Name, Odd: append(append([]string(nil), top.odds...), own.odds...)}
	ownRule := fmt.Sprintf("tokens[%d].match", i)
	switch {
	case !top.ok:
		v.Rule, v.Why = under("match", top.key), top.why
	case !own.ok:
		v.Rule, v.Why = under(ownRule, own.key), own.why
	default:
		if other, taken := blocked(t.Path, before); taken {
			v.Rule = fmt.Sprintf("tokens[%d].path", i)
			v.Why = fmt.Sprintf("token %s comes before it and takes %s", other.Name, quoted(other.Path))
			return v
		}
		v.Planted, v.Rule, v.Why = true, "match", top.why
		if !t.Match.IsZero() {
			v.Rule, v.Why = ownRule, own.why
		}
	}
	return v
}

func under(match, key string) string { return strings.TrimSuffix(match+"."+key, ".") }

// blocked finds the token that is in the way of a path: at it, above or below.
func blocked(path string, tokens []beesting.Token) (beesting.Token, bool) {
	for _, t := range tokens {
		if Collide(t.Path, path) {
			return t, true
		}
	}
	return beesting.Token{}, false
}

// Collide reports whether two clean absolute paths can't both be files: they are
// the same, or one lies below the other.
func Collide(a, b string) bool {
	return a == b || strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/")
}
