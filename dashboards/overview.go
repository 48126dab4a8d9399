package main

const (
	noAccess = "No access in this time range: nobody has touched a token here. Widen the range, or see Fleet health for whether tokens are watched."
	noMetric = "No metrics of any agent in this time range. See docs/dashboards.md, \"When a panel stays empty\"."
)

// overview is what is looked at first: is somebody in there?
func overview() board {
	return board{
		uid: overviewUID, title: "Honeytoken overview", file: "overview.json", from: "now-24h",
		says: "Who touched honeytokens, where and how often; whether the tokens are there. Follow an incident from the table.",
		variables: append(append([]variable{
			sourceVariable(metrics, "Prometheus"), sourceVariable(logs, "Loki"), clusterVariable(logs, ""),
		}, placeVariables()...), nodeVariables(true)...),
		links: pages(overviewUID),
		rows: []row{
			{"Now", overviewNumbers()},
			{"Incidents", []panel{incidents(), latest()}},
			{"Accesses over time", overTime()},
			{"Who, and what", []panel{actors(), touched()}},
			{"Are the tokens there?", []panel{placements(), silent()}},
		},
	}
}

func overviewNumbers() []panel {
	count := func(title, says string, expr target, limits ...limit) panel {
		return panel{kind: number, title: title, says: says, unit: "short", width: 4, height: 4, targets: []target{expr}, limits: limits, none: noMetric}
	}
	logCount := func(more ...string) target {
		return target{source: logs, instant: true, expr: touches("", "$__range", append([]string{isAccess}, more...)...)}
	}
	red := []limit{{0, "green"}, {1, "red"}}
	accesses := count("Accesses", "Touches of tokens in the time range, repeats included.", logCount(), limit{0, "green"}, limit{1, "orange"})
	content := count("Content reached", "Touches that opened, read, mapped or executed a token: severity 17 and above.", logCount("severity_number >= 17"), red...)
	outside := count("Tampering or outsiders", "Touches that changed a token, or that came from outside of its container: severity 19.", logCount("severity_number >= 19"), red...)
	for _, p := range []*panel{&accesses, &content, &outside} {
		p.none = "0"
	}
	return []panel{
		accesses, content, outside,
		count("Tokens armed", "Tokens that are watched at this moment.",
			target{source: metrics, instant: true, expr: "sum(" + node("honeytoken_placement_count", `honeytoken_placement_state="armed"`) + ")"},
			limit{0, "red"}, limit{1, "green"}),
		count("Containers lacking tokens", "Running containers with fewer tokens than the policy wants.",
			target{source: metrics, instant: true, expr: "sum(" + node("honeytoken_container_lacking") + ")"}, red...),
		count("Silent nodes", "Nodes that reported in the time range and don't now. 0 is good.",
			target{source: metrics, instant: true, expr: always("count(" + silentNodes() + ")")}, red...),
	}
}

// silentNodes are those whose series have gone: their last sign of life, in
// milliseconds since 1970.
func silentNodes() string {
	const by = "k8s_cluster_name, k8s_node_name, job, instance"
	m := node("honeytoken_nri_connected")
	return "1000 * max by (" + by + ") (max_over_time(timestamp(" + m + ")[$__range:5m])) unless max by (" + by + ") (" + m + ")"
}

func incidents() panel {
	return panel{
		kind: table, title: "Incidents", unit: "short", width: 14, height: 9, none: noAccess,
		says: "Accesses by processes that came from one entry into a container share a trace id: one break-in. Click the id.",
		targets: []target{{source: logs, instant: true,
			expr: "topk(50, " + touches("trace_id, k8s_namespace_name, service_name, k8s_node_name", "$__range", isAccess) + ")"}},
		columns: []column{{"trace_id", "Incident"}, {"k8s_namespace_name", "Namespace"}, {"service_name", "Workload"}, {"k8s_node_name", "Node"}, {"Value #A", "Touches"}},
		links:   []link{{"Open the incident", "/d/" + incidentUID + "?" + keep + "&var-trace=${__data.fields.trace_id}&var-namespace=${__data.fields.k8s_namespace_name}&var-workload=${__data.fields.service_name}"}},
	}
}

