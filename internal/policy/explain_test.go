package policy

import (
	"bytes"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/beesting-otel/beesting"
)

func annotation(t *testing.T, key, mode string) Annotation {
	t.Helper()
	a, err := ParseAnnotation(key, mode)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func container(t *testing.T, name string) []Pattern {
	t.Helper()
	p, err := ParseContainer(name)
	if err != nil {
		t.Fatal(err)
	}
	return []Pattern{p}
}

func shop() beesting.Container {
	c := image("docker.io/library/nginx:1.27")
	c.Name = "app"
	c.Pod = beesting.Pod{ID: "p1", Name: "web-0", Namespace: "shop", Labels: map[string]string{"app": "web"}, Annotations: map[string]string{}}
	return c
}

func token(name, path string, m Match) Token {
	return Token{Token: beesting.Token{Name: name, Path: path}, Match: m}
}

// Each case says what decides first for one token on the container of shop().
func TestDecides(t *testing.T) {
	yes := Match{}
	tests := []struct {
		name       string
		match, own Match
		annotation string // of the pod
		planted    bool
		rule, why  string
	}{
		{"nothing", yes, yes, "", true, "match", "nothing excludes it"},
		{"namespace", Match{Rule: Rule{Namespaces: patterns(t, "web", "db-*")}}, yes, "", false,
			"match.namespaces", `namespace "shop" matches none of web, db-*`},
		{"excluded namespace wins", Match{Rule: Rule{Namespaces: patterns(t, "shop")}, ExcludeNamespaces: patterns(t, "sh*")}, yes, "", false,
			"match.excludeNamespaces", `namespace "shop" matches sh*`},
		{"label", Match{Rule: Rule{Labels: []Requirement{requirement(t, "app", "In", "web"), requirement(t, "team", "Exists")}}}, yes, "", false,
			"match.labelSelector", "the pod's labels are not team"},
		{"container", Match{Rule: Rule{Containers: container(t, "db")}}, yes, "", false,
			"match.containers", `container "app" matches none of db`},
		{"image", Match{Rule: Rule{Images: imagePatterns(t, "quay.io/*")}}, yes, "", false,
			"match.images", `image "docker.io/library/nginx:1.27" matches none of quay.io/*`},
		{"all hold", Match{Rule: Rule{Namespaces: patterns(t, "shop"), Labels: []Requirement{requirement(t, "app", "In", "web")},
			Containers: container(t, "a*"), Images: imagePatterns(t, "nginx")}}, yes, "", true,
			"match", `namespace "shop" matches shop, and the pod's labels are app in (web), and container "app" matches a*, and image "docker.io/library/nginx:1.27" matches nginx`},
		{"exclude, first half only", Match{Exclude: []Rule{{Namespaces: patterns(t, "shop"), Containers: container(t, "db")}}}, yes, "", true,
			"match", "nothing excludes it"},
		{"second exclude", Match{Exclude: []Rule{{Containers: container(t, "db")}, {Images: imagePatterns(t, "nginx:*")}}}, yes, "", false,
			"match.exclude[1]", `image "docker.io/library/nginx:1.27" matches nginx:*`},
		{"exclude wins over the list", Match{Rule: Rule{Containers: container(t, "app")}, Exclude: []Rule{{Containers: container(t, "app")}}}, yes, "", false,
			"match.exclude[0]", `container "app" matches app`},
		{"opt out, absent", Match{Annotation: annotation(t, "a.example/t", "optOut")}, yes, "", true, "match", "nothing excludes it"},
		{"opt out, false", Match{Annotation: annotation(t, "a.example/t", "optOut")}, yes, "false", false,
			"match.annotation", `annotation a.example/t is "false"`},
		{"opt out, true", Match{Annotation: annotation(t, "a.example/t", "optOut")}, yes, "true", true, "match", "nothing excludes it"},
		{"opt out, odd", Match{Annotation: annotation(t, "a.example/t", "optOut")}, yes, "False", true, "match", "nothing excludes it"},
		{"opt in, absent", Match{Annotation: annotation(t, "a.example/t", "optIn")}, yes, "", false,
			"match.annotation", `annotation a.example/t is not "true"`},
		{"opt in, true", Match{Annotation: annotation(t, "a.example/t", "optIn")}, yes, "true", true, "match", "nothing excludes it"},
		{"opt in, odd", Match{Annotation: annotation(t, "a.example/t", "optIn")}, yes, "yes", false,
			"match.annotation", `annotation a.example/t is not "true"`},
		{"opt in adds nothing", Match{Rule: Rule{Namespaces: patterns(t, "web")}, Annotation: annotation(t, "a.example/t", "optIn")}, yes, "true", false,
			"match.namespaces", `namespace "shop" matches none of web`},
		{"opt in does not beat an exclude", Match{ExcludeNamespaces: patterns(t, "shop"), Annotation: annotation(t, "a.example/t", "optIn")}, yes, "true", false,
			"match.excludeNamespaces", `namespace "shop" matches shop`},
		{"own match narrows", yes, Match{Rule: Rule{Containers: container(t, "db")}}, "", false,
			"tokens[0].match.containers", `container "app" matches none of db`},
		{"own match holds", yes, Match{Rule: Rule{Containers: container(t, "app")}}, "", true,
			"tokens[0].match", `container "app" matches app`},
		{"own match can't widen", Match{ExcludeNamespaces: patterns(t, "shop")}, Match{Rule: Rule{Namespaces: patterns(t, "shop")}}, "", false,
			"match.excludeNamespaces", `namespace "shop" matches shop`},
		{"own exclude", yes, Match{Exclude: []Rule{{Containers: container(t, "app")}}}, "", false,
			"tokens[0].match.exclude[0]", `container "app" matches app`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := Policy{Match: tt.match, Tokens: []Token{token("a", "/a", tt.own)}}
			c := shop()
			if tt.annotation != "" {
				c.Pod.Annotations["a.example/t"] = tt.annotation
			}
			got := p.Explain(c)[0]
			if got.Token != "a" || got.Planted != tt.planted || got.Rule != tt.rule || got.Why != tt.why {
				t.Errorf("verdict = %+v\nwant planted %v, rule %s, why %s", got, tt.planted, tt.rule, tt.why)
			}
			if selected := len(p.Select(c)) == 1; selected != tt.planted {
				t.Errorf("Select and Explain disagree: %v, %v", selected, tt.planted)
			}
			odd := tt.annotation != "" && tt.annotation != "true" && tt.annotation != "false"
			if (len(got.Odd) > 0) != odd {
				t.Errorf("odd = %q", got.Odd)
			}
		})
	}
}

