package exporter

import (
	"maps"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/beesting-otel/beesting/internal/journal"
)

// instrument is the kind of a metric, in the words of the metrics API.
type instrument uint8

const (
	counter instrument = iota // a sum that only grows
	upDownCounter
	histogram
)

// metricRow is one metric: what the encoders send and the words that the
// reference has for it. Both encoders and docs/telemetry.md are made from it.
type metricRow struct {
	name       string
	instrument instrument
	unit       string // UCUM
	says       string // the description, sent along: a line without markup
	fractional bool   // points are float64, else int64
	attributes []metricAttribute
	// points gives the values in a steady order; none leaves the metric out.
	points func(*reading) []point
}

// metricAttribute is an attribute of points, with the words of the reference.
type metricAttribute struct {
	key  attribute.Key
	says string
}

const (
	keyPlacementState attribute.Key = "honeytoken.placement.state"
	keyLossCause      attribute.Key = "honeytoken.loss.cause"
	// keyOverflow is the metrics SDK specification's, with the value true.
	keyOverflow attribute.Key = "otel.metric.overflow"

	keySensorMode     attribute.Key = "honeytoken.sensor.mode"
	keyDeliverySignal attribute.Key = "honeytoken.delivery.signal"

	keyReloadOutcome attribute.Key = "honeytoken.config.outcome"
	keyNRIRequest    attribute.Key = "honeytoken.nri.request"
	keyUnresolved    attribute.Key = "honeytoken.k8s.unresolved"
)

// lossDecode is the cause of events that reached the agent and made no sense.
const lossDecode = "decode_error"

// dimensionNames are the attributes of an access that accesses are counted by.
// They tell enough for a dashboard and a rule; who it was tells the log record.
// All are strings, and none is for the acting process to choose.
var dimensionNames = [...]attribute.Key{
	"honeytoken.name", "honeytoken.kind", "honeytoken.access.kind", "honeytoken.access.outcome",
	"honeytoken.actor.class", semconv.K8SNamespaceNameKey,
}

// lostNames are dimensionNames for gaps: what is known of them.
var lostNames = [...]attribute.Key{
	"honeytoken.name", "honeytoken.kind", "honeytoken.access.kind", keyLossCause, semconv.K8SNamespaceNameKey,
}

// dimensionRows and lostRows are the rows that log records have for these names:
// the same access has the same values in every signal.
var (
	dimensionRows = rowsOf(dimensionNames[:], resourceTable, accessTable)
	lostRows      = rowsOf(lostNames[:], resourceTable, gapTable)
)

// rowsOf finds the rows of names, in their order.
func rowsOf(names []attribute.Key, tables ...[]row) []row {
	rows := make([]row, len(names))
	for _, r := range slices.Concat(tables...) {
		if i := slices.Index(names, r.key); i >= 0 {
			rows[i] = r
		}
	}
	return rows
}

