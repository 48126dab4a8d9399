package main

// fleet is about the agents: would they tell if somebody touched a token?
func fleet() board {
	return board{
		uid: fleetUID, title: "Honeytoken fleet health", file: "fleet.json", from: "now-6h",
		says: "Whether every node plants, watches and delivers, what it misses and what it costs.",
		variables: append([]variable{
			sourceVariable(metrics, "Prometheus"), sourceVariable(logs, "Loki"),
			clusterVariable(metrics, "honeytoken_placement_count"),
		}, nodeVariables(false)...),
		links: pages(fleetUID),
		rows: []row{
			{"Coverage", append(coverageNumbers(), nodes(), connected())},
			{"Blind", []panel{blindTime(), watchGap(), failures()}},
			{"Lost between a touch and its record", []panel{eventsLost(), accessesLost(), gaps()}},
			{"On the way to the back ends", []panel{waiting(), lag(), journal(), dropped(), exporterQueue(), exporterFailures()}},
			{"What it costs", []panel{answers(), cpu(), memory()}},
			{"Configuration", []panel{reloads()}},
		},
	}
}

const byNode = "k8s_node_name, instance"

func coverageNumbers() []panel {
	one := func(title, says, unit, expr string, limits ...limit) panel {
		return panel{kind: number, title: title, says: says, unit: unit, width: 6, height: 4, none: noMetric, limits: limits,
			targets: []target{{source: metrics, instant: true, expr: expr}}}
	}
	return []panel{
		one("Nodes that report", "Agents whose metrics arrive.", "short", "count("+node("honeytoken_nri_connected")+")", limit{0, "red"}, limit{1, "green"}),
		one("Silent nodes", "Nodes that reported in the time range and don't now. 0 is good.", "short", always("count("+silentNodes()+")"), limit{0, "green"}, limit{1, "red"}),
		one("Tokens armed", "The share of the tokens that the policy wants which is watched.", "percentunit",
			"sum("+node("honeytoken_placement_count", `honeytoken_placement_state="armed"`)+") / (sum("+node("honeytoken_placement_count", `honeytoken_placement_state="wanted"`)+") > 0)",
			limit{0, "red"}, limit{0.95, "orange"}, limit{1, "green"}),
		one("Containers lacking tokens", "Running containers with fewer tokens than the policy wants.", "short",
			"sum("+node("honeytoken_container_lacking")+")", limit{0, "green"}, limit{1, "red"}),
	}
}

// nodes has one line a node. The query of the mode comes first: it has the labels.
func nodes() panel {
	instant := func(expr string) target { return target{source: metrics, instant: true, expr: expr} }
	state := func(s string) target {
		return instant("sum by (" + byNode + ") (" + node("honeytoken_placement_count", `honeytoken_placement_state="`+s+`"`) + ")")
	}
	return panel{
		kind: table, title: "Nodes", unit: "short", width: 14, height: 9, none: noMetric,
		says: "Each node: the rung of the ladder that it watches on (docs/sensor.md: lsm sees most, fanotify least), tokens, and what waits to be delivered.",
		targets: []target{
			instant("max by (" + byNode + ", honeytoken_sensor_mode) (" + node("honeytoken_sensor_attached") + ")"),
			state("wanted"), state("armed"),
			instant("sum by (" + byNode + ") (" + node("honeytoken_container_lacking") + ")"),
			instant("min by (" + byNode + ") (" + node("honeytoken_nri_connected") + ")"),
			instant("sum by (" + byNode + ") (" + node("honeytoken_delivery_queued") + ")"),
		},
		columns: []column{{"k8s_node_name", "Node"}, {"honeytoken_sensor_mode", "Rung"}, {"Value #B", "Wanted"}, {"Value #C", "Armed"},
			{"Value #D", "Lacking"}, {"Value #E", "Runtime connected"}, {"Value #F", "Waiting"}, {"instance", "Instance"}},
		links: []link{{"Only this node", "/d/" + fleetUID + "?" + keep + "&var-instance=${__data.fields.instance}"}},
	}
}

