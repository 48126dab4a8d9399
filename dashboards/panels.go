package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/loki"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	sdktempo "github.com/grafana/grafana-foundation-sdk/go/tempo"
)

// build makes the panel, without its place.
func (p panel) build(id uint32) (dashboard.Panel, error) {
	out, err := p.base()
	if err != nil {
		return out, err
	}
	out.Id, out.Title, out.Description = &id, &p.title, &p.says
	if len(p.targets) > 0 {
		out.Datasource = ref(p.targets[0].source)
	}
	for i, t := range p.targets {
		out.Targets = append(out.Targets, t.build(string(rune('A'+i)), p.kind))
	}
	if p.kind == words || p.kind == trace {
		return out, nil
	}
	if out.FieldConfig == nil {
		out.FieldConfig = dashboard.NewFieldConfigSource()
	}
	d := &out.FieldConfig.Defaults
	d.NoValue = &p.none
	if p.unit != "" {
		d.Unit = &p.unit
	}
	if len(p.limits) > 0 {
		d.Thresholds = thresholds(p.limits)
		d.Color = &dashboard.FieldColor{Mode: dashboard.FieldColorModeIdThresholds}
	}
	out.FieldConfig.Overrides = p.overrides()
	if p.kind == table {
		out.Transformations = p.transformations()
		return out, nil
	}
	for _, l := range p.links {
		d.Links = append(d.Links, valueLink(l))
	}
	return out, nil
}

// overrides are what some series or columns have and others don't.
func (p panel) overrides() []dashboard.DashboardFieldConfigSourceOverrides {
	all := []dashboard.DashboardFieldConfigSourceOverrides{}
	override := func(name, property string, value any) {
		all = append(all, dashboard.DashboardFieldConfigSourceOverrides{
			Matcher:    dashboard.MatcherConfig{Id: "byName", Options: name},
			Properties: []dashboard.DynamicConfigValue{{Id: property, Value: value}},
		})
	}
	for _, c := range p.colors {
		override(c.series, "color", map[string]any{"mode": "fixed", "fixedColor": c.color})
	}
	if p.kind == table && len(p.links) > 0 {
		var links []dashboard.DashboardLink
		for _, l := range p.links {
			links = append(links, valueLink(l))
		}
		override(p.columns[0].name, "links", links)
	}
	return all
}

func thresholds(limits []limit) *dashboard.ThresholdsConfig {
	t := dashboard.NewThresholdsConfig()
	t.Mode = dashboard.ThresholdsModeAbsolute
	for i, l := range limits {
		step := dashboard.Threshold{Color: l.color}
		if i > 0 {
			step.Value = ptr(l.from)
		}
		t.Steps = append(t.Steps, step)
	}
	return t
}

// transformations order a table's fields. Log lines have their attributes in one
// field, from where they are taken first.
func (p panel) transformations() []dashboard.DataTransformerConfig {
	var all []dashboard.DataTransformerConfig
	if p.targets[0].source == logs && !p.targets[0].instant {
		all = append(all, dashboard.DataTransformerConfig{Id: "extractFields", Options: map[string]any{
			"source": "labels", "format": "json", "keepTime": true, "replace": true,
		}})
	}
	if len(p.targets) > 1 {
		all = append(all, dashboard.DataTransformerConfig{Id: "merge", Options: map[string]any{}})
	}
	include, order, names := map[string]any{}, map[string]any{}, map[string]any{}
	for i, c := range p.columns {
		include[c.field], order[c.field], names[c.field] = true, i, c.name
	}
	return append(all, dashboard.DataTransformerConfig{Id: "organize", Options: map[string]any{
		"includeByName": include, "indexByName": order, "renameByName": names, "excludeByName": map[string]any{},
	}})
}

// build makes the query in the form of its data source.
func (t target) build(id string, k kind) variants.Dataquery {
	switch t.source {
	case metrics:
		q := prometheus.Dataquery{Expr: t.expr, RefId: &id, Datasource: ref(t.source), EditorMode: ptr(prometheus.QueryEditorModeCode)}
		q.Instant, q.Range = ptr(t.instant), ptr(!t.instant)
		q.LegendFormat = &t.legend
		q.Format = ptr(prometheus.PromQueryFormatTimeSeries)
		if k == table {
			q.Format = ptr(prometheus.PromQueryFormatTable)
		}
		return q
	case logs:
		q := loki.Dataquery{Expr: t.expr, RefId: &id, Datasource: ref(t.source), EditorMode: ptr(loki.QueryEditorModeCode)}
		q.QueryType = ptr("range")
		if t.instant {
			q.QueryType = ptr("instant")
		}
		if t.limit > 0 {
			q.MaxLines = ptr(t.limit)
		}
		if t.legend != "" {
			q.LegendFormat = ptr(t.legend)
		}
		return q
	case tempo:
		q := *sdktempo.NewTempoQuery()
		q.RefId, q.Datasource, q.Query, q.QueryType = &id, ref(t.source), &t.expr, ptr("traceql")
		return q
	default:
		// The SDK has no type for Jaeger's queries. Without queryType it is the id of
		// a trace.
		return variants.UnknownDataquery{"refId": id, "datasource": ref(t.source), "query": t.expr}
	}
}
