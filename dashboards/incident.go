package main

// incident is one break-in: everything that processes of one entry into a container
// did to tokens. It is made for either trace store, under the same uid.
func incident(traces source) board {
	title, file := "Tempo", "incident.json"
	if traces == jaeger {
		title, file = "Jaeger", "incident-jaeger.json"
	}
	return board{
		uid: incidentUID, title: "Honeytoken incident", file: file, from: "now-24h",
		says: "One break-in, step by step. Come here from a trace id in the overview, or paste one. " +
			"Traces come from " + title + "; the same dashboard for the other trace store has the same uid.",
		variables: append(append([]variable{
			sourceVariable(metrics, "Prometheus"), sourceVariable(logs, "Loki"), sourceVariable(traces, title),
			clusterVariable(logs, ""),
		}, placeVariables()...), append([]variable{
			{name: "trace", label: "Trace id", says: "The incident: 32 hexadecimal digits, from the overview or from a log record."},
		}, nodeVariables(true)...)...),
		links: pages(incidentUID),
		rows: []row{
			{"In short", incidentNumbers()},
			{"What happened", []panel{story(), steps(), incidentOverTime()}},
			{"Who did it, and to what", []panel{ancestry(), incidentTokens()}},
			{"The trace", []panel{spans(traces)}},
			{"Around it", []panel{neighbours(), untold(), nodeAround()}},
		},
	}
}

const (
	ofTrace    = `trace_id="$trace"`
	noIncident = "No access with this trace id in this time range. Open an incident from Honeytoken overview, or paste a trace id above."
)

func incidentNumbers() []panel {
	one := func(title, says, expr string, limits ...limit) panel {
		return panel{kind: number, title: title, says: says, unit: "short", width: 6, height: 4, none: noIncident, limits: limits,
			targets: []target{{source: logs, instant: true, expr: expr}}}
	}
	distinct := func(label string) string {
		return "count(" + touches(label, "$__range", isAccess, ofTrace) + ")"
	}
	outside := one("Tampering or outsiders", "Touches of the incident that changed a token or came from outside of its container.",
		touches("", "$__range", isAccess, ofTrace, "severity_number >= 19"), limit{0, "green"}, limit{1, "red"})
	outside.none, outside.mayBeEmpty = "0", "the incident that the test opens stays inside of its container"
	return []panel{
		one("Touches", "All touches of the incident, repeats included.", touches("", "$__range", isAccess, ofTrace)),
		one("Tokens", "How many tokens were touched.", distinct("honeytoken_id")),
		one("Processes", "How many processes touched tokens.", distinct("process_pid, process_creation_time")),
		outside,
	}
}

func story() panel {
	return panel{
		kind: lines, title: "Accesses, in order", width: 24, height: 9, none: noIncident,
		says:    "The log records of the incident, oldest first. Open one for all that is known, and for its trace.",
		targets: []target{{source: logs, expr: records(isAccess, ofTrace), limit: 1000}},
	}
}

func steps() panel {
	return panel{
		kind: table, title: "Accesses as a table", unit: "short", width: 16, height: 9, none: noIncident,
		says:    "The same, one line each: time, kind, token, process. \"Count\" is how many touches a record stands for.",
		targets: []target{{source: logs, expr: records(isAccess, ofTrace), limit: 1000}},
		columns: []column{{"Time", "Time"}, {"honeytoken_access_kind", "Kind"}, {"honeytoken_access_outcome", "Outcome"}, {"honeytoken_name", "Token"},
			{"file_path", "Path"}, {"process_pid", "Process"}, {"process_executable_path", "Executable"}, {"process_command_args", "Arguments"},
			{"process_user_id", "User"}, {"honeytoken_actor_class", "Class"}, {"honeytoken_access_count", "Count"}},
	}
}

func incidentOverTime() panel {
	return panel{
		kind: graph, title: "Touches over time", unit: "short", width: 8, height: 9, stack: true, none: noIncident,
		says:    "When what was done.",
		targets: []target{{source: logs, expr: touches("honeytoken_access_kind", "$__auto", isAccess, ofTrace), legend: "{{honeytoken_access_kind}}"}},
	}
}