// Of tokens that want the same place, the first that matches gets it.
func TestFirstTokenWins(t *testing.T) {
	p := Policy{Tokens: []Token{
		token("db", "/etc/pass", Match{Rule: Rule{Containers: container(t, "db")}}),
		token("web", "/etc/pass", Match{Rule: Rule{Containers: container(t, "app")}}),
		token("below", "/etc/pass/file", Match{}),
		token("beside", "/etc/password", Match{}),
	}}
	names := func(c beesting.Container) string {
		var s []string
		for _, t := range p.Select(c) {
			s = append(s, t.Name)
		}
		return strings.Join(s, " ")
	}
	c := shop()
	if got := names(c); got != "web beside" {
		t.Errorf("app gets %q", got)
	}
	if v := p.Explain(c)[2]; v.Rule != "tokens[2].path" || v.Why != `token web comes before it and takes "/etc/pass"` {
		t.Errorf("verdict = %+v", v)
	}
	c.Name = "db"
	if got := names(c); got != "db beside" {
		t.Errorf("db gets %q", got)
	}
	c.Name = "other"
	if got := names(c); got != "below beside" {
		t.Errorf("other gets %q", got)
	}
}

func TestCollide(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{{"/a", "/a", true}, {"/a", "/a/b", true}, {"/a/b/c", "/a", true}, {"/a", "/ab", false}, {"/a/b", "/a/c", false}} {
		if got := Collide(tt.a, tt.b); got != tt.want {
			t.Errorf("Collide(%s, %s) = %v", tt.a, tt.b, got)
		}
	}
}

func TestParseAnnotationRefuses(t *testing.T) {
	for _, tt := range []struct{ key, mode, want string }{
		{"", "optOut", "not an annotation's key"},
		{"a b", "optOut", "not an annotation's key"},
		{"a/b/c", "optIn", "not an annotation's key"},
		{"a", "optout", `mode "optout": must be one of optOut, optIn`},
	} {
		if _, err := ParseAnnotation(tt.key, tt.mode); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ParseAnnotation(%q, %q) = %v, want %s", tt.key, tt.mode, err, tt.want)
		}
	}
	if a := annotation(t, "Example.com/Plant", "optIn"); a.Key() != "Example.com/Plant" || !a.OptIn() {
		t.Errorf("annotation = %+v", a)
	}
}

// What a pod says and nobody understands is told once, however often the pod is
// asked for and by whom.
func TestSelectorWarnsOnce(t *testing.T) {
	var log bytes.Buffer
	p := Policy{
		Match:  Match{Annotation: annotation(t, "a.example/t", "optOut")},
		Tokens: []Token{token("a", "/a", Match{}), token("b", "/b", Match{Annotation: annotation(t, "a.example/b", "optIn")})},
	}
	selector := p.Selector(slog.New(slog.NewTextHandler(&log, nil)))
	c := shop()
	c.Pod.Annotations["a.example/t"] = "no\n" + strings.Repeat("x", 100)
	c.Pod.Annotations["a.example/b"] = "1"
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if got := selector(c); len(got) != 1 || got[0].Name != "a" {
				t.Errorf("selected %v", got)
			}
		})
	}
	wg.Wait()
	if n := strings.Count(log.String(), "\n"); n != 1 || strings.Count(log.String(), "neither") != 2 {
		t.Errorf("%d lines of log:\n%s", n, &log)
	}
	// Also with more pods than are remembered.
	for i := range maxWarned + 1 {
		c.Pod.ID = fmt.Sprint(i)
		selector(c)
	}
	if n := strings.Count(log.String(), "\n"); n != maxWarned+2 {
		t.Errorf("%d lines of log for %d pods", n, maxWarned+2)
	}
}

func TestLongListsAreShort(t *testing.T) {
	m := Match{Rule: Rule{Namespaces: patterns(t, "a", "b", "c", "d", "e", "f", "g")}}
	if got := m.decide(&beesting.Container{Pod: beesting.Pod{Namespace: strings.Repeat("x", 100)}}).why; !strings.HasSuffix(got, "x\"… matches none of a, b, c, d, e, and 2 more") {
		t.Error(got)
	}
}

// One policy serves many goroutines.
func TestExplainLeavesThePolicy(t *testing.T) {
	p := Policy{Match: Match{Annotation: annotation(t, "k", "optOut")}, Tokens: []Token{token("a", "/a", Match{}), token("b", "/b", Match{})}}
	c := shop()
	c.Pod.Annotations["k"] = "odd"
	before := fmt.Sprintf("%+v", p)
	first := p.Explain(c)
	if !reflect.DeepEqual(first, p.Explain(c)) || fmt.Sprintf("%+v", p) != before {
		t.Error("asking twice gives two answers")
	}
}