func connected() panel {
	return panel{
		kind: timeline, title: "Container runtime", unit: "short", width: 10, height: 9, none: noMetric,
		says:    "Green: the runtime has the agent registered. Red: it has not, and new containers get no tokens.",
		targets: []target{{source: metrics, expr: "min by (k8s_node_name) (" + node("honeytoken_nri_connected") + ")", legend: "{{k8s_node_name}}"}},
		limits:  []limit{{0, "red"}, {1, "green"}},
	}
}

// increase is a counter's, of each of some labels.
func increase(by, metric string) string {
	return "sum by (" + by + ") (increase(" + node(metric) + "[$__rate_interval]))"
}

func overNodes(title, says, unit, none, by, expr string, width uint32) panel {
	return panel{kind: graph, title: title, says: says, unit: unit, width: width, height: 8, none: none,
		targets: []target{{source: metrics, expr: expr, legend: "{{k8s_node_name}} {{" + by + "}}"}}}
}

func blindTime() panel {
	return overNodes("Time without the runtime", "Seconds in which the runtime did not have the agent: containers that were created then have no tokens until the agent is back.",
		"s", noMetric, "instance", increase(byNode, "honeytoken_nri_blind_time_seconds_total"), 8)
}

func watchGap() panel {
	p := overNodes("Unwatched before the start", "At most how long tokens were there and nobody watched them before the agent's present start.",
		"s", noMetric, "instance", "max by ("+byNode+") ("+node("honeytoken_watch_gap_seconds")+")", 8)
	p.limits = []limit{{0, "green"}, {60, "orange"}, {600, "red"}}
	return p
}

func failures() panel {
	p := overNodes("Planting failures", "Tokens that could not be planted or watched, by reason. `beesting status` on the node says which.",
		"short", "No token has failed since the agents were started.", "error_type", increase("k8s_node_name, error_type", "honeytoken_plant_failures_total"), 8)
	p.mayBeEmpty = "nothing fails in the incident, and a reason is a series only once it has happened"
	return p
}

func eventsLost() panel {
	return overNodes("Events lost in the kernel", "Events on their way from the kernel to the agent, by cause. A later event may tell of the same touches; `recursion` counts touches of all files.",
		"short", noMetric, "honeytoken_loss_cause", increase("k8s_node_name, honeytoken_loss_cause", "honeytoken_event_lost_total"), 8)
}

func accessesLost() panel {
	p := overNodes("Touches that nobody can tell of", "Touches that the kernel counted and no record describes, for good.",
		"short", "None: every touch is told.", "honeytoken_loss_cause", increase("k8s_node_name, honeytoken_loss_cause", "honeytoken_access_lost_total"), 8)
	p.mayBeEmpty = "nothing is lost in the incident, and a loss is a series only once it has happened"
	return p
}

func gaps() panel {
	return panel{
		kind: lines, title: "Gaps", width: 8, height: 8,
		says:       "The log records of such touches: which token, how many, when, why.",
		none:       "None: every touch is told.",
		targets:    []target{{source: logs, expr: `{k8s_cluster_name=~"$cluster", service_name=~".+"} | ` + isGap, limit: 100}},
		mayBeEmpty: "nothing is lost in the incident",
	}
}

func waiting() panel {
	return overNodes("Waiting on the nodes", "Accesses in the journals that no back end has taken yet, by signal. It should fall to 0 within seconds.",
		"short", noMetric, "honeytoken_delivery_signal", "sum by (k8s_node_name, honeytoken_delivery_signal) ("+node("honeytoken_delivery_queued")+")", 6)
}

func lag() panel {
	p := overNodes("Delivery lag", "How long ago the access was seen that is to be delivered next, by signal; 0 when none waits. Alerts come as late as this.",
		"s", noMetric, "honeytoken_delivery_signal", "max by (k8s_node_name, honeytoken_delivery_signal) ("+node("honeytoken_delivery_lag_seconds")+")", 6)
	p.limits = []limit{{0, "green"}, {60, "orange"}, {600, "red"}}
	return p
}

