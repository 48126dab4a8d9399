package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/prometheus/prometheus/promql/parser"
)

// What is committed is what the code gives.
func TestGenerated(t *testing.T) {
	files, err := everything()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s (%v) is not what the code gives; run `go generate` in dashboards", name, err)
		}
	}
	for _, dir := range []string{"grafana/*", "alerts/*.yaml"} {
		found, err := filepath.Glob(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range found {
			if _, ours := files[name]; !ours && !strings.HasSuffix(name, "_test.yaml") {
				t.Errorf("%s is not generated any more", name)
			}
		}
	}
}

// The committed JSON, read by Grafana's own model, which knows each panel's options:
// a field that is misspelt, missing or of another type is refused.
func TestStrictly(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	for _, b := range boards() {
		content, err := os.ReadFile(filepath.Join("grafana", b.file))
		if err != nil {
			t.Fatal(err)
		}
		if err := strictly(content); err != nil {
			t.Errorf("%s: %v", b.file, err)
		}
		for _, field := range []string{"noValue", "gridPos", "wrapLogMessage", "fillOpacity", "queryType", "allValue", "graphTooltip"} {
			broken := bytes.Replace(content, []byte(`"`+field+`"`), []byte(`"`+field+`s"`), 1)
			if err := strictly(broken); err == nil && !bytes.Equal(broken, content) {
				t.Errorf("%s: that %s is misspelt is not noticed", b.file, field)
			}
		}
	}
}

// strictly reads a dashboard. The SDK looks into what all panels have in common of
// fieldConfig without strictness, so that is read once more.
func strictly(content []byte) error {
	var d dashboard.Dashboard
	if err := errors.Join(d.UnmarshalJSONStrict(content), d.Validate()); err != nil {
		return err
	}
	var raw struct {
		Panels []struct {
			Title       string          `json:"title"`
			FieldConfig json.RawMessage `json:"fieldConfig"`
		} `json:"panels"`
	}
	if err := json.Unmarshal(content, &raw); err != nil {
		return err
	}
	for _, p := range raw.Panels {
		if p.FieldConfig == nil {
			continue
		}
		if err := new(dashboard.FieldConfigSource).UnmarshalJSONStrict(p.FieldConfig); err != nil {
			return fmt.Errorf("panel %q: %w", p.Title, err)
		}
	}
	return nil
}

// The rules of Grafana's dashboard linter (github.com/grafana/dashboard-linter), which
// can't be installed by its released version, and a few of our own.
func TestDashboardRules(t *testing.T) {
	uids := map[string]string{}
	for _, b := range boards() {
		d, err := b.build()
		if err != nil {
			t.Fatal(err)
		}
		if before, twice := uids[b.uid]; twice && b.uid != incidentUID {
			t.Errorf("%s and %s have the same uid", before, b.file)
		}
		uids[b.uid] = b.file
		if len(b.uid) > 40 || b.title == "" || b.says == "" || *d.Editable {
			t.Errorf("%s: uid of at most 40 bytes, title and description, and not editable", b.file)
		}
		if d.SchemaVersion < 39 || d.SchemaVersion > 41 {
			t.Errorf("%s: schema version %d is not read by Grafana 10 to 13 alike", b.file, d.SchemaVersion)
		}
		for _, l := range d.Links {
			if !l.KeepTime || !l.IncludeVars {
				t.Errorf("%s: the link %s drops the time range or the variables", b.file, l.Title)
			}
		}
		lintVariables(t, b)
		lintPlaces(t, b, d)
		for _, r := range b.rows {
			for _, p := range r.panels {
				lintPanel(t, b, p)
			}
		}
	}
}

func lintVariables(t *testing.T, b board) {
	t.Helper()
	byName := map[string]variable{}
	for _, v := range b.variables {
		byName[v.name] = v
		m := v.build()
		if m.Label == nil || *m.Label == "" || m.Description == nil || *m.Description == "" {
			t.Errorf("%s: variable %s has no label or says nothing", b.file, v.name)
		}
		if v.of == "" {
			continue
		}
		if m.Datasource == nil || *m.Datasource.Uid != "${"+v.source.variable()+"}" || *m.Refresh != dashboard.VariableRefreshOnTimeRangeChanged {
			t.Errorf("%s: variable %s: data source by variable, and refreshed when the time range changes", b.file, v.name)
		}
		if !*m.Multi || !*m.IncludeAll || v.all == "" {
			t.Errorf("%s: variable %s: several values, all, and what all is", b.file, v.name)
		}
	}
	for _, s := range []source{metrics, logs} {
		if v := byName[s.variable()]; v.source != s || !strings.HasSuffix(v.label, " data source") {
			t.Errorf("%s: no data source variable %s, or not labelled as one", b.file, s.variable())
		}
	}
	for _, name := range []string{"job", "instance"} {
		if v := byName[name]; v.source != metrics || v.of != name || v.all != ".+" {
			t.Errorf("%s: the variable %s is not the one that the linter wants", b.file, name)
		}
	}
}