func ancestry() panel {
	return panel{
		kind: table, title: "Processes and their ancestors", unit: "short", width: 24, height: 9, none: noIncident,
		says: "Each process that touched a token, and where it came from: parent, its parent and so on, as process id, start and name. \"Entry\" is the process that came into the container.",
		targets: []target{{source: logs, instant: true, expr: touches(
			"process_pid, process_parent_pid, honeytoken_process_entry_pid, process_executable_path, honeytoken_process_comm, process_command_args, process_user_id, process_working_directory, honeytoken_process_ancestors",
			"$__range", isAccess, ofTrace)}},
		columns: []column{{"process_pid", "Process"}, {"process_executable_path", "Executable"}, {"honeytoken_process_comm", "Name"}, {"process_command_args", "Arguments"},
			{"process_user_id", "User"}, {"process_working_directory", "In"}, {"process_parent_pid", "Parent"}, {"honeytoken_process_entry_pid", "Entry"},
			{"honeytoken_process_ancestors", "Ancestors"}, {"Value #A", "Touches"}},
	}
}

func incidentTokens() panel {
	return panel{
		kind: table, title: "Tokens and their places", unit: "short", width: 24, height: 7, none: noIncident,
		says: "Which token, in which container, on which node. The canary id is what `beesting trace-token` finds in a stolen secret.",
		targets: []target{{source: logs, instant: true, expr: touches(
			"honeytoken_id, honeytoken_name, honeytoken_kind, file_path, k8s_namespace_name, service_name, k8s_pod_name, k8s_container_name, container_id, k8s_node_name, host_id",
			"$__range", isAccess, ofTrace)}},
		columns: []column{{"honeytoken_id", "Canary id"}, {"honeytoken_name", "Token"}, {"honeytoken_kind", "Kind"}, {"file_path", "Path"},
			{"k8s_namespace_name", "Namespace"}, {"k8s_pod_name", "Pod"}, {"k8s_container_name", "Container"}, {"k8s_node_name", "Node"},
			{"container_id", "Container id"}, {"host_id", "Host id"}, {"Value #A", "Touches"}},
		links: []link{
			{"All accesses in this workload", "/d/" + overviewUID + "?" + keep + "&var-namespace=${__data.fields.k8s_namespace_name}&var-workload=${__data.fields.service_name}"},
			// Metrics have the host's id as their instance, unless they are given another.
			{"Health of this node", "/d/" + fleetUID + "?" + keep + "&var-instance=${__data.fields.host_id}"},
		},
	}
}

func spans(traces source) panel {
	return panel{
		kind: trace, title: "The incident as a trace", width: 24, height: 12,
		says:    "One span per access, as long as the token was open. A span is sent when the access ends, a minute later at the latest.",
		targets: []target{{source: traces, expr: "$trace"}},
	}
}

func neighbours() panel {
	return panel{
		kind: lines, title: "What else these workloads logged", width: 24, height: 8,
		says:       "Log records of the chosen namespace and workload that are not the agent's, if this Loki has them: choose both above, or come from the overview.",
		none:       "Nothing else of these workloads is in this Loki.",
		targets:    []target{{source: logs, expr: records(`honeytoken_event=""`), limit: 200}},
		mayBeEmpty: "nobody collects the containers' own logs in the stack",
	}
}

func untold() panel {
	return panel{
		kind: lines, title: "Touches that nobody can tell of", width: 12, height: 7,
		says:       "Gaps: touches of these workloads' tokens that the kernel counted and no record describes.",
		none:       "None: every touch in these workloads is told.",
		targets:    []target{{source: logs, expr: records(isGap), limit: 100}},
		mayBeEmpty: "nothing is lost in the incident",
	}
}

func nodeAround() panel {
	return panel{
		kind: graph, title: "Accesses that the agents counted", unit: "short", width: 12, height: 7, none: noMetric,
		says: "The same from the metrics, by class of actor: how much there was besides this incident. A series begins with its first access, so an increase shows from the second on.",
		targets: []target{{source: metrics, expr: "sum by (honeytoken_actor_class) (" + node("honeytoken_accesses_total", `k8s_namespace_name=~"$namespace"`) + ")",
			legend: "{{honeytoken_actor_class}}"}},
		links: []link{{"Fleet health", "/d/" + fleetUID + "?" + keep}},
	}
}
