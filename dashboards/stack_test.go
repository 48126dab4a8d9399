//go:build stack

package main

import (
	"encoding/json"
	"maps"
	"os"
	"strings"
	"testing"
	"time"
)

// stackState is what `make stack` says of itself, see test/stack.
type stackState struct {
	Loki       string            `json:"loki"`
	Prometheus string            `json:"prometheus"`
	Jaeger     string            `json:"jaeger"`
	OTLP       string            `json:"otlp"`
	Begin      time.Time         `json:"begin"`
	End        time.Time         `json:"end"`
	Incidents  map[string]string `json:"incidents"`
	Records    []struct {
		UID      string `json:"uid"`
		TraceID  string `json:"trace_id"`
		Severity int    `json:"severity"`
		Count    int    `json:"count"` // of touches
	} `json:"records"`
}

func readStack(t *testing.T) stackState {
	t.Helper()
	file := os.Getenv("STACK_STATE")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("no stack at STACK_STATE=%q, run this by `make test-dashboards`: %v", file, err)
	}
	var s stackState
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Records) == 0 || s.Incidents["shell"] == "" || s.Incidents["neighbour"] == "" {
		t.Fatalf("the stack has no incident: %s", b)
	}
	return s
}

// TestStack asks the real back ends for everything that a dashboard, a rule or a page
// of the documentation asks them for.
func TestStack(t *testing.T) {
	s := readStack(t)
	g := &grafana{stack: s}
	g.settle(t)
	t.Run("Indexed", func(t *testing.T) { indexed(t, g) })
	// All boards but the one for Tempo, which can't be built here: apart from the panel
	// with the trace it is the one for Jaeger.
	for _, b := range []board{overview(), incident(jaeger), fleet()} {
		t.Run(strings.TrimSuffix(b.file, ".json"), func(t *testing.T) { everyPanel(t, g, b) })
	}
	t.Run("Figures", func(t *testing.T) { figures(t, g) })
	t.Run("MetricsOfRules", func(t *testing.T) { metricsOfRules(t, g) })
	t.Run("Documentation", func(t *testing.T) { documented(t, g) })
	t.Run("Alerts", func(t *testing.T) { alertsFireAndResolve(t, g) })
}

// indexed: Loki's OTLP end point makes index labels of the place where the token is,
// as docs/dashboards.md says, and structured metadata of all else.
func indexed(t *testing.T, g *grafana) {
	var answer struct{ Data []string }
	g.get(t, g.stack.Loki+"/loki/api/v1/labels", g.window(), &answer)
	has := map[string]bool{}
	for _, name := range answer.Data {
		has[name] = true
	}
	for _, name := range []string{"k8s_cluster_name", "k8s_namespace_name", "k8s_pod_name", "k8s_container_name", "service_name"} {
		if !has[name] {
			t.Errorf("Loki has no index label %s, it has %q", name, answer.Data)
		}
	}
	for _, name := range answer.Data {
		if strings.HasPrefix(name, "honeytoken") || strings.HasPrefix(name, "process") || strings.HasPrefix(name, "file") || name == "trace_id" {
			t.Errorf("Loki has made an index label of %s", name)
		}
	}
	found := map[string]int{}
	for _, e := range g.lines(t, anyStream+" | "+isAccess, 1000) {
		found[e["log_record_uid"]+" "+e["trace_id"]]++
	}
	for _, r := range g.stack.Records {
		if n := found[r.UID+" "+r.TraceID]; n != 1 {
			t.Errorf("record %s of trace %s is in Loki %d times", r.UID, r.TraceID, n)
		}
	}
	if len(found) != len(g.stack.Records) {
		t.Errorf("%d records in Loki, %d by the agent", len(found), len(g.stack.Records))
	}
}

// figures: the numbers of the overview and the table of incidents say what the agent
// wrote to its standard output.
func figures(t *testing.T, g *grafana) {
	all := map[string]string{}
	for _, v := range overview().variables {
		all[v.name] = v.all
	}
	want := map[string]int{}
	byTrace := map[string]int{}
	for _, r := range g.stack.Records {
		want["Accesses"] += r.Count
		if r.Severity >= 17 {
			want["Content reached"] += r.Count
		}
		if r.Severity >= 19 {
			want["Tampering or outsiders"] += r.Count
		}
		byTrace[r.TraceID] += r.Count
	}
	for _, p := range overviewNumbers() {
		n, asked := want[p.title]
		if !asked {
			continue
		}
		delete(want, p.title)
		if got := g.sums(t, p.targets[0], all, ""); got[""] != n {
			t.Errorf("%s: %d, want %d", p.title, got[""], n)
		}
	}
	if len(want) > 0 {
		t.Errorf("no panels for %v", want)
	}
	if got := g.sums(t, incidents().targets[0], all, "trace_id"); !maps.Equal(got, byTrace) {
		t.Errorf("touches by incident: %v, want %v", got, byTrace)
	}
}

// everyPanel asks for all variables and all panels, at first with all values chosen,
// then with one of each.
func everyPanel(t *testing.T, g *grafana, b board) {
	chosen := map[string]string{"trace": g.stack.Incidents["shell"]}
	all := map[string]string{"trace": g.stack.Incidents["shell"]}
	for _, v := range b.variables {
		if v.of == "" {
			continue
		}
		values := g.values(t, v)
		if len(values) == 0 {
			if v.mayBeEmpty == "" {
				t.Errorf("variable %s has no values", v.name)
			}
			continue
		}
		all[v.name], chosen[v.name] = v.all, choose(v.name, values)
	}
	for _, r := range b.rows {
		for _, p := range r.panels {
			t.Run(p.title, func(t *testing.T) {
				for _, values := range []map[string]string{all, chosen} {
					g.panel(t, p, values)
				}
			})
		}
	}
}

// choose takes the place of the incident, else several values, in the form that
// Grafana gives a regular expression.
func choose(name string, values []string) string {
	switch name {
	case "namespace":
		return "shop"
	case "workload":
		return "web"
	}
	return "(" + strings.Join(values, "|") + ")"
}
