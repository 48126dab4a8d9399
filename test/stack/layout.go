package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/beesting-otel/beesting/test/runtime/parts"
)

// layout is where things are: programs in the cache, the running stack below one
// directory, of which there is one for each user at most.
type layout struct {
	cache  string
	module string
}

func newLayout(getenv func(string) string) (layout, error) {
	cache, err := parts.CacheDir(getenv)
	if err != nil {
		return layout{}, err
	}
	module, err := os.Getwd()
	if err != nil {
		return layout{}, err
	}
	if _, err := os.Stat(filepath.Join(module, "builder-config.yaml")); err != nil {
		return layout{}, errors.New("not at the top of beesting's source tree")
	}
	return layout{cache: cache, module: module}, nil
}

func (l layout) bin(name string) string { return filepath.Join(l.cache, "stack", "bin", name) }
func (l layout) run(name ...string) string {
	return filepath.Join(append([]string{l.cache, "stack", "run"}, name...)...)
}
func (l layout) tree(name ...string) string {
	return filepath.Join(append([]string{l.module}, name...)...)
}

// The stack's addresses: not the usual ports, which may be somebody else's.
const (
	host           = "127.0.0.1"
	lokiPort       = "13100"
	lokiGRPCPort   = "13195"
	prometheusPort = "19090"
	jaegerPort     = "26686"
	jaegerGRPCPort = "26685"
	jaegerOTLPPort = "24317"
	otlpGRPCPort   = "14317"
	otlpHTTPPort   = "14318"
	collectorPort  = "18888"
	healthPort     = "23133"
	agentPort      = "19464"
)

func at(port string) string  { return host + ":" + port }
func web(port string) string { return "http://" + at(port) }

// state is what the running stack says of itself, for people and for the tests of
// the dashboards.
type state struct {
	PID        int    `json:"pid"`
	Ready      bool   `json:"ready"` // the incident is at the back ends
	Loki       string `json:"loki"`
	Prometheus string `json:"prometheus"`
	Jaeger     string `json:"jaeger"`
	OTLP       string `json:"otlp"` // HTTP, of the Collector
	Mode       string `json:"mode"` // how the agent's sensor is attached
	// Begin and End are around the incident.
	Begin time.Time `json:"begin"`
	End   time.Time `json:"end"`
	// Incidents are the trace ids, by what they are: "shell", "neighbour".
	Incidents map[string]string `json:"incidents"`
	// Records are the accesses that the agent wrote to its standard output.
	Records []record `json:"records"`
	// Children are what serve has started, by process id: for an end without it.
	Children map[int]string `json:"children"`
}

// record is what is looked for at the back ends.
type record struct {
	UID      string `json:"uid"`
	TraceID  string `json:"trace_id"`
	SpanID   string `json:"span_id"`
	Severity int    `json:"severity"`
	Kind     string `json:"kind"`
	Token    string `json:"token"`
	Class    string `json:"class"`
	Count    int64  `json:"count"` // of touches
	Body     string `json:"body"`
}

// read is of a stack that is coming up, too.
func (l layout) read() (state, error) {
	var s state
	b, err := os.ReadFile(l.run("state.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return s, errors.New("the stack isn't up: make stack")
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("state of the stack: %w", err)
	}
	return s, nil
}

// write replaces the state in one step: somebody may be reading it.
func (l layout) write(s state) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(l.run("state.new"), append(b, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(l.run("state.new"), l.run("state.json"))
}

func (s state) print(w io.Writer) {
	fmt.Fprintf(w, `
  Loki        %s
  Prometheus  %s
  Jaeger      %s   (query API; no pages in this build)
  OTLP        %s   (a Collector of its own: send yours there, too)

  %d accesses by an agent in mode %s; the incidents' trace ids:
`, s.Loki, s.Prometheus, s.Jaeger, s.OTLP, len(s.Records), s.Mode)
	for _, name := range []string{"shell", "neighbour"} {
		fmt.Fprintf(w, "    %-10s %s\n", name, s.Incidents[name])
	}
	fmt.Fprintf(w, `
  curl -sG %s/loki/api/v1/query_range --data-urlencode 'query={service_name=~".+"} | honeytoken_event="honeytoken.access"'
  curl -s %s/api/traces/%s
  curl -sG %s/api/v1/query --data-urlencode 'query=honeytoken_placement_count'

  It stays up until: make stack-down
`, s.Loki, s.Jaeger, s.Incidents["shell"], s.Prometheus)
}