func latest() panel {
	return panel{
		kind: lines, title: "Latest accesses", width: 10, height: 9, none: noAccess,
		says:    "The log records, one sentence each. Open one for all that is known of the access, and its trace.",
		targets: []target{{source: logs, expr: records(isAccess), limit: 100}},
	}
}

func overTime() []panel {
	over := func(title, says, by, legend string, more ...string) panel {
		return panel{kind: graph, title: title, says: says, unit: "short", width: 12, height: 8, stack: true, none: noAccess,
			targets: []target{{source: logs, expr: touches(by, "$__auto", append([]string{isAccess}, more...)...), legend: "{{" + legend + "}}"}}}
	}
	bySeverity := over("Accesses by severity", "What the touches were: somebody looked around, reached the content, or changed a token or came from outside.", "severity", "severity", severity)
	bySeverity.colors = severityColorTable
	return []panel{
		bySeverity,
		over("Accesses by kind", "What was done: docs/telemetry.md explains each kind.", "honeytoken_access_kind", "honeytoken_access_kind"),
		over("Accesses by namespace", "Where the touched tokens are. Files of hosts have no namespace.", "k8s_namespace_name", "k8s_namespace_name"),
		over("Accesses by workload", "The services whose containers hold the touched tokens.", "service_name", "service_name"),
	}
}

func actors() panel {
	return panel{
		kind: table, title: "Top actors", unit: "short", width: 12, height: 9, none: noAccess,
		says: "Who touched tokens most. The executable is the kernel's word, the process can't choose it. The pod is there when it is not the token's own.",
		targets: []target{{source: logs, instant: true,
			expr: "topk(20, " + touches("honeytoken_actor_class, process_executable_path, process_user_id, honeytoken_actor_k8s_namespace_name, honeytoken_actor_k8s_pod_name", "$__range", isAccess) + ")"}},
		columns: []column{{"honeytoken_actor_class", "Class"}, {"process_executable_path", "Executable"}, {"process_user_id", "User"},
			{"honeytoken_actor_k8s_namespace_name", "Its namespace"}, {"honeytoken_actor_k8s_pod_name", "Its pod"}, {"Value #A", "Touches"}},
	}
}

func touched() panel {
	return panel{
		kind: table, title: "Tokens touched", unit: "short", width: 12, height: 9, none: noAccess,
		says: "The tokens, by name, kind and where they are in their containers.",
		targets: []target{{source: logs, instant: true,
			expr: "topk(20, " + touches("honeytoken_name, honeytoken_kind, file_path", "$__range", isAccess) + ")"}},
		columns: []column{{"honeytoken_name", "Token"}, {"honeytoken_kind", "Kind"}, {"file_path", "Path"}, {"Value #A", "Touches"}},
	}
}

func placements() panel {
	state := func(s string) string {
		return "sum(" + node("honeytoken_placement_count", `honeytoken_placement_state="`+s+`"`) + ")"
	}
	return panel{
		kind: graph, title: "Tokens wanted and armed", unit: "short", width: 12, height: 8, none: noMetric,
		says:    "What the policy wants in the containers that run, and what is watched. The lines should lie on each other.",
		targets: []target{{source: metrics, expr: state("wanted"), legend: "wanted"}, {source: metrics, expr: state("armed"), legend: "armed"}},
		colors:  []color{{"wanted", "blue"}, {"armed", "green"}},
	}
}

func silent() panel {
	return panel{
		kind: table, title: "Silent nodes", unit: "dateTimeFromNow", width: 12, height: 8,
		says:       "Nodes whose agent reported in the time range and doesn't now: it has ended, or nothing of it arrives.",
		none:       "Every node that reported in this time range still does.",
		targets:    []target{{source: metrics, instant: true, expr: silentNodes()}},
		columns:    []column{{"k8s_node_name", "Node"}, {"k8s_cluster_name", "Cluster"}, {"instance", "Instance"}, {"Value", "Last heard of"}},
		links:      []link{{"Fleet health of it", "/d/" + fleetUID + "?" + keep + "&var-instance=${__data.fields.instance}"}},
		mayBeEmpty: "the incident's only node reports until the end",
	}
}
