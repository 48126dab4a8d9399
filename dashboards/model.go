package main

// A board is one dashboard, in the few words that ours need; build.go makes
// Grafana's classic JSON of it.
type board struct {
	uid, title, says string
	file             string // below grafana/
	from             string // the default time range, until now
	variables        []variable
	links            []link
	rows             []row
}

// row is a headline and what stands below it.
type row struct {
	title  string
	panels []panel
}

// kind is a panel plugin.
type kind string

const (
	graph    kind = "timeseries"
	number   kind = "stat"
	table    kind = "table"
	lines    kind = "logs"
	timeline kind = "state-timeline"
	bars     kind = "bargauge"
	trace    kind = "traces"
	words    kind = "text"
)

// panel is one panel. Its width is in Grafana's 24 columns.
type panel struct {
	kind          kind
	title, says   string
	unit          string
	width, height uint32
	targets       []target
	// none is what the panel says without data: what that means, or what to do.
	none string
	// limits are thresholds, by value; the first has none.
	limits []limit
	stack  bool
	// columns orders and names a table's fields; what isn't named is left out.
	columns []column
	links   []link // on each value; in a table, on those of the first column
	colors  []color
	text    string // of words, Markdown

	// mayBeEmpty is the reason why the scripted incident leaves the panel without
	// data. Without a reason an empty answer fails the test.
	mayBeEmpty string
}

// source is what answers a target: a plugin of Grafana, and with "_datasource" the
// name of the variable that chooses which one.
type source string

const (
	metrics source = "prometheus"
	logs    source = "loki"
	tempo   source = "tempo"
	jaeger  source = "jaeger"
)

func (s source) variable() string { return string(s) + "_datasource" }

// target is a query. Instant ones are for a table or a number, of the whole range.
type target struct {
	source  source
	expr    string
	legend  string
	instant bool
	limit   int64 // of log lines
}

type limit struct {
	from  float64 // ignored in the first
	color string
}

// color is a series' own.
type color struct{ series, color string }

type column struct{ field, name string }

// link leads from a panel or a dashboard to another page.
type link struct{ title, url string }

// variable is one of a dashboard's.
type variable struct {
	name, label, says string
	source            source // of a list of values; empty for a text box
	// metric and label are what the values are taken from: those of a label of a
	// metric, or of a stream of logs.
	metric, of string
	all        string // what "all" stands for in a regular expression
	hidden     bool
	// mayBeEmpty is as in panel.
	mayBeEmpty string
}
