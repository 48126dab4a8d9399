//go:build stack

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// onlyWhenItHappens are metrics that have no series before the first event of their
// kind: nothing of it happens in the incident.
var onlyWhenItHappens = regexp.MustCompile(`^honeytoken_(access_lost|delivery_dropped)_total$`)

// metricsOfRules: what the rules for Prometheus ask for is there, under these names
// and with the labels that they group by. That they fire and resolve is promtool's to
// show (alerts/prometheus_test.yaml).
func metricsOfRules(t *testing.T, g *grafana) {
	for _, r := range fleetRules() {
		e, err := parser.NewParser(parser.Options{}).ParseExpr(r.expr)
		if err != nil {
			t.Fatal(err)
		}
		parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
			v, ok := n.(*parser.VectorSelector)
			if !ok || onlyWhenItHappens.MatchString(v.Name) {
				return nil
			}
			series := g.vector(t, v.Name)
			if len(series) == 0 {
				t.Errorf("%s asks for %s, of which there is nothing", r.name, v.Name)
			}
			for _, label := range []string{"job", "instance", "k8s_cluster_name", "k8s_node_name"} {
				if strings.HasPrefix(v.Name, "honeytoken_") && len(series) > 0 && series[0][label] == "" {
					t.Errorf("%s has no label %s: %v", v.Name, label, series[0])
				}
			}
			return nil
		})
	}
	// Once more than a minute after the first metrics: before them no agent reports, and
	// the rule for that is pending until it is evaluated again.
	var unwell []string
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(3 * time.Second) {
		unwell = nil
		for _, rule := range g.rules(t, g.stack.Prometheus+"/api/v1/rules") {
			if rule.Health != "ok" || rule.State != "inactive" {
				unwell = append(unwell, fmt.Sprintf("%s is %s and %s: %s", rule.Name, rule.Health, rule.State, rule.LastError))
			}
		}
		if len(unwell) == 0 {
			return
		}
	}
	t.Errorf("all is well, and %q", unwell)
}

// ruleStatus is what Prometheus and Loki's ruler say of a rule.
type ruleStatus struct {
	Name, State, Health, LastError string
	Alerts                         []struct {
		State       string
		Labels      map[string]string
		Annotations map[string]string
	}
}

func (g *grafana) rules(t *testing.T, address string) []ruleStatus {
	t.Helper()
	var answer struct {
		Data struct {
			Groups []struct{ Rules []ruleStatus }
		}
	}
	g.get(t, address, nil, &answer)
	var all []ruleStatus
	for _, group := range answer.Data.Groups {
		all = append(all, group.Rules...)
	}
	if len(all) == 0 {
		t.Fatalf("%s has no rules", address)
	}
	return all
}

// alertsFireAndResolve: Loki's own ruler evaluates the committed rules. Each fires for
// the incident, and goes away five minutes after the last record. What the incident
// hasn't is a gap: that is sent by us, in the form that the exporter gives it.
func alertsFireAndResolve(t *testing.T, g *grafana) {
	sendGap(t, g)
	fired := map[string]bool{}
	const patience = 3 * time.Minute
	wait := func(what string, within time.Duration, done func([]ruleStatus) bool) {
		t.Helper()
		var last []ruleStatus
		for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(3 * time.Second) {
			if last = g.rules(t, g.stack.Loki+"/prometheus/api/v1/rules"); done(last) {
				return
			}
		}
		t.Fatalf("%s: not within %v: %+v", what, within, last)
	}
	wait("every rule fires", patience, func(all []ruleStatus) bool {
		for _, r := range all {
			if r.LastError != "" {
				t.Fatalf("%s: %s", r.Name, r.LastError)
			}
			if r.State == "firing" && !fired[r.Name] {
				fired[r.Name] = true
				checkAlert(t, g, r)
			}
		}
		return len(fired) == len(accessRules())
	})
	t.Logf("firing: %v, %v after the incident", fired, time.Since(g.stack.End).Round(time.Second))
	wait("every rule resolves", 5*time.Minute+patience, func(all []ruleStatus) bool {
		return !slices.ContainsFunc(all, func(r ruleStatus) bool { return r.State != "inactive" })
	})
	t.Logf("all resolved %v after the incident", time.Since(g.stack.End).Round(time.Second))
}

// checkAlert: what a person is told is filled in, and leads to the incident.
func checkAlert(t *testing.T, g *grafana, r ruleStatus) {
	t.Helper()
	for _, a := range r.Alerts {
		text := a.Annotations["summary"] + a.Annotations["description"]
		if strings.Contains(text, "{{") || strings.Contains(text, "<no value>") || a.Labels["severity"] == "" ||
			a.Labels["honeytoken_name"] == "" || !strings.HasPrefix(a.Annotations["runbook_url"], runbooks) {
			t.Errorf("%s: %v %v", r.Name, a.Labels, a.Annotations)
		}
		id := a.Labels["trace_id"]
		if r.Name != "HoneytokenTouchesUntold" && id != g.stack.Incidents["shell"] && id != g.stack.Incidents["neighbour"] {
			t.Errorf("%s is of the incident %q, which is none: %v", r.Name, id, g.stack.Incidents)
		}
	}
}

// sendGap gives the Collector the exporter's sample of a gap, as of now.
func sendGap(t *testing.T, g *grafana) {
	t.Helper()
	sample, err := os.ReadFile("../exporter/testdata/gap.otlp.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Logs json.RawMessage }
	if err := json.Unmarshal(sample, &file); err != nil {
		t.Fatal(err)
	}
	stamp := regexp.MustCompile(`("(?:timeUnixNano|observedTimeUnixNano)":\s*)"\d+"`)
	body := stamp.ReplaceAll(file.Logs, []byte(`$1"`+strconv.FormatInt(time.Now().UnixNano(), 10)+`"`))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.stack.OTLP+"/v1/logs", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("gap: %s", resp.Status)
	}
}
