package main

import "strings"

// rule is one alert, for whichever system evaluates it. Its expression has a value
// above zero while the alert is to fire, and no value or zero else.
type rule struct {
	name     string
	source   source // metrics: Prometheus; logs: Loki
	severity string // critical: somebody is in there; warning: somebody would not be seen
	expr     string
	hold     string // how long it has to be so, as Prometheus writes durations
	summary  string
	says     string
	runbook  string // below docs/runbooks, without .md
}

const (
	critical = "critical"
	warning  = "warning"

	runbooks = "https://github.com/beesting-otel/beesting/blob/main/docs/runbooks/"

	// byPlace is what an alert about an access is one of: each incident (trace_id) and
	// token for itself.
	byPlace = "k8s_cluster_name, k8s_namespace_name, service_name, k8s_pod_name, k8s_node_name, host_name, honeytoken_name, honeytoken_actor_class, trace_id"
	byAgent = "k8s_cluster_name, k8s_node_name, job, instance"

	where   = `{{ with $labels.k8s_namespace_name }} in {{ . }}/{{ $labels.k8s_pod_name }}{{ end }} on {{ or $labels.k8s_node_name $labels.host_name }}`
	atNode  = `{{ or $labels.k8s_node_name $labels.instance }}`
	ofTrack = `The incident, in Grafana: /d/` + incidentUID + `?var-trace={{ $labels.trace_id }}`
)

func rules() []rule { return append(accessRules(), fleetRules()...) }

// recent counts the records of the last five minutes; a rule fires for as long
// after the last one.
func recent(pipeline ...string) string {
	return "sum by (" + byPlace + `) (count_over_time(` + anyStream + " | " + strings.Join(pipeline, " | ") + " [5m])) > 0"
}

func accessRules() []rule {
	return []rule{
		{
			name: "HoneytokenContentAccessed", source: logs, severity: critical, hold: "0s", runbook: "content-accessed",
			expr:    recent(isAccess, `severity_number="17"`),
			summary: `Somebody in the container reached the content of honeytoken {{ $labels.honeytoken_name }}` + where,
			says:    "A process of the token's own container opened, read, mapped, executed, linked or was handed a file that nobody has a reason to touch. " + ofTrack,
		},
		{
			name: "HoneytokenAccessFromOutside", source: logs, severity: critical, hold: "0s", runbook: "outside-access",
			expr:    recent(isAccess, `honeytoken_actor_class=~"other_container|host"`),
			summary: `Honeytoken {{ $labels.honeytoken_name }}` + where + ` was touched from outside of its container ({{ $labels.honeytoken_actor_class }})`,
			says:    "A process of another container, or of the host itself, reached into this one. " + ofTrack,
		},
		{
			name: "HoneytokenTampered", source: logs, severity: critical, hold: "0s", runbook: "tampering",
			expr: recent(isAccess, `severity_number="19"`,
				`honeytoken_actor_class="workload" or honeytoken_access_kind=~"write|setattr|rename|unlink|mount" or honeytoken_access_flags=~".*(write|truncate).*"`),
			summary: `Honeytoken {{ $labels.honeytoken_name }}` + where + ` was changed, moved or removed`,
			says:    "Somebody wrote to the token, changed its attributes, renamed, removed or covered it, or tried to. " + ofTrack,
		},
		{
			name: "HoneytokenTouchesUntold", source: logs, severity: warning, hold: "0s", runbook: "events-lost",
			expr:    recent(isGap),
			summary: `Honeytoken {{ $labels.honeytoken_name }}` + where + ` was touched, and nobody knows by whom`,
			says:    "The kernel counted touches that no record describes. The log record (honeytoken.gap) says how many, between when and why.",
		},
	}
}

// grown is by how much a counter is above what it was. Unlike increase() it sees a
// series that wasn't there before: a cause of a loss becomes one with the first loss.
func grown(by, metric, window string) string {
	now := "sum by (" + by + ") (" + metric + ")"
	before := "sum by (" + by + ") (" + metric + " offset " + window + ")"
	return now + " - (" + before + " or 0 * " + now + ") > 0"
}

// stuck is the lag, and where there is no journal, which is what knows it, that
// something was waiting at every look.
func stuck() string {
	const by = " by (" + byAgent + ", honeytoken_delivery_signal) "
	lag := "max" + by + "(honeytoken_delivery_lag_seconds)"
	return lag + " > 600 or min" + by + "(min_over_time(honeytoken_delivery_queued[10m])) > 0 unless " + lag
}

