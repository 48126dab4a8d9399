//go:build stack

package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
)

// example is a fenced block of docs/queries.md: what it is written in, and why it may
// have no answer, from a comment above it.
var example = regexp.MustCompile("(?s)(?:<!-- may be empty: ([^>]*) -->\n\n)?```(logql|promql|jaeger|traceql)\n(.*?)```")

// documented runs the examples of docs/queries.md, with the incident's values in place
// of those that a reader puts in.
func documented(t *testing.T, g *grafana) {
	page, err := os.ReadFile("../docs/queries.md")
	if err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("TRACE_ID", g.stack.Incidents["shell"], "NAMESPACE", "shop", "POD", "web-7d4b9", "NODE", "node-1", "TOKEN", "aws-prod")
	run := 0
	for _, found := range example.FindAllStringSubmatch(string(page), -1) {
		reason, language, text := found[1], found[2], fill.Replace(found[3])
		var got []map[string]string
		var err error
		switch language {
		case "traceql":
			continue // Tempo can't be built here, which the page says
		case "logql":
			instant := strings.Contains(text, "[1h]")
			got, err = g.loki(t, target{expr: text, instant: instant}, nil)
		case "promql":
			got, err = g.prometheus(t, target{expr: text, instant: true}, nil)
		case "jaeger":
			got, err = g.jaegerPath(t, strings.TrimSpace(strings.TrimPrefix(text, "GET ")))
		}
		run++
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if len(got) == 0 && reason == "" {
			t.Errorf("no answer to the %s example: %s", language, text)
		}
	}
	if run < 10 {
		t.Errorf("%d examples found", run)
	}
}

func (g *grafana) jaegerPath(t *testing.T, path string) ([]map[string]string, error) {
	t.Helper()
	var answer struct{ Data []any }
	path, query, _ := strings.Cut(path, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, err
	}
	err = g.ask(t, http.MethodGet, g.stack.Jaeger+path, values, &answer)
	all := make([]map[string]string, len(answer.Data))
	for i, one := range answer.Data {
		all[i] = map[string]string{"it": fmt.Sprint(one)}
	}
	return all, err
}