// metricTable has every metric, in the order in which they are sent.
var metricTable = []metricRow{
	{
		name: "honeytoken.accesses", instrument: counter, unit: "{access}",
		says:       "Touches of honeytokens",
		attributes: dimensionAttributes(dimensionRows),
		points: func(r *reading) []point {
			return touchPoints(dimensionNames[:], r.accesses, func(s *series) []string { return s[:] })
		},
	},
	{
		name: "honeytoken.access.lost", instrument: counter, unit: "{access}",
		says:       "Touches of honeytokens that the kernel counted and no record tells of",
		attributes: dimensionAttributes(lostRows),
		points: func(r *reading) []point {
			return touchPoints(lostNames[:], r.lost, func(s *lostSeries) []string { return s[:] })
		},
	},
	{
		name: "honeytoken.placement.count", instrument: upDownCounter, unit: "{placement}",
		says: "Tokens in containers: wanted by the policy, and armed (watched)",
		attributes: []metricAttribute{{keyPlacementState,
			"`wanted`: what the policy wants in the containers that run; `armed`: what is watched. The two are no parts of a whole: don't add them up"}},
		points: func(r *reading) []point {
			return []point{
				{attributes: one(keyPlacementState, "armed"), n: int64(r.state.Armed)},
				{attributes: one(keyPlacementState, "wanted"), n: int64(r.state.Wanted)},
			}
		},
	},
	{
		name: "honeytoken.container.lacking", instrument: upDownCounter, unit: "{container}",
		says:   "Running containers with fewer tokens than the policy wants",
		points: func(r *reading) []point { return []point{{n: int64(r.state.LackingContainers)}} },
	},
	{
		name: "honeytoken.event.lost", instrument: counter, unit: "{event}",
		says: "Events lost between the kernel and the agent; a later event may tell of the same touches",
		attributes: []metricAttribute{{keyLossCause,
			"`ring_full`: no room between kernel and agent; `recursion`: the kernel skipped the program because it was running on that processor already, which counts touches of all files and so is an upper bound; `" + lossDecode + "`: the agent could not read the event; `refused`: no output had room for it, and the kernel doesn't count the touch, such as one of a link by its name; in the mode fanotify also `queue_overflow`: how often the kernel's queue was full, each at least one touch; `unanswered`: touches that nobody looked at, as the agent was stopped or slow; `guard_restart`: the helper process ended, and until the next one had set its marks nothing was seen"}},
		points: lossPoints,
	},
	{
		name: "honeytoken.plant.failures", instrument: counter, unit: "{failure}",
		says: "Tokens that could not be planted or watched as the policy wants",
		attributes: []metricAttribute{{semconv.ErrorTypeKey,
			"the reason, in the words of `beesting status --json`: `mount_point`, `late`, `watch` …"}},
		points: func(r *reading) []point { return pointsByWord(semconv.ErrorTypeKey, r.state.PlantFailures) },
	},
	{
		name: "honeytoken.nri.connected", instrument: upDownCounter, unit: "1",
		says: "Whether the container runtime has the agent registered: 1 or 0; without it new containers get no tokens",
		points: func(r *reading) []point {
			if r.state.NRIConnected {
				return []point{{n: 1}}
			}
			return []point{{}}
		},
	},
	{
		name: "honeytoken.nri.reconnects", instrument: counter, unit: "{reconnect}",
		says:   "Registrations with the container runtime after the first one",
		points: func(r *reading) []point { return []point{{n: clamped(r.state.NRIReconnects)}} },
	},
	{
		name: "honeytoken.nri.blind_time", instrument: counter, unit: "s", fractional: true,
		says:   "Time without the container runtime since the first registration, in which containers were created without tokens",
		points: func(r *reading) []point { return []point{{f: r.state.NRIBlindSeconds}} },
	},
	{
		name: "honeytoken.nri.request.duration", instrument: histogram, unit: "s", fractional: true,
		says: "Time from a request of the container runtime to the agent's answer, for which a container's start waits",
		attributes: []metricAttribute{{keyNRIRequest,
			"`create_container`: its tokens are written; `start_container`: they are watched; `post_create_container`, `stop_container`, `remove_container`, `synchronize`"}},
		points: durationPoints,
	},
	{
		name: "honeytoken.watch.gap", instrument: upDownCounter, unit: "s", fractional: true,
		says:   "Time before this start in which tokens were planted and, at most, nobody watched them",
		points: func(r *reading) []point { return []point{{f: r.state.UnwatchedSeconds}} },
	},
	{
		name: "honeytoken.workload.unresolved", instrument: counter, unit: "{access}",
		says: "Accesses told without what the API server says of the token's pod, or without a part of it",
		attributes: []metricAttribute{{keyUnresolved,
			"the reason, as in the log record: `away`, `forbidden`, `absent` or `late`"}},
		points: func(r *reading) []point { return pointsByWord(keyUnresolved, r.state.Unresolved) },
	},
	{
		name: "honeytoken.config.reloads", instrument: counter, unit: "{reload}",
		says: "Attempts to read the configuration again since the start",
		attributes: []metricAttribute{{keyReloadOutcome,
			"`applied`: it is in use; `unchanged`: it was in use already; `refused`: it has mistakes, and the old one stays in use. Not from the Collector's receiver, whose configuration the Collector reads"}},
		points: func(r *reading) []point { return pointsByWord(keyReloadOutcome, r.state.ConfigReloads) },
	},
	{
		name: "honeytoken.sensor.attached", instrument: upDownCounter, unit: "1",
		says: "Always 1, with the way in which the sensor is attached, which decides what it sees",
		attributes: []metricAttribute{{keySensorMode,
			"`lsm`, `fentry`, `kprobe` or `fanotify`: the rung of the ladder that this node allows"}},
		points: func(r *reading) []point {
			if r.state.Mode == "" {
				return nil
			}
			return pointsByWord(keySensorMode, map[string]uint64{r.state.Mode: 1})
		},
	},
	{
		name: "honeytoken.delivery.queued", instrument: upDownCounter, unit: "{access}",
		says:       "Accesses that wait until the back end, or the next component, takes them",
		attributes: []metricAttribute{{keyDeliverySignal, saysSignal}},
		points: func(r *reading) []point {
			queued := make(map[string]uint64, len(r.state.Delivery))
			for signal, s := range r.state.Delivery {
				queued[signal] = s.Queued
			}
			return pointsByWord(keyDeliverySignal, queued)
		},
	},
	{
		name: "honeytoken.delivery.dropped", instrument: counter, unit: "{access}",
		says: "Accesses that were given up and never reach the back end, once for each signal",
		attributes: []metricAttribute{
			{keyDeliverySignal, saysSignal},
			{keyLossCause, "`queue_full`, `journal_full` (removed from the journal before it was delivered), `shutdown`, `rejected` (by a partial success), `permanent`, `not_encodable`, `disabled`, `http_STATUS` or `grpc_CODE`"},
		},
		points: droppedPoints,
	},
	{
		name: "honeytoken.delivery.lag", instrument: upDownCounter, unit: "s", fractional: true,
		says:       "How long ago the access was seen, at least, that is delivered next; 0 when none waits",
		attributes: []metricAttribute{{keyDeliverySignal, saysSignal + "; only where there is a journal"}},
		points: ofJournal(func(s *journal.Stats) []point {
			points := make([]point, 0, len(s.LagSeconds))
			for _, cursor := range slices.Sorted(maps.Keys(s.LagSeconds)) {
				signal := SignalLogs
				if cursor == cursorSpans {
					signal = SignalTraces
				}
				points = append(points, point{attributes: one(keyDeliverySignal, signal), f: s.LagSeconds[cursor]})
			}
			return points
		}),
	},
	{
		name: "honeytoken.journal.size", instrument: upDownCounter, unit: "By",
		says:   "Bytes of the journal's files",
		points: ofJournal(func(s *journal.Stats) []point { return []point{{n: s.Bytes}} }),
	},
	{
		name: "honeytoken.journal.unwritten", instrument: upDownCounter, unit: "{access}",
		says:   "Accesses in memory that the journal's disk does not take",
		points: ofJournal(func(s *journal.Stats) []point { return []point{{n: int64(s.Waiting)}} }),
	},
	{
		name: "honeytoken.journal.dead_letters", instrument: upDownCounter, unit: "{access}",
		says:   "Accesses that the back end will never take, set aside to be sent again by hand",
		points: ofJournal(func(s *journal.Stats) []point { return []point{{n: int64(s.DeadLetters)}} }),
	},
	{
		name: "honeytoken.journal.damaged", instrument: counter, unit: "{access}",
		says:   "Accesses lost to damaged files of the journal, as far as that can be known",
		points: ofJournal(func(s *journal.Stats) []point { return []point{{n: clamped(s.Damaged)}} }),
	},
}