func fleetRules() []rule {
	return []rule{
		{
			name: "HoneytokenAgentSilent", source: metrics, severity: warning, hold: "5m", runbook: "agent-silent",
			expr:    "max by (" + byAgent + ") (present_over_time(honeytoken_nri_connected[6h])) unless max by (" + byAgent + ") (honeytoken_nri_connected)",
			summary: "Nothing is heard of the agent on " + atNode,
			says:    "It reported in the last six hours and doesn't now. Tokens that are pinned stay watched, but nobody tells of what happens to them.",
		},
		{
			name: "HoneytokenNoAgent", source: metrics, severity: warning, hold: "15m", runbook: "agent-silent",
			expr:    "absent(honeytoken_nri_connected)",
			summary: "Nothing is heard of any agent",
			says:    "No agent or Collector with the receiver has sent metrics: none runs, or the way from them to Prometheus is cut.",
		},
		{
			name: "HoneytokenRuntimeDisconnected", source: metrics, severity: warning, hold: "5m", runbook: "runtime-disconnected",
			expr:    "1 - max by (" + byAgent + ") (honeytoken_nri_connected) > 0",
			summary: "The container runtime on " + atNode + " works without the agent",
			says:    "Containers that are created now get no tokens. Those that have some stay watched.",
		},
		{
			name: "HoneytokenTokenNotArmed", source: metrics, severity: warning, hold: "10m", runbook: "token-not-armed",
			expr: "sum by (" + byAgent + `) (honeytoken_placement_count{honeytoken_placement_state="wanted"}) - sum by (` + byAgent +
				`) (honeytoken_placement_count{honeytoken_placement_state="armed"}) > 0`,
			summary: "Not every token that the policy wants on " + atNode + " is watched",
			says:    "Somebody who touches one of these, or looks for one where none is, goes unseen.",
		},
		{
			name: "HoneytokenEventsLost", source: metrics, severity: warning, hold: "0s", runbook: "events-lost",
			expr:    grown(byAgent+", honeytoken_loss_cause", `honeytoken_event_lost_total{honeytoken_loss_cause!="recursion"}`, "15m"),
			summary: "Events are lost between kernel and agent on " + atNode + " ({{ $labels.honeytoken_loss_cause }})",
			says:    "Touches are counted all the same, and told by a later event of the same process, or as a gap.",
		},
		{
			name: "HoneytokenTouchesLost", source: metrics, severity: warning, hold: "0s", runbook: "events-lost",
			expr:    grown(byAgent+", k8s_namespace_name, honeytoken_name, honeytoken_loss_cause", "honeytoken_access_lost_total", "15m"),
			summary: "Honeytoken {{ $labels.honeytoken_name }} was touched on " + atNode + ", and nobody knows by whom ({{ $labels.honeytoken_loss_cause }})",
			says:    "The kernel counted touches that no record describes. The same is told as a log record, honeytoken.gap, with times.",
		},
		{
			name: "HoneytokenDeliveryStuck", source: metrics, severity: warning, hold: "5m", runbook: "delivery-stuck",
			expr:    stuck(),
			summary: "Accesses wait on " + atNode + " and are not taken ({{ $labels.honeytoken_delivery_signal }})",
			says:    "What is to be delivered next has been waiting for ten minutes or more. `beesting accesses` on the node shows it.",
		},
		{
			name: "HoneytokenDeliveryDropped", source: metrics, severity: warning, hold: "0s", runbook: "delivery-stuck",
			expr:    grown(byAgent+", honeytoken_delivery_signal, honeytoken_loss_cause", "honeytoken_delivery_dropped_total", "15m"),
			summary: "Accesses from " + atNode + " were given up ({{ $labels.honeytoken_delivery_signal }}, {{ $labels.honeytoken_loss_cause }})",
			says:    "They never reach the back end. What a back end refused for good is kept: `beesting dead-letters` on the node.",
		},
		{
			name: "HoneytokenCollectorQueueFull", source: metrics, severity: warning, hold: "5m", runbook: "delivery-stuck",
			expr:    "max by (job, instance, exporter) (otelcol_exporter_queue_size / otelcol_exporter_queue_capacity) > 0.8",
			summary: "The queue of {{ $labels.exporter }} in the Collector {{ $labels.instance }} is nearly full",
			says:    "When it is full the Collector makes the nodes wait, and their journals take the rest.",
		},
	}
}