func journal() panel {
	return overNodes("Journals", "Bytes of the nodes' journals, delivered accesses included: they are kept for a while.",
		"bytes", noMetric, "instance", "max by ("+byNode+") ("+node("honeytoken_journal_size_bytes")+")", 6)
}

func dropped() panel {
	p := overNodes("Given up", "Accesses that never reach the back end, by cause. `beesting dead-letters` shows what it refused.",
		"short", "None: everything was delivered or still waits.", "honeytoken_loss_cause",
		increase("k8s_node_name, honeytoken_delivery_signal, honeytoken_loss_cause", "honeytoken_delivery_dropped_total"), 6)
	p.mayBeEmpty = "nothing is given up in the incident, and a cause is a series only once it has happened"
	return p
}

// The gateway's own metrics have labels of its own: they are another job's.
const gateway = `exporter=~".+", job=~".+", instance=~".+"`

func exporterQueue() panel {
	return panel{kind: graph, title: "Waiting in Collectors", unit: "short", width: 12, height: 8,
		says:    "Requests in the sending queues of the Collectors behind the agents, by exporter, as far as this Prometheus scrapes them.",
		none:    "No Collector is scraped here: docs/dashboards.md has the job.",
		targets: []target{{source: metrics, expr: "sum by (exporter) (otelcol_exporter_queue_size{" + gateway + "})", legend: "{{exporter}}"}}}
}

func exporterFailures() panel {
	return panel{kind: graph, title: "Refused by back ends", unit: "short", width: 12, height: 8,
		says: "Log records and spans that a Collector could not hand on for good: they are lost there, and the agent doesn't know.",
		none: "None, or no Collector is scraped here: docs/dashboards.md has the job.",
		targets: []target{
			{source: metrics, expr: "sum by (exporter) (increase(otelcol_exporter_send_failed_log_records{" + gateway + "}[$__rate_interval]))", legend: "{{exporter}} logs"},
			{source: metrics, expr: "sum by (exporter) (increase(otelcol_exporter_send_failed_spans{" + gateway + "}[$__rate_interval]))", legend: "{{exporter}} spans"},
		},
		mayBeEmpty: "no back end refuses anything in the incident, and the series begin with the first refusal"}
}

func answers() panel {
	quantile := func(q string) string {
		return "histogram_quantile(" + q + ", sum by (le, honeytoken_nri_request) (rate(" + node("honeytoken_nri_request_duration_seconds_bucket") + "[$__rate_interval])))"
	}
	return panel{kind: graph, title: "What the runtime waits for", unit: "s", width: 12, height: 8,
		says: "How long a container's start waits for the agent, by request. At 2 s the runtime disconnects it.",
		none: "No container was started in this time range.",
		targets: []target{
			{source: metrics, expr: quantile("0.5"), legend: "{{honeytoken_nri_request}} p50"},
			{source: metrics, expr: quantile("0.99"), legend: "{{honeytoken_nri_request}} p99"},
		}}
}

const scraped = "The agents' own /metrics are not scraped here (http.address): docs/dashboards.md has the job."

func cpu() panel {
	return panel{kind: graph, title: "Processor", unit: "percentunit", width: 6, height: 8, none: scraped,
		says:    "The agent's share of one processor.",
		targets: []target{{source: metrics, expr: `sum by (instance) (rate(process_cpu_seconds_total{job="beesting", instance=~".+"}[$__rate_interval]))`, legend: "{{instance}}"}}}
}

func memory() panel {
	return panel{kind: graph, title: "Memory", unit: "bytes", width: 6, height: 8, none: scraped,
		says:    "The agent's resident memory.",
		targets: []target{{source: metrics, expr: `max by (instance) (process_resident_memory_bytes{job="beesting", instance=~".+"})`, legend: "{{instance}}"}}}
}

func reloads() panel {
	p := overNodes("Configuration read again", "Attempts of the agents to take up a changed configuration. `refused`: it has mistakes, and the old one stays in use.",
		"short", noMetric, "honeytoken_config_outcome", increase("k8s_node_name, honeytoken_config_outcome", "honeytoken_config_reloads_total"), 24)
	p.mayBeEmpty = "nobody changes the configuration in the incident"
	return p
}
