package main

import (
	"encoding/json"
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	sdklogs "github.com/grafana/grafana-foundation-sdk/go/logs"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	sdktable "github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/text"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// schemaVersion is the newest that Grafana 10.4 knows; a newer Grafana migrates it
// when it loads the dashboard.
const schemaVersion = 39

const columns = 24 // of Grafana's grid

func ptr[T any](v T) *T { return &v }

// ref names the data source that the user has chosen.
func ref(s source) *common.DataSourceRef {
	return &common.DataSourceRef{Type: ptr(string(s)), Uid: ptr("${" + s.variable() + "}")}
}

// build makes the dashboard.
func (b board) build() (dashboard.Dashboard, error) {
	d := *dashboard.NewDashboard()
	d.Uid, d.Title, d.Description = &b.uid, &b.title, &b.says
	d.Editable = ptr(false) // a copy can be; this one is overwritten by the next version
	d.SchemaVersion, d.Version = schemaVersion, ptr(uint32(1))
	d.Tags = []string{"honeytoken", "beesting", "security"}
	d.Time = &dashboard.DashboardDashboardTime{From: b.from, To: "now"}
	d.Refresh = ptr("1m")
	d.GraphTooltip = ptr(dashboard.DashboardCursorSyncCrosshair)
	for _, v := range b.variables {
		d.Templating.List = append(d.Templating.List, v.build())
	}
	for _, l := range b.links {
		d.Links = append(d.Links, pageLink(l))
	}
	var id, y uint32
	for _, r := range b.rows {
		id++
		headline := dashboard.NewRowPanel()
		headline.Id, headline.Title = id, &r.title
		headline.GridPos = &dashboard.GridPos{H: 1, W: columns, Y: y}
		d.Panels = append(d.Panels, dashboard.PanelOrRowPanel{RowPanel: headline})
		y++
		var x, deepest uint32
		for _, p := range r.panels {
			if x+p.width > columns {
				x, y, deepest = 0, y+deepest, 0
			}
			id++
			built, err := p.build(id)
			if err != nil {
				return d, fmt.Errorf("dashboard %s, panel %q: %w", b.uid, p.title, err)
			}
			built.GridPos = &dashboard.GridPos{H: p.height, W: p.width, X: x, Y: y}
			d.Panels = append(d.Panels, dashboard.PanelOrRowPanel{Panel: &built})
			x, deepest = x+p.width, max(deepest, p.height)
		}
		y += deepest
	}
	return d, nil
}

// encode is the file's content.
func (b board) encode() ([]byte, error) {
	d, err := b.build()
	if err != nil {
		return nil, err
	}
	out, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("dashboard %s: %w", b.uid, err)
	}
	return append(out, '\n'), nil
}

// pageLink stands at the top of a dashboard.
func pageLink(l link) dashboard.DashboardLink {
	d := *dashboard.NewDashboardLink()
	// The SDK's default would hide it in a menu that Grafana 10 doesn't have.
	d.Placement = nil
	d.Type, d.Icon = dashboard.DashboardLinkTypeLink, "dashboard"
	d.Title, d.Tooltip, d.Url = l.title, l.title, &l.url
	d.KeepTime, d.IncludeVars = true, true
	return d
}

// valueLink stands on a value; what it takes along stands in its address.
func valueLink(l link) dashboard.DashboardLink {
	d := pageLink(l)
	d.KeepTime, d.IncludeVars = false, false
	return d
}

// base is the panel with the options of its plugin.
func (p panel) base() (dashboard.Panel, error) {
	switch p.kind {
	case graph:
		b := timeseries.NewPanelBuilder().LineWidth(1).FillOpacity(10).
			ShowPoints(common.VisibilityModeAuto).SpanNulls(common.BoolOrFloat64{Bool: ptr(false)}).
			Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending)).
			Legend(common.NewVizLegendOptionsBuilder().ShowLegend(true).DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom))
		if p.stack {
			b = b.DrawStyle(common.GraphDrawStyleBars).FillOpacity(80).
				Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal).Group("A"))
		}
		return b.Build()
	case number:
		return stat.NewPanelBuilder().GraphMode(common.BigValueGraphModeNone).ColorMode(common.BigValueColorModeValue).
			TextMode(common.BigValueTextModeAuto).
			ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}).Values(false)).Build()
	case table:
		return sdktable.NewPanelBuilder().ShowHeader(true).CellHeight(common.TableCellHeightSm).Filterable(true).
			Footer(common.NewTableFooterOptionsBuilder().Show(false).Reducer([]string{"sum"})).Build()
	case lines:
		return sdklogs.NewPanelBuilder().ShowTime(true).WrapLogMessage(true).EnableLogDetails(true).
			SortOrder(common.LogsSortOrderAscending).DedupStrategy(common.LogsDedupStrategyNone).Build()
	case timeline:
		return statetimeline.NewPanelBuilder().ShowValue(common.VisibilityModeNever).RowHeight(0.9).MergeValues(true).
			Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeSingle)).
			Legend(common.NewVizLegendOptionsBuilder().ShowLegend(false).DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom)).Build()
	case bars:
		return bargauge.NewPanelBuilder().DisplayMode(common.BarGaugeDisplayModeBasic).Orientation(common.VizOrientationHorizontal).
			ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}).Values(false)).Build()
	case words:
		return text.NewPanelBuilder().Mode(text.TextModeMarkdown).Content(p.text).Build()
	case trace:
		return dashboard.NewPanelBuilder().Type(string(trace)).Build()
	default:
		return dashboard.Panel{}, fmt.Errorf("panel kind %q is not known", p.kind)
	}
}
