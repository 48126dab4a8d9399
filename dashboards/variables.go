package main

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// ours is the label that a stream of any access has; it makes a list of values one
// of what was touched, as far as an index can tell.
const anyStream = `{service_name=~".+"}`

// sourceVariable lets the user choose a data source. Name and label are those that
// Grafana's dashboard linter asks for.
func sourceVariable(s source, title string) variable {
	return variable{name: s.variable(), label: title + " data source", source: s}
}

func (v variable) build() dashboard.VariableModel {
	m := dashboard.VariableModel{Name: v.name, Label: &v.label, Description: &v.says}
	if v.hidden {
		m.Hide = ptr(dashboard.VariableHideHideVariable)
	}
	switch {
	case v.source == "":
		m.Type = dashboard.VariableTypeTextbox
		m.Query = &dashboard.StringOrMap{String: ptr("")}
		m.Current = option("", "")
	case v.of == "":
		m.Type = dashboard.VariableTypeDatasource
		m.Query = &dashboard.StringOrMap{String: ptr(string(v.source))}
		m.Refresh = ptr(dashboard.VariableRefreshOnDashboardLoad)
		m.Regex, m.Multi, m.IncludeAll = ptr(""), ptr(false), ptr(false)
		m.Description = ptr("Where the dashboard asks for " + map[source]string{
			metrics: "metrics", logs: "log records", tempo: "traces", jaeger: "traces"}[v.source] + ".")
	default:
		m.Type = dashboard.VariableTypeQuery
		m.Datasource = &common.DataSourceRef{Type: ptr(string(v.source)), Uid: ptr("${" + v.source.variable() + "}")}
		m.Query = v.query()
		m.Refresh = ptr(dashboard.VariableRefreshOnTimeRangeChanged)
		m.Sort = ptr(dashboard.VariableSortAlphabeticalAsc)
		m.Regex, m.Multi, m.IncludeAll, m.AllValue = ptr(""), ptr(true), ptr(true), &v.all
		all := option("All", "$__all")
		all.Text.ArrayOfString, all.Text.String = []string{"All"}, nil
		all.Value.ArrayOfString, all.Value.String = []string{"$__all"}, nil
		m.Current = all
	}
	return m
}

func option(text, value string) *dashboard.VariableOption {
	o := dashboard.NewVariableOption()
	o.Text.String, o.Value.String, o.Selected = &text, &value, ptr(true)
	return o
}

// query asks for a label's values, in the form of the data source.
func (v variable) query() *dashboard.StringOrMap {
	if v.source == logs {
		return &dashboard.StringOrMap{Map: map[string]any{
			"type": 1, "label": v.of, "stream": anyStream, "refId": "LokiVariableQueryEditor-VariableQuery",
		}}
	}
	return &dashboard.StringOrMap{Map: map[string]any{
		"query": fmt.Sprintf("label_values(%s,%s)", v.metric, v.of), "refId": "PrometheusVariableQueryEditor-VariableQuery", "qryType": 1,
	}}
}
