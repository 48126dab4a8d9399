package exporter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"

	"github.com/beesting-otel/beesting"
)

// TestTelemetryReference keeps docs/telemetry.md true: its tables are made
// from the tables of this package and its examples from the golden files.
// go generate writes them; the prose around them is written by hand.
func TestTelemetryReference(t *testing.T) {
	file := filepath.Join("..", "docs", "telemetry.md")
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]string{
		"resource": attributeTable(t, resourceTable, false),
		"token":    attributeTable(t, slices.Concat(identityRows, tokenRows, kindRows, touchRows), true),
		"end":      attributeTable(t, endRows, true),
		"gap":      attributeTable(t, gapTable, false),
		"kinds":    kindReference(),
		"file":     attributeTable(t, slices.Concat(pathRows, fileRows), true),
		"process":  attributeTable(t, slices.Concat(processRows, taskRows), true),
		"actor":    attributeTable(t, actorRows, true),
		"workload": attributeTable(t, workloadRows, true),
		"marks":    attributeTable(t, slices.Concat(markRows, invalidRows), true),
		"severity": severityReference(),
		"flags":    flagReference(),
		"metrics":  metricReference(),
		"points":   pointReference(),
		"metric":   fenced("json", metricExample(t)),
		"text":     fenced("text", readGolden(t, "outsider-write.txt")),
		"gapline":  fenced("json", readGolden(t, "gap.line.json")),
		"gaptext":  fenced("text", readGolden(t, "gap.txt")),
		"json":     fenced("json", readGolden(t, "workload-read.line.json")),
		"log":      fenced("json", receivedByCollector(t, "logs")),
		"span":     fenced("json", receivedByCollector(t, "traces")),
	}
	got := string(doc)
	for name, text := range parts {
		block := regexp.MustCompile(`(?s)(<!-- begin ` + name + `: generated -->\n).*?(<!-- end ` + name + ` -->)`)
		if !block.MatchString(got) {
			t.Errorf("%s has no block %q", file, name)
		}
		got = block.ReplaceAllStringFunc(got, func(old string) string {
			m := block.FindStringSubmatch(old)
			return m[1] + "\n" + text + "\n" + m[2]
		})
	}
	if n := strings.Count(got, "<!-- begin "); n != len(parts) {
		t.Errorf("%d generated blocks, %d are known", n, len(parts))
	}
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != string(doc) {
		t.Errorf("%s is not what the code says; go generate ./exporter writes it anew", file)
	}
}

// attributeTable is a table with an example of every row out of the samples.
func attributeTable(t *testing.T, rows []row, withSignals bool) string {
	t.Helper()
	examples := map[attribute.Key]attribute.Value{}
	all := samples()
	g := sampleGap()
	take := func(r record) {
		for _, kv := range slices.Concat(r.resource, r.log, r.span) {
			examples[kv.Key] = kv.Value
		}
	}
	for _, a := range ownedAccesses() {
		take(sampleMapping(t).record(&a))
	}
	for _, name := range []string{"symlink", "container-exec", "host-read", "outsider-write", "workload-read"} { // the last has precedence
		a := all[name]
		take(sampleMapping(t).record(&a))
	}
	if slices.ContainsFunc(rows, func(r row) bool { return r.key == keyLossCause }) {
		take(sampleMapping(t).gap(&g))
		// of an access only
		examples["honeytoken.access.invalid_utf8"] = attribute.StringSliceValue([]string{"file.path"})
	}
	var b strings.Builder
	head, line := "| Attribute | Type |", "|---|---|"
	if withSignals {
		head, line = head+" On |", line+"---|"
	}
	fmt.Fprintf(&b, "%s Example | What it is |\n%s---|---|\n", head, line)
	for _, r := range rows {
		v := examples[r.key]
		example, err := json.Marshal(v.AsInterface())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "| `%s` | %s |", r.key, typeName(t, v))
		if withSignals {
			fmt.Fprintf(&b, " %s |", map[signals]string{onLog: "log", onSpan: "span", onBoth: "log, span"}[r.on])
		}
		fmt.Fprintf(&b, " `%s` | %s |\n", shortened(string(example)), r.says)
	}
	return b.String()
}

func typeName(t *testing.T, v attribute.Value) string {
	t.Helper()
	name, ok := map[attribute.Type]string{
		attribute.STRING: "string", attribute.STRINGSLICE: "string[]", attribute.INT64: "int", attribute.BOOL: "boolean",
	}[v.Type()]
	if !ok {
		t.Errorf("no name for type %v", v.Type())
	}
	return name
}

// shortened keeps a table readable: ids and digests are long.
func shortened(s string) string {
	if len(s) <= 60 {
		return s
	}
	return s[:28] + "…" + s[len(s)-12:]
}