// ofJournal gives no points where there is no journal.
func ofJournal(points func(*journal.Stats) []point) func(*reading) []point {
	return func(r *reading) []point {
		if r.state.Journal == nil {
			return nil
		}
		return points(r.state.Journal)
	}
}

func dimensionAttributes(rows []row) []metricAttribute {
	var attrs []metricAttribute
	for _, r := range rows {
		attrs = append(attrs, metricAttribute{r.key, r.says})
	}
	return append(attrs, metricAttribute{keyOverflow, "`true` on the one point that has the accesses of all further combinations, without the other attributes"})
}

// touchPoints are in the order of their values; the overflow is the last.
func touchPoints[K comparable](names []attribute.Key, c counts[K], values func(*K) []string) []point {
	keys := slices.SortedFunc(maps.Keys(c.by), func(a, b K) int { return slices.Compare(values(&a), values(&b)) })
	points := make([]point, 0, len(keys)+1)
	for _, key := range keys {
		attrs := make([]attribute.KeyValue, 0, len(names))
		for i, value := range values(&key) {
			if value != "" {
				attrs = append(attrs, names[i].String(value))
			}
		}
		points = append(points, point{attributes: attribute.NewSet(attrs...), n: clamped(c.by[key])})
	}
	if c.overflow > 0 {
		points = append(points, point{attributes: attribute.NewSet(keyOverflow.Bool(true)), n: clamped(c.overflow)})
	}
	return points
}

func lossPoints(r *reading) []point {
	all := maps.Clone(r.state.Lost)
	if all == nil {
		all = map[string]uint64{}
	}
	all[lossDecode] += r.state.DecodeErrors
	return pointsByWord(keyLossCause, all)
}

func durationPoints(r *reading) []point {
	points := make([]point, 0, len(r.state.NRIDurations))
	for _, request := range slices.Sorted(maps.Keys(r.state.NRIDurations)) {
		points = append(points, point{attributes: one(keyNRIRequest, request), h: r.state.NRIDurations[request]})
	}
	return points
}

// saysSignal is of the metrics of delivery, which has one account for each signal.
const saysSignal = "`logs` or `traces`"

func droppedPoints(r *reading) []point {
	var points []point
	for _, signal := range slices.Sorted(maps.Keys(r.state.Delivery)) {
		for _, p := range pointsByWord(keyLossCause, r.state.Delivery[signal].Dropped) {
			word, _ := validString(signal)
			attrs := append(p.attributes.ToSlice(), keyDeliverySignal.String(word))
			points = append(points, point{attributes: attribute.NewSet(attrs...), n: p.n})
		}
	}
	return points
}

// pointsByWord makes one point of each word, in their order. Two words that
// become the same when they are made valid are one series, not a series twice,
// which a back end would refuse.
func pointsByWord(key attribute.Key, counts map[string]uint64) []point {
	valid := make(map[string]uint64, len(counts))
	for word, n := range counts {
		word, _ = validString(word)
		valid[word] += n
	}
	points := make([]point, 0, len(valid))
	for _, word := range slices.Sorted(maps.Keys(valid)) {
		points = append(points, point{attributes: one(key, word), n: clamped(valid[word])})
	}
	return points
}

func one(key attribute.Key, value string) attribute.Set { return attribute.NewSet(key.String(value)) }