// lintPlaces: ids are unique, and no panel lies over another.
func lintPlaces(t *testing.T, b board, d dashboard.Dashboard) {
	t.Helper()
	ids, taken := map[uint32]bool{}, map[[2]uint32]uint32{}
	for _, p := range d.Panels {
		var id uint32
		var pos dashboard.GridPos
		if p.RowPanel != nil {
			id, pos = p.RowPanel.Id, *p.RowPanel.GridPos
		} else {
			id, pos = *p.Panel.Id, *p.Panel.GridPos
		}
		if ids[id] {
			t.Errorf("%s: panel id %d twice", b.file, id)
		}
		ids[id] = true
		for x := pos.X; x < pos.X+pos.W; x++ {
			for y := pos.Y; y < pos.Y+pos.H; y++ {
				if other, twice := taken[[2]uint32{x, y}]; twice || x >= columns {
					t.Fatalf("%s: panels %d and %d at %d, %d", b.file, other, id, x, y)
				}
				taken[[2]uint32{x, y}] = id
			}
		}
	}
}

func lintPanel(t *testing.T, b board, p panel) {
	t.Helper()
	bad := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s, panel %q: "+format, append([]any{b.file, p.title}, args...)...)
	}
	if p.title == "" || p.says == "" {
		bad("no title, or says nothing")
	}
	if len(p.targets) == 0 && p.kind != words {
		bad("no query")
	}
	if p.unit == "" && p.kind != lines && p.kind != trace && p.kind != words {
		bad("no unit")
	}
	if p.none == "" && p.kind != trace && p.kind != words {
		bad("says nothing when it is empty")
	}
	if p.kind == table && len(p.columns) < 2 {
		bad("a table without columns")
	}
	for _, l := range p.links {
		if !strings.Contains(l.url, "${__url_time_range}") {
			bad("the link %q drops the time range", l.title)
		}
	}
	for _, target := range p.targets {
		if target.source != p.targets[0].source {
			bad("queries of two data sources")
		}
		switch target.source {
		case metrics:
			lintPromQL(target, bad)
		case logs:
			lintLogQL(target, bad)
		}
	}
}

// Series of others than the agents have labels of their own: their job and instance
// are not those of the variables.
var otherSeries = regexp.MustCompile(`^(otelcol|process)_`)

func lintPromQL(q target, bad func(string, ...any)) {
	if strings.Contains(q.expr, "[") && !strings.Contains(q.expr, "[$__rate_interval]") && !strings.Contains(q.expr, "[$__range") {
		bad("a window of its own: %s", q.expr)
	}
	e, err := parser.NewParser(parser.Options{}).ParseExpr(interpolate(q.expr, map[string]string{
		"__rate_interval": "5m", "__range": "1h", "cluster": ".*", "job": ".+", "instance": ".+", "namespace": ".*"}))
	if err != nil {
		bad("%v in %s", err, q.expr)
		return
	}
	parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
		v, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		matchers := map[string]string{}
		for _, m := range v.LabelMatchers {
			matchers[m.Name] = m.Value
		}
		if matchers["job"] == "" || matchers["instance"] == "" {
			bad("%s without job or instance", v.Name)
		}
		if _, chosen := matchers["k8s_cluster_name"]; !chosen && !otherSeries.MatchString(v.Name) {
			bad("%s without the cluster", v.Name)
		}
		counter := strings.HasSuffix(v.Name, "_total") || strings.HasSuffix(v.Name, "_bucket")
		rated := slices.ContainsFunc(path, func(n parser.Node) bool {
			c, ok := n.(*parser.Call)
			return ok && (c.Func.Name == "rate" || c.Func.Name == "increase")
		})
		// A series of accesses begins with the first one: an increase would be blind
		// for the one access that matters.
		if counter && !rated && v.Name != "honeytoken_accesses_total" {
			bad("the counter %s is neither a rate nor an increase", v.Name)
		}
		return nil
	})
}

func lintLogQL(q target, bad func(string, ...any)) {
	if strings.Contains(q.expr, "[") && !strings.Contains(q.expr, "[$__auto]") && !strings.Contains(q.expr, "[$__range]") {
		bad("a window of its own: %s", q.expr)
	}
	if q.instant && strings.Contains(q.expr, "$__auto") || !q.instant && strings.Contains(q.expr, "[$__range]") {
		bad("the window is not that of the query's type: %s", q.expr)
	}
	if !strings.Contains(q.expr, "honeytoken_event=") {
		bad("doesn't tell our records from others: %s", q.expr)
	}
}

// What stands in a query is a variable of the dashboard or one of Grafana's own.
func TestVariablesAreKnown(t *testing.T) {
	grafanas := []string{"__rate_interval", "__range", "__auto", "__url_time_range", "__data"}
	for _, b := range boards() {
		content, err := b.encode()
		if err != nil {
			t.Fatal(err)
		}
		known := slices.Clone(grafanas)
		for _, v := range b.variables {
			known = append(known, v.name)
		}
		for _, found := range referenceNames.FindAllStringSubmatch(string(content), -1) {
			name := found[1] + found[2]
			if name != "__all" && !slices.Contains(known, name) && !strings.Contains(string(content), "${"+name+".") {
				t.Errorf("%s: %s is no variable of it", b.file, found[0])
			}
		}
		for _, v := range b.variables {
			if v.of != "" && !bytes.Contains(content, []byte("$"+v.name)) {
				t.Errorf("%s: nothing uses the variable %s", b.file, v.name)
			}
		}
		if !json.Valid(content) {
			t.Errorf("%s is not JSON", b.file)
		}
	}
}

func TestInterpolate(t *testing.T) {
	got := interpolate(`{a=~"$x", b=~"${y}", c=~"${y:regex}"} [$__range] $z ${__data.fields.x}`, map[string]string{"x": ".*", "y": "1|2", "__range": "3h"})
	if want := `{a=~".*", b=~"1|2", c=~"1|2"} [3h] $z ${__data.fields.x}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