func severityReference() string {
	var b strings.Builder
	b.WriteString("| Severity number | Short name | When |\n|---|---|---|\n")
	for _, r := range severityTable {
		fmt.Fprintf(&b, "| %d | %s | %s |\n", r.number, r.short, r.says)
	}
	return b.String()
}

// kindReference has the severity of what the token's own container does.
func kindReference() string {
	var b strings.Builder
	b.WriteString("| Kind | Severity | What was done |\n|---|---|---|\n")
	for _, r := range kindTable {
		severity := severityOf(&beesting.Access{Kind: r.kind}).number
		fmt.Fprintf(&b, "| `%s` | %d | %s |\n", r.kind, severity, r.says)
	}
	return b.String()
}

func metricReference() string {
	var b strings.Builder
	b.WriteString("| Metric | Instrument | Unit | What it is |\n|---|---|---|---|\n")
	for _, r := range metricTable {
		kind := map[instrument]string{counter: "Counter", upDownCounter: "UpDownCounter", histogram: "Histogram"}[r.instrument]
		fmt.Fprintf(&b, "| `%s` | %s | `%s` | %s |\n", r.name, kind, r.unit, r.says)
	}
	return b.String()
}

func pointReference() string {
	var b strings.Builder
	b.WriteString("| Metric | Attribute | What it is |\n|---|---|---|\n")
	for _, r := range metricTable {
		for _, a := range r.attributes {
			fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", r.name, a.key, a.says)
		}
	}
	return b.String()
}

// metricExample is the first metric of the golden file, with its first point.
func metricExample(t *testing.T) string {
	t.Helper()
	var file struct {
		ResourceMetrics []struct {
			ScopeMetrics []struct {
				Metrics []struct {
					Name        string `json:"name"`
					Description string `json:"description"`
					Unit        string `json:"unit"`
					Sum         struct {
						DataPoints             []json.RawMessage `json:"dataPoints"`
						AggregationTemporality int               `json:"aggregationTemporality"`
						IsMonotonic            bool              `json:"isMonotonic"`
					} `json:"sum"`
				} `json:"metrics"`
			} `json:"scopeMetrics"`
		} `json:"resourceMetrics"`
	}
	if err := json.Unmarshal([]byte(readGolden(t, "metrics.otlp.json")), &file); err != nil {
		t.Fatal(err)
	}
	m := file.ResourceMetrics[0].ScopeMetrics[0].Metrics[0]
	m.Sum.DataPoints = m.Sum.DataPoints[:1]
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return oneLineAttributes(t, string(data))
}

func flagReference() string {
	var b strings.Builder
	b.WriteString("| Value | Meaning |\n|---|---|\n")
	b.WriteString("| `read` | O_RDONLY or O_RDWR |\n| `write` | O_WRONLY or O_RDWR |\n")
	b.WriteString("| `ioctl` | access mode 3: neither reading nor writing, device control only |\n")
	for _, f := range openFlagNames {
		fmt.Fprintf(&b, "| `%s` | %s |\n", f.name, f.says)
	}
	return b.String()
}

func fenced(language, text string) string {
	return "```" + language + "\n" + strings.TrimRight(text, "\n") + "\n```\n"
}

func readGolden(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// receivedByCollector is one signal of a golden file as the Collector received it, with
// each attribute on a line of its own.
func receivedByCollector(t *testing.T, signal string) string {
	t.Helper()
	var parts map[string]json.RawMessage
	if err := json.Unmarshal([]byte(readGolden(t, "workload-read.otlp.json")), &parts); err != nil {
		t.Fatal(err)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, parts[signal], "", "  "); err != nil {
		t.Fatal(err)
	}
	return oneLineAttributes(t, pretty.String())
}

// oneLineAttributes puts every {"key": …, "value": …} on one line.
func oneLineAttributes(t *testing.T, text string) string {
	t.Helper()
	lines := strings.Split(text, "\n")
	var out []string
	for i := 0; i < len(lines); i++ {
		indent := len(lines[i]) - len(strings.TrimLeft(lines[i], " "))
		if strings.TrimSpace(lines[i]) != "{" || i+1 >= len(lines) || !strings.HasPrefix(strings.TrimSpace(lines[i+1]), `"key":`) {
			out = append(out, lines[i])
			continue
		}
		var parts []string
		end := strings.Repeat(" ", indent) + "}"
		for ; strings.TrimSuffix(lines[i], ",") != end; i++ {
			parts = append(parts, strings.TrimSpace(lines[i]))
		}
		parts = append(parts, strings.TrimSpace(lines[i]))
		joined := strings.NewReplacer("{ ", "{", " }", "}", "[ ", "[", " ]", "]").Replace(strings.Join(parts, " "))
		out = append(out, strings.Repeat(" ", indent)+joined)
	}
	return strings.Join(out, "\n")
}
