package main

import (
	"fmt"
	"strings"
)

// What a query leaves to the reader's choice stands in variables. Those of metrics
// are in every selector; Grafana's dashboard linter wants job and instance among
// them.
const (
	// Promoted to labels by Prometheus, see docs/dashboards.md.
	nodeMatchers = `k8s_cluster_name=~"$cluster", job=~"$job", instance=~"$instance"`
	// Index labels of Loki's OTLP end point. Files of a host have no namespace, and
	// not everybody names the cluster: "all" of these is anything, nothing included.
	placeMatchers = `k8s_cluster_name=~"$cluster", k8s_namespace_name=~"$namespace", service_name=~"$workload"`

	isAccess = `honeytoken_event="honeytoken.access"`
	isGap    = `honeytoken_event="honeytoken.gap"`
)

// node is a metric's selector.
func node(metric string, more ...string) string {
	return metric + "{" + strings.Join(append([]string{nodeMatchers}, more...), ", ") + "}"
}

// records selects log records in the chosen places. The pipeline comes after.
func records(pipeline ...string) string {
	return "{" + placeMatchers + "} | " + strings.Join(pipeline, " | ")
}

// touches counts the touches that records stand for, of each of some labels.
func touches(by, window string, pipeline ...string) string {
	sum := "sum"
	if by != "" {
		sum = fmt.Sprintf("sum by (%s)", by)
	}
	return fmt.Sprintf("%s (sum_over_time(%s | unwrap honeytoken_access_count [%s]))", sum, records(pipeline...), window)
}

// severity names the severity numbers as docs/telemetry.md explains them.
const severity = `label_format severity="{{if eq .severity_number \"19\"}}tampering or outsider` +
	`{{else if eq .severity_number \"17\"}}content{{else if eq .severity_number \"13\"}}reconnaissance{{else}}benign{{end}}"`

var severityColorTable = []color{
	{"tampering or outsider", "dark-red"}, {"content", "red"}, {"reconnaissance", "orange"}, {"benign", "blue"},
}

// always makes a number of nothing: a panel without a series says "No data", which
// isn't what a zero means.
func always(expr string) string { return expr + " or vector(0)" }

func clusterVariable(s source, metric string) variable {
	return variable{name: "cluster", label: "Cluster", source: s, metric: metric, of: "k8s_cluster_name", all: ".*",
		says: "k8s.cluster.name, which OTEL_RESOURCE_ATTRIBUTES gives the agents. All includes agents that don't name one."}
}

func placeVariables() []variable {
	return []variable{
		{name: "namespace", label: "Namespace", source: logs, of: "k8s_namespace_name", all: ".*",
			says: "The namespace of the token's pod. All includes files of hosts, which have none."},
		{name: "workload", label: "Workload", source: logs, of: "service_name", all: ".+",
			says: "service.name of the container that holds the token: docs/telemetry.md says what it is taken from."},
	}
}

// nodeVariables are hidden where a node plays no part: every dashboard's metrics
// are narrowed in the same way.
func nodeVariables(hidden bool) []variable {
	return []variable{
		{name: "job", label: "Job", source: metrics, metric: "honeytoken_placement_count", of: "job", all: ".+", hidden: hidden,
			says: "service.name of the agents, or of the Collectors that have the receiver."},
		{name: "instance", label: "Instance", source: metrics, metric: "honeytoken_placement_count", of: "instance", all: ".+", hidden: hidden,
			says: "service.instance.id: the machine's id, unless OTEL_RESOURCE_ATTRIBUTES says otherwise."},
	}
}

// Addresses of our dashboards. What is chosen goes along, and the time range.
const (
	overviewUID = "honeytoken-overview"
	incidentUID = "honeytoken-incident"
	fleetUID    = "honeytoken-fleet"

	keep = "${__url_time_range}&${prometheus_datasource:queryparam}&${loki_datasource:queryparam}&${cluster:queryparam}"
)

func pages(except string) []link {
	var all []link
	for _, l := range []link{
		{"Honeytoken overview", "/d/" + overviewUID}, {"Honeytoken incident", "/d/" + incidentUID}, {"Honeytoken fleet health", "/d/" + fleetUID},
	} {
		if !strings.HasSuffix(l.url, except) {
			all = append(all, l)
		}
	}
	return all
}
