package main

import (
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// Every rule says what it is, how bad it is, and where it is explained.
func TestRules(t *testing.T) {
	page, err := os.ReadFile("../docs/dashboards.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`^Honeytoken[A-Z][A-Za-z]+$`)
	seen := map[string]bool{}
	for _, r := range rules() {
		if !names.MatchString(r.name) || seen[r.name] || r.summary == "" || r.says == "" || r.hold == "" {
			t.Errorf("rule %q: name, repeated, or without words", r.name)
		}
		seen[r.name] = true
		from := map[source]string{metrics: "Prometheus", logs: "Loki"}[r.source]
		if line := "| " + r.name + " | " + from + " | " + r.severity + " |"; !strings.Contains(string(page), line) {
			t.Errorf("docs/dashboards.md has no line %s", line)
		}
		runbook, err := os.ReadFile("../docs/runbooks/" + r.runbook + ".md")
		if err != nil || !strings.Contains(string(runbook), "`"+r.name+"`") {
			t.Errorf("the runbook of %s (%v) doesn't name it", r.name, err)
		}
	}
}

// The files as Prometheus reads them. Templates of labels and annotations are run, with
// Loki's too, whose expressions are no PromQL.
func TestRuleFiles(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	read := func(name string, replace func(string) string) []error {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, errs := rulefmt.Parse([]byte(replace(string(content))), false, model.UTF8Validation, parser.NewParser(parser.Options{}), log)
		return errs
	}
	if errs := read("alerts/prometheus.yaml", func(s string) string { return s }); len(errs) > 0 {
		t.Error(errs)
	}
	logql := regexp.MustCompile(`(?s)expr: .*?\n(        labels:|        for:)`)
	if errs := read("alerts/loki.yaml", func(s string) string { return logql.ReplaceAllString(s, "expr: up\n$1") }); len(errs) > 0 {
		t.Error(errs)
	}
	if errs := read("alerts/prometheus.yaml", func(s string) string { return strings.Replace(s, "}}", "", 1) }); len(errs) == 0 {
		t.Error("a broken template is not noticed")
	}
}
